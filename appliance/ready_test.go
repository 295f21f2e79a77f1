package main

import (
	"net"
	"net/http"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/ledger"
)

// What degrades a box is told, and does not make it unready.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir()))
	has := func(what string) bool {
		for _, f := range b.faults() {
			if f.Fatal && f.What != "drain" { // the box is stopped in the end
				t.Errorf("fatal: %+v", f)
			}
			if f.What == what {
				return true
			}
		}
		return false
	}
	if has("mirror "+s.Mirror.Addr()) || has("ledger") {
		t.Errorf("faults of a sound box: %v", b.faults())
	}
	s.Mirror.Down()
	newClient(t, b.url).get(t, http.MethodGet, s.Mirror.URL("/debian/dists/stable/InRelease"))
	if !has("mirror " + s.Mirror.Addr()) {
		t.Errorf("faults with a mirror away: %v", b.faults())
	}
	// A ledger that cannot write says so, and the box goes on.
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b.ledger.Request(b.Addr().(*net.TCPAddr).AddrPort().Addr(), ledger.File{Host: "deb.example.org"})
	if err := b.ledger.Flush(); err == nil || !has("ledger") {
		t.Errorf("faults after Flush said %v: %v", err, b.faults())
	}
}
