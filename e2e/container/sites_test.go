package container

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// TestTwoSites runs deploy/docker/two-sites: what one site's box took from the
// mirror, the other site's takes from that box; with the line between them cut
// each serves what it holds and takes from the mirror what it lacks; and they
// find each other again.
func TestTwoSites(t *testing.T) {
	sizes := map[string]int{"late": 200_000, "after": 300_000}
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("pkg%02d", i)
		names = append(names, name)
		sizes[name] = 50_000 * (1 + i)
	}
	s := newSite(t, sizes)
	a, b := s.twoSites()
	for _, box := range []*instance{a, b} {
		confined(t, box)
		box.until("the sites are connected", func() bool { return len(box.peers()) == 1 })
	}

	install := "apt-get update; apt-get install -y " + strings.Join(names, " ")
	s.client("two-sites_office-a", "http://a:3142").sh(install)
	var total int64
	for _, name := range names {
		total += int64(len(s.debs[name].Data))
	}
	// InRelease is held too, and given to nobody.
	b.until("site B knows all that A holds", func() bool { return b.peers()[0].Held >= a.summary().Blobs-1 })
	officeB := s.client("two-sites_office-b", "http://b:3142")
	officeB.sh("! getent hosts a") // no way there but the box
	officeB.sh(install)
	if got := s.mirror.BytesSent("*.deb"); got != total {
		t.Errorf("the mirror sent %d bytes of packages that have %d", got, total)
	}
	if got := b.summary(); got.PeerBytesIn < total || a.summary().PeerBytesOut != got.PeerBytesIn {
		t.Errorf("site A gave %d bytes, site B took %d of packages that have %d", a.summary().PeerBytesOut, got.PeerBytesIn, total)
	}
	t.Logf("packages: %d bytes; mirror to A: %d in all, mirror to B: %d, A to B: %d",
		total, a.summary().MirrorBytes, b.summary().MirrorBytes, b.summary().PeerBytesIn)

	must(t, "network", "disconnect", "two-sites_vpn", b.id)
	s.fetch(a, "late")
	s.fetch(b, "late") // from the mirror, now
	s.mirror.Down()
	s.fetch(b, names...)
	begun := time.Now()
	if _, err := b.proxied(s.url("after")); err == nil {
		t.Error("a package came from nowhere")
	}
	t.Logf("cut off, without the mirror: an error after %v", time.Since(begun).Round(time.Millisecond))
	if err := s.mirror.Up(); err != nil {
		t.Fatal(err)
	}

	must(t, "network", "connect", "--alias", "b", "two-sites_vpn", b.id)
	begun = time.Now()
	b.until("the sites are connected again", func() bool { return len(b.peers()) == 1 && len(a.peers()) == 1 })
	t.Logf("healed after %v", time.Since(begun).Round(time.Millisecond))
	s.fetch(a, "after")
	gone := s.mirror.Inject("*/after_*", aptest.Status(http.StatusNotFound))
	defer gone.Release()
	b.until("site B takes from A again", func() bool {
		_, err := b.proxied(s.url("after"))
		return err == nil
	})
	s.fetch(b, "after")
}

// twoSites starts the compose file with its key; ports are published for the
// test alone.
func (s *site) twoSites() (a, b *instance) {
	s.t.Helper()
	dir := s.t.TempDir()
	file, err := os.ReadFile(root + "/deploy/docker/two-sites/docker-compose.yml")
	if err != nil {
		s.t.Fatal(err)
	}
	key := must(s.t, "run", "--rm", image, "swarm-key") + "\n"
	compose := filepath.Join(dir, "docker-compose.yml")
	if err := errors.Join(os.WriteFile(compose, file, 0o644), os.WriteFile(filepath.Join(dir, "swarm.key"), []byte(key), 0o644), os.Chmod(dir, 0o755)); err != nil {
		s.t.Fatal(err)
	}
	more := fmt.Sprintf("{ports: [3142], volumes: ['%s:/etc/apt/keyrings:ro']}", s.keys)
	p := newProject(s.t, "two-sites", []string{"MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr()},
		compose, override(s.t, dir, "services:\n  a: "+more+"\n  b: "+more+"\n"))
	p.compose("up", "-d")
	return p.box("a"), p.box("b")
}
