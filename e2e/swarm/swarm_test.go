// Package swarm holds the tests of several built boxes that find each other
// and give each other what they hold, with the real apt and a mirror that
// counts what it sends.
package swarm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// swarm is an archive with a mirror, and the boxes before it.
type swarm struct {
	t       *testing.T
	key     *aptest.Key
	keys    string // keyring directory
	archive *aptest.Archive
	mirror  *aptest.Mirror
	boxes   []*box.Box
}

func newSwarm(t *testing.T, packages map[string]int) *swarm {
	t.Helper()
	s := &swarm{t: t, key: aptest.NewKey("archive"), keys: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.keys, "archive.gpg"), s.key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	s.archive = aptest.NewArchive(s.key)
	for name, size := range packages {
		s.archive.Add(aptest.Package{Name: name, Version: "1.0", Size: size})
	}
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	return s
}

// bootstrap names the boxes so far. Without a key, a box at a private address is
// dialled only if it was named.
func (s *swarm) bootstrap() string {
	var urls []string
	for _, b := range s.boxes {
		urls = append(urls, b.URL)
	}
	return "MILLPOND_BOOTSTRAP=" + strings.Join(urls, ",")
}

// stop ends the boxes.
func (s *swarm) stop() {
	for _, b := range s.boxes {
		b.Stop()
	}
}

// add starts n boxes that know those before them, and waits until all are
// connected with all.
func (s *swarm) add(n int, settings ...string) {
	s.t.Helper()
	for range n {
		env := append([]string{"MILLPOND_KEYRING_DIR=" + s.keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8", s.bootstrap()}, settings...)
		s.boxes = append(s.boxes, box.Start(s.t, env...))
	}
	for i, b := range s.boxes {
		b.Until(fmt.Sprintf("box %d is connected with %d others", i, len(s.boxes)-1), func() bool {
			return len(b.Peers()) == len(s.boxes)-1
		})
	}
}

// client is a fresh apt behind a box.
func (s *swarm) client(b *box.Box) *aptest.Client {
	s.t.Helper()
	c := aptest.NewClient(s.t)
	c.Trust(s.key)
	c.Proxy(b.URL)
	c.Sources(s.mirror.Source("/debian", "stable", "main"))
	return c
}

// install updates and downloads packages.
func install(ctx context.Context, c *aptest.Client, names []string) error {
	if out, err := c.Apt(ctx, "update", "--error-on=any"); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	_, err := c.Apt(ctx, append([]string{"install", "--download-only"}, names...)...)
	return err
}

// inventory waits until every other box lists what b holds.
func (s *swarm) inventory(b *box.Box, atLeast int64) {
	s.t.Helper()
	for _, o := range s.boxes {
		if o != b {
			o.Until("the others know what the full box holds", func() bool {
				for _, p := range o.Peers() {
					if p.Held >= atLeast {
						return true
					}
				}
				return false
			})
		}
	}
}

// seventy are 70 packages of 1 kB to 2 MB.
func seventy() map[string]int {
	all := make(map[string]int)
	for i := range 70 {
		all[fmt.Sprintf("pkg%02d", i)] = 1000 << (i % 12)
	}
	return all
}

func names(packages map[string]int) []string {
	var all []string
	for name := range packages {
		all = append(all, name)
	}
	return all
}

// heads reports whether a path is that of an index head.
func head(path string) bool {
	name := filepath.Base(path)
	return name == "InRelease" || name == "Release" || name == "Release.gpg"
}

func TestSecondBoxBesideAFullOne(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(1)
	if err := install(t.Context(), s.client(s.boxes[0]), names(packages)); err != nil {
		t.Fatal(err)
	}
	s.mirror.ResetLog()
	s.add(1)
	s.inventory(s.boxes[0], 70)
	if err := install(t.Context(), s.client(s.boxes[1]), names(packages)); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.mirror.Log() {
		if !head(r.Path) {
			t.Errorf("the second box asked the mirror for %s", r.Path)
		}
	}
	first, second := s.boxes[0].Summary(), s.boxes[1].Summary()
	if second.PeerBytesIn == 0 || first.PeerBytesOut != second.PeerBytesIn {
		t.Errorf("the second box took %d bytes from peers, the first gave %d", second.PeerBytesIn, first.PeerBytesOut)
	}
	list, err := s.boxes[1].Command(t.Context(), "peers")
	if err != nil || !strings.Contains(list, s.boxes[1].Peers()[0].ID) || !strings.Contains(list, "direct") {
		t.Errorf("millpond peers: %v\n%s", err, list)
	}
	if sent := s.mirror.BytesSent("*"); second.MirrorBytes != sent {
		t.Errorf("the second box counts %d bytes of the mirror, which sent %d", second.MirrorBytes, sent)
	}
}

func TestMirrorGone(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(2, "MILLPOND_INDEX_TTL=0s")
	if err := install(t.Context(), s.client(s.boxes[0]), names(packages)); err != nil {
		t.Fatal(err)
	}
	s.client(s.boxes[1]).MustApt("update")
	s.inventory(s.boxes[0], 70)
	s.mirror.Down()
	if err := install(t.Context(), s.client(s.boxes[1]), names(packages)); err != nil {
		t.Errorf("with the mirror away the second box does not serve what the first holds: %v", err)
	}
}

// TestSeederKilled ends the only box that holds a file in the middle of its
// giving it; the mirror completes it.
func TestSeederKilled(t *testing.T) {
	s := newSwarm(t, nil)
	f := s.archive.Add(aptest.Package{Name: "large", Version: "1.0", Size: 100e6})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	s.add(1)
	if err := install(t.Context(), s.client(s.boxes[0]), []string{"large"}); err != nil {
		t.Fatal(err)
	}
	s.add(1)
	s.inventory(s.boxes[0], 1)
	s.client(s.boxes[1]).MustApt("update")
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		deadline := time.Now().Add(20 * time.Second)
		for s.boxes[1].Summary().PeerBytesIn < 5e6 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond) // polling another process
		}
		s.boxes[0].Kill()
	}()
	sum, n, err := get(t.Context(), s.boxes[1], s.mirror.URL("/debian/"+f.Path))
	<-killed
	if err != nil || sum != sha256.Sum256(f.Data) {
		t.Errorf("got %d bytes of %d, %v", n, len(f.Data), err)
	}
	if strings.Contains(s.boxes[1].Log(), "panic") {
		t.Error("the box panicked")
	}
}

