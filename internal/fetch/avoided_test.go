package fetch

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
)

// spared counts by name what Options.Avoided is told.
type spared struct {
	mu sync.Mutex
	of map[string]int
}

func (s *spared) count(o *Options) {
	o.Avoided = func(l catalog.Location) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.of[l.Name()]++
	}
}

// check compares requests, by name and without those that were answered directly
// by the mirror, with what was told.
func (s *spared) check(r *rig, clients map[string]int) {
	r.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(map[string]int)
	for name, n := range clients {
		if n -= r.mirror.Requests("*/" + name); n != 0 {
			want[name] = n
		}
	}
	if !maps.Equal(s.of, want) {
		r.t.Errorf("avoided %v, want %v: clients asked %v, the mirror was asked %v", s.of, want, clients, r.mirror.Log())
	}
}

// What is avoided is what clients asked less what the mirror was asked, for each
// Release and unknown file, whether they come together or one after the other.
func TestAvoidedRequests(t *testing.T) {
	t.Parallel()
	const clients = 20
	all := []string{inRelease, "dists/stable/Release", "dists/stable/Release.gpg", unlisted, "dists/stable/nothing.bin"}
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		for _, order := range []string{"together", "in turn"} {
			t.Run(name+" "+order, func(t *testing.T) {
				t.Parallel()
				s := &spared{of: make(map[string]int)}
				r := newRig(t, suite, s.count)
				r.mirror.Put("/debian/"+unlisted, bytes.Repeat([]byte("x"), small), time.Now().Add(-time.Hour))
				asked := make(map[string]int)
				for _, p := range all {
					asked[path.Base(p)] = clients
				}
				for _, p := range all {
					var group sync.WaitGroup
					for range clients {
						group.Go(func() { _, _, _ = r.read(p) }) // some are answered with 404
						if order == "in turn" {
							group.Wait()
						}
					}
					group.Wait()
				}
				s.check(r, asked)
			})
		}
	}
}

// A client that comes after the box has asked by itself is answered for that
// request; one that is served what is held while the mirror is away is not spared
// anything.
func TestNotAvoided(t *testing.T) {
	t.Parallel()
	s := &spared{of: make(map[string]int)}
	r := newRig(t, aptest.Suite{}, s.count)
	for range 2 { // the second time within the TTL
		must(t, r.Refresh(t.Context(), r.dir()))
	}
	for range 3 {
		_, _, err := r.read(inRelease)
		must(t, err)
	}
	s.check(r, map[string]int{"InRelease": 3})
	// From then on each client is told what is held, since nothing else is to be had.
	r.mirror.Down()
	for range 3 {
		r.releases.Expire(r.dir())
		r.predate("Checked", time.Minute)
		if _, f, err := r.read(inRelease); err != nil || f.Stale == "" {
			t.Errorf("mirror away: %+v, %v", f, err)
		}
	}
	s.check(r, map[string]int{"InRelease": 3})
}

func TestAskedIsBounded(t *testing.T) {
	t.Parallel()
	var a asked
	at := func(i int) catalog.Location {
		return catalog.Location{Scheme: "http", Host: "archive.example.org", Path: fmt.Sprint("/dists/", i, "/InRelease")}
	}
	for i := range 3 * maxAsked {
		a.note(at(i), "")
		a.note(at(i), "")
	}
	if len(a.of) != maxAsked {
		t.Errorf("%d files are remembered, want %d", len(a.of), maxAsked)
	}
	if last := at(3*maxAsked - 1); !a.take(last, "") || a.take(last, "") {
		t.Error("the last file is not remembered until it is taken")
	}
}
