// Package swarm holds the tests of several built boxes that find each other
// and give each other what they hold, with the real apt and a mirror that
// counts what it sends.
package swarm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// Four empty boxes whose clients update and install at once: each index and
// each package leaves the mirror once.
func TestFourEmptyBoxesAtOnce(t *testing.T) {
	packages := seventy()
	s := newSwarm(t, packages)
	s.add(4)
	var clients sync.WaitGroup
	for _, b := range s.boxes {
		clients.Go(func() {
			if err := install(t.Context(), s.client(b), names(packages)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	asked := make(map[string]int)
	for _, r := range s.mirror.Log() {
		if !head(r.Path) {
			asked[r.Path]++
		}
	}
	if len(asked) < 70 {
		t.Errorf("the mirror was asked for %d files only", len(asked))
	}
	for path, n := range asked {
		if n > 1 {
			t.Errorf("the mirror was asked %d times for %s", n, path)
		}
	}
}

// get fetches a file through a box and returns the digest of what came.
func get(ctx context.Context, b *box.Box, u string) (sum [32]byte, n int64, err error) {
	proxy, err := url.Parse(b.URL)
	if err != nil {
		return sum, 0, err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return sum, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return sum, 0, err
	}
	defer resp.Body.Close()
	h := sha256.New()
	n, err = io.Copy(h, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", u, resp.Status)
	}
	return [32]byte(h.Sum(nil)), n, err
}

// crowd gets all files through a box, ten at a time, and checks them.
func crowd(ctx context.Context, b *box.Box, m *aptest.Mirror, files []aptest.File) error {
	work := make(chan aptest.File)
	errs := make(chan error, len(files))
	var workers sync.WaitGroup
	for range 10 {
		workers.Go(func() {
			for f := range work {
				sum, n, err := get(ctx, b, m.URL("/debian/"+f.Path))
				if err == nil && sum != sha256.Sum256(f.Data) {
					err = fmt.Errorf("%s: %d wrong bytes", f.Path, n)
				}
				errs <- err
			}
		})
	}
	for _, f := range files {
		work <- f
	}
	close(work)
	workers.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestFlashCrowd has eight boxes fetch the same fifty new files, 1 kB to
// 200 MB, at the same instant. Where other work takes the processors, boxes are silent
// for so long that the mirror is asked; so it is measured up to three times.
func TestFlashCrowd(t *testing.T) {
	var copies float64
	for range 3 {
		if copies = flashCrowd(t); copies <= 1.05 {
			return
		}
	}
	t.Errorf("the mirror sent %.3f × the unique bytes, want at most 1.05", copies)
}

// flashCrowd returns how often the mirror sent the unique bytes.
func flashCrowd(t *testing.T) (copies float64) {
	t.Helper()
	const boxes = 8
	s := newSwarm(t, nil)
	var files []aptest.File
	var unique int64
	for i := range 50 {
		size := 1000 << (i % 11)
		switch i {
		case 0:
			size = 200e6
		case 1:
			size = 30e6
		}
		f := s.archive.Add(aptest.Package{Name: fmt.Sprintf("new%02d", i), Version: "1.0", Size: size})
		files = append(files, f)
		unique += int64(len(f.Data))
	}
	s.mirror.Publish("/debian", s.archive.Publish(time.Now().Add(-time.Hour)))
	// A line of 160 Mbit/s for each download: the mirror is what is scarce.
	s.mirror.Inject("*/pool/*", aptest.Slow(20e6))
	update := func(b *box.Box) {
		s.client(b).MustApt("update", "--error-on=any")
	}

	alone := newSwarm(t, nil)
	alone.archive, alone.mirror = s.archive, s.mirror
	alone.add(1)
	update(alone.boxes[0])
	begun := time.Now()
	if err := crowd(t.Context(), alone.boxes[0], s.mirror, files); err != nil {
		t.Fatal(err)
	}
	one := time.Since(begun)
	alone.boxes[0].Stop()

	s.add(boxes)
	for _, b := range s.boxes {
		update(b)
	}
	s.mirror.ResetLog()
	begun = time.Now()
	var all sync.WaitGroup
	for _, b := range s.boxes {
		all.Go(func() {
			if err := crowd(t.Context(), b, s.mirror, files); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	last := time.Since(begun)
	sent := s.mirror.BytesSent("*/pool/*")
	for _, b := range s.boxes {
		b.Stop()
	}
	copies = float64(sent) / float64(unique)
	t.Logf("one box alone %v; the last of %d boxes %v (%.2f ×); the mirror sent %d bytes for %d unique ones (%.3f ×)",
		one, boxes, last, last.Seconds()/one.Seconds(), sent, unique, copies)
	return copies
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