// TestKilledBoxComesBack loses no blob, keeps its identity and is found again.
func TestKilledBoxComesBack(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(2)
	if err := install(t.Context(), s.client(s.boxes[1]), names(packages)); err != nil {
		t.Fatal(err)
	}
	id := s.boxes[0].Peers()[0].ID
	before := s.boxes[1].Summary().Blobs
	s.boxes[1].Kill()
	s.boxes[0].Until("the killed box is missed", func() bool { return len(s.boxes[0].Peers()) == 0 })
	s.boxes[1].Run()
	s.boxes[0].Until("the box is back", func() bool { return len(s.boxes[0].Peers()) == 1 })
	if got := s.boxes[0].Peers()[0].ID; got != id {
		t.Errorf("the box came back as %s, was %s", got, id)
	}
	if got := s.boxes[1].Summary().Blobs; got != before {
		t.Errorf("%d blobs after the kill, %d before", got, before)
	}
}

func TestOtherSwarmIsRefused(t *testing.T) {
	s := newSwarm(t, seventy())
	s.add(1)
	key, err := s.boxes[0].Command(t.Context(), "swarm-key")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "swarm.key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := box.Start(t, "MILLPOND_SWARM_KEY_FILE="+file, "MILLPOND_BOOTSTRAP="+s.boxes[0].URL)
	stranger.Until("the refusal is told", func() bool {
		return strings.Contains(stranger.Log(), "swarm key") || strings.Contains(s.boxes[0].Log(), "swarm key")
	})
	if n := len(stranger.Peers()); n != 0 {
		t.Errorf("the stranger has %d peers", n)
	}
	friend := box.Start(t, "MILLPOND_SWARM_KEY="+strings.TrimSpace(key), "MILLPOND_BOOTSTRAP="+stranger.URL)
	friend.Until("boxes with the same key meet", func() bool { return len(friend.Peers()) == 1 })
}
