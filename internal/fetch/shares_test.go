package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/front"
	"millpond/internal/mirror"
)

// A client that begins more downloads than there are at once keeps nobody else from
// one, and gets all of its own in the end.
func TestDownloadsOfOneClient(t *testing.T) {
	t.Parallel()
	const atOnce, begun = 3, 10
	r := newRig(t, aptest.Suite{}, func(o *Options) { o.Downloads = atOnce })
	r.update()
	hold := r.mirror.Inject("*/never/*", aptest.Hold())
	get := func(client byte, path string) error {
		e := r.catalog.Resolve(t.Context(), r.at(path), func(catalog.Location) digest.Digest { return digest.Digest{} })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		f, err := r.Get(ctx, Request{Entry: e, Party: front.PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, client}))})
		if err != nil {
			return err
		}
		return f.Body.Close()
	}
	ended := make(chan error, begun)
	for i := range begun {
		path := fmt.Sprintf("pool/never/x%d_1_all.deb", i)
		r.mirror.Put("/debian/"+path, []byte(path), time.Now().Add(-time.Hour))
		go func() { ended <- get(1, path) }()
	}
	must(t, hold.Await(t.Context(), atOnce))
	must(t, get(2, r.packageAt("small")))
	if n := hold.Hits(); n > begun {
		t.Errorf("%d requests at the mirror", n)
	}
	hold.Release()
	for range begun {
		must(t, <-ended)
	}
}

// flightOf is a download of a package that has not begun.
func (r *rig) flightOf(name string) *flight {
	r.t.Helper()
	r.update()
	e := r.catalog.Resolve(r.t.Context(), r.at(r.packageAt(name)), func(catalog.Location) digest.Digest { return digest.Digest{} })
	q := Request{Entry: e}
	fl := r.newContentFlight(q)
	fl.places = []place{r.placeOf(q)}
	return fl
}

// However often a download's connection to a mirror is needed for another client, it
// asks there again.
func TestGivingWayIsNoFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	fl := r.flightOf("small")
	d := download{fl: fl, tallies: make(map[string]*tally)}
	m := fl.mirrors()[0]
	for range maxFailures {
		d.failed(m, d.tallyOf(m), mirror.ErrGaveWay, 0)
	}
	if d.tallyOf(m).out {
		t.Error("the mirror is not asked any more")
	}
}

// A client gets all of a file whose download has ended, also if nobody noted who sent it.
func TestEndWithoutASender(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	fl := r.flightOf("small")
	fl.enter()
	part, err := fl.openPart()
	if err != nil {
		t.Fatal(err)
	}
	fl.begin(part)
	want := r.files["small"].Data
	if _, err := fl.write(part, want, 0, fl.mirrors()[0]); err != nil {
		t.Fatal(err)
	}
	info, err := fl.commit(part)
	if err != nil {
		t.Fatal(err)
	}
	fl.landed(info)
	fl.finish(nil)
	file, err := fl.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Body.Close()
	if got, err := io.ReadAll(file.Body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}
