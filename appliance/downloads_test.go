package main

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// A client that waits for more files of a mirror than the box has connections to it, of
// which none comes, keeps nobody else from a file of that mirror; and when the mirror
// answers, it gets all of them.
func TestDownloadsAreShared(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, slices.Repeat([]int{20_000}, 40)...)
	b := start(t, s.environ(t.TempDir()))
	base := s.Mirror.URL("/debian")
	newClientAt(t, b.url, "127.0.0.2").update(t, s, base)
	other := []byte("not held up")
	s.Mirror.Put("/debian/pool/main/o/other_1.dsc", other, time.Now())
	held := s.Mirror.Inject("*.deb", aptest.Hold())
	first := newClientAt(t, b.url, "127.0.0.2")
	var waiting []*download
	for _, deb := range s.debs {
		waiting = append(waiting, begin(t, first, base+"/"+deb.Path))
	}
	if err := held.Await(t.Context(), 16); err != nil { // as many as the box has common connections to a host
		t.Fatal(err)
	}
	c := newClientAt(t, b.url, "127.0.0.3")
	c.Timeout = 10 * time.Second
	c.want(t, base+"/pool/main/o/other_1.dsc", other)
	held.Release()
	for i, d := range waiting {
		if <-d.done; d.err != nil || !bytes.Equal(d.body, s.debs[i].Data) {
			t.Errorf("file %d: %d bytes, %v", i, len(d.body), d.err)
		}
	}
}
