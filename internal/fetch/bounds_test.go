package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// attacker is a host of somebody who means harm, that answers every request with serve.
type attacker struct {
	*rig
	addr string
}

func (r *rig) attacker(serve http.HandlerFunc) *attacker {
	r.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", "127.0.0.2:0")
	must(r.t, err)
	s := httptest.NewUnstartedServer(serve)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	r.t.Cleanup(s.Close)
	return &attacker{r, l.Addr().String()}
}

// ask reads what the box has for a path there, at most n bytes.
func (h *attacker) ask(path string, n int64) error {
	h.t.Helper()
	l, err := catalog.ParseLocation("http", h.addr, path)
	must(h.t, err)
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	f, err := h.Get(ctx, Request{Entry: h.catalog.Resolve(ctx, l, nil)})
	if err != nil {
		return err
	}
	defer f.Body.Close()
	_, err = io.CopyN(io.Discard, f.Body, n)
	return err
}

// records counts what the table of names has.
func (r *rig) records() (n int) {
	r.t.Helper()
	must(r.t, r.names.Scan(nil, nil, func(_, _ []byte) bool { n++; return true }))
	return n
}

// However many suites that do not exist are asked for, nothing is left of it.
func TestAbsentSuitesLeaveNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	before := r.records()
	h := r.attacker(http.NotFound)
	for i := range 2000 {
		var status *mirror.StatusError
		if err := h.ask(fmt.Sprintf("/%d/dists/s/InRelease", i), 1); !errors.As(err, &status) || status.Code != 404 {
			t.Fatal(err)
		}
	}
	if n := r.records(); n != before {
		t.Errorf("%d records are left of suites that do not exist", n-before)
	}
}

// Release files take an eighth of the cache at most, and those of the site's suites
// stay.
func TestReleaseFilesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.quota = 64 << 20
	r.open()
	r.update()
	head, _, err := r.read(inRelease)
	must(t, err)
	before := r.records()
	pad := "# " + strings.Repeat("x", 1<<20)
	h := r.attacker(func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "Suite: s\nOrigin: %s\nDate: %s\nSHA256:\n %s 0 main/binary-amd64/Packages\nDescription: %s\n",
			q.URL.Path, time.Now().UTC().Format(time.RFC1123), digest.Of(nil), pad)
	})
	for i := range 40 {
		must(t, h.ask(fmt.Sprintf("/%d/dists/s/Release", i), 1<<20))
	}
	var pinned int64
	for i, err := range r.store.All() {
		must(t, err)
		if i.Pinned {
			pinned += i.Size
		}
	}
	if pinned > r.quota/8 {
		t.Errorf("%d bytes are pinned in a cache of %d", pinned, r.quota)
	}
	if n := r.records() - before; n > 8 {
		t.Errorf("%d records are left of 40 suites", n)
	}
	r.mirror.Down()
	r.releases.Expire(r.dir())
	if again, _, err := r.read(inRelease); err != nil || !bytes.Equal(again, head) {
		t.Errorf("without the mirror: %d bytes of the site's own suite, %v", len(again), err)
	}
}
