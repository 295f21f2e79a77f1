package fetch

import (
	"io"
	"slices"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// What comes before its client reads it was taken for that client all the
// same, and for the next one it is the store's.
func TestAnticipate(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.catalog.Resolve(t.Context(), r.at(r.packageAt("large")), nil)
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	for range 3 {
		r.Anticipate(Request{Entry: e})
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	r.running.Wait() // the download's own goroutine
	if n := r.mirror.Requests("*/large*"); n != 1 || !r.held(e.Digest) {
		t.Fatalf("anticipated three times: %d requests of the mirror, held %v", n, r.held(e.Digest))
	}
	for i, want := range []ledger.Origin{ledger.FromMirror, ledger.FromStore, ledger.FromStore} {
		f, err := r.Get(t.Context(), Request{Entry: e})
		must(t, err)
		b, err := io.ReadAll(f.Body)
		must(t, err)
		f.Body.Close()
		if len(b) != len(r.files["large"].Data) || f.Body.Origin() != want {
			t.Errorf("client %d: %d bytes from %v, want from %v", i, len(b), f.Body.Origin(), want)
		}
	}
	r.Anticipate(Request{Entry: e}) // held: nothing to do
	r.Anticipate(Request{Entry: r.catalog.Resolve(t.Context(), r.at(inRelease), nil)})
	if n := r.mirror.Requests("*"); r.mirror.Requests("*/large*") != 1 {
		t.Errorf("%d requests in all", n)
	}
}

// landing reads a file when its download is over, but not yet told so to
// everybody.
type landing struct {
	*boxes
	read func(digest.Digest)
}

func (l landing) Announce(d digest.Digest, on bool) {
	if !on {
		l.read(d)
	}
}

// A client that comes between the file's being held and the end of its
// download is the one it was taken for, and the only one.
func TestAnticipateLanding(t *testing.T) {
	t.Parallel()
	var r *rig
	var e catalog.Entry
	var origins []ledger.Origin
	read := func() {
		f, err := r.Get(t.Context(), Request{Entry: e})
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Body.Close()
		if n, err := io.Copy(io.Discard, f.Body); n != int64(len(r.files["large"].Data)) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		origins = append(origins, f.Body.Origin())
	}
	r = newRig(t, aptest.Suite{}, func(o *Options) {
		o.Swarm = landing{newBoxes(), func(d digest.Digest) {
			if d == e.Digest {
				read()
				read()
			}
		}}
	})
	r.update()
	e = r.catalog.Resolve(t.Context(), r.at(r.packageAt("large")), nil)
	r.Anticipate(Request{Entry: e})
	r.running.Wait()
	read()
	if want := []ledger.Origin{ledger.FromMirror, ledger.FromStore, ledger.FromStore}; !slices.Equal(origins, want) {
		t.Errorf("the clients got it from %v, want %v", origins, want)
	}
}
