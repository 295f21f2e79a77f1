package swarm

import (
	"encoding/json"
	"slices"
	"testing"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// current is a client that fetched its lists from the mirror itself and uses
// the box from now on.
func (s *swarm) current(b *box.Box) *aptest.Client {
	s.t.Helper()
	c := s.client(b)
	c.Proxy("DIRECT")
	c.MustApt("update", "--error-on=any")
	c.Proxy(b.URL)
	return c
}

// TestClientsWithCurrentLists has clients whose lists were there before the
// boxes: to apt-get update they get 304, and fetch no index.
func TestClientsWithCurrentLists(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(2)
	first, second, third := s.current(s.boxes[0]), s.current(s.boxes[1]), s.current(s.boxes[1])
	install := append([]string{"install", "--download-only"}, names(packages)...)
	var from [2]int64 // bytes of packages that the mirror sent
	for i, c := range []*aptest.Client{first, second} {
		b := s.boxes[i]
		s.mirror.ResetLog()
		c.MustApt("update", "--error-on=any")
		if sent := s.mirror.BytesSent("*/Packages*") + s.mirror.BytesSent("*/by-hash/*"); sent > 0 && i > 0 {
			t.Errorf("the mirror sent %d bytes of indices to the second box", sent)
		}
		b.Until("the index is read", func() bool { return hasIndex(t, b) })
		c.MustApt(install...)
		from[i] = s.mirror.BytesSent("*/pool/*")
		if i == 0 {
			s.inventory(b, int64(len(packages)))
		}
	}
	t.Logf("the mirror sent %d bytes of packages to the first box, %d to the second", from[0], from[1])
	if from[0] == 0 || from[1] != 0 {
		t.Errorf("the mirror sent %d bytes of packages to the second box, want none", from[1])
	}
	if in := s.boxes[1].Summary().PeerBytesIn; in < from[0] {
		t.Errorf("the second box took %d bytes from the first, of %d", in, from[0])
	}
	// The mirror is away, and the next client has never asked for a Release.
	s.mirror.Down()
	third.MustApt(install...)
}

// TestInstallWithCurrentLists has clients that only install. What the first
// box fetched before it had read the index is shared, too, and the second box
// asks the mirror for no more than what its client wanted before that.
func TestInstallWithCurrentLists(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(2)
	clients := []*aptest.Client{s.current(s.boxes[0]), s.current(s.boxes[1])}
	var from [2]int64 // bytes of packages that the mirror sent
	for i, b := range s.boxes {
		if _, _, err := get(t.Context(), b, s.mirror.URL("/debian/dists/stable/InRelease")); err != nil {
			t.Fatal(err)
		}
		s.mirror.ResetLog()
		clients[i].MustApt(append([]string{"install", "--download-only"}, names(packages)...)...)
		from[i] = s.mirror.BytesSent("*/pool/*")
		b.Until("the index is read", func() bool { return hasIndex(t, b) })
		if i == 0 {
			s.inventory(b, int64(len(packages)))
		}
	}
	t.Logf("the mirror sent %d bytes of packages to the first box, %d to the second", from[0], from[1])
	if from[1] > from[0]/2 {
		t.Errorf("the mirror sent %d bytes of packages to the second box, after %d to the first", from[1], from[0])
	}
}

// hasIndex reports whether the box has read an index.
func hasIndex(t *testing.T, b *box.Box) bool {
	t.Helper()
	var all api.Page[api.Suite]
	if err := json.Unmarshal(b.Get("/api/v1/suites"), &all); err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all.Items, func(s api.Suite) bool { return len(s.Indices) > 0 })
}
