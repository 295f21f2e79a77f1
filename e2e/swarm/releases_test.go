package swarm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/dishonest"
	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/peer"
)

const inRelease = "/debian/dists/stable/InRelease"

// releases are the requests for Release files that the mirror got since ResetLog.
func (s *swarm) releases() (all []aptest.Request) {
	for _, r := range s.mirror.Log() {
		if head(r.Path) {
			all = append(all, r)
		}
	}
	return all
}

// clients has ten clients, of each box in turn, ask for InRelease as an update begins, ten
// times a second for so long.
func (s *swarm) clients(lasting time.Duration) (n int64) {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), lasting)
	defer stop()
	var all sync.WaitGroup
	var done atomic.Int64
	for i := range 10 {
		all.Go(func() {
			for tick := time.NewTicker(100 * time.Millisecond); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return
				case <-tick.C:
				}
				if _, _, err := get(s.t.Context(), s.boxes[i%len(s.boxes)], s.mirror.URL(inRelease)); err != nil {
					s.t.Error(err)
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return done.Load()
}

// TestOnePollServesTheSite has ten clients behind three boxes. The mirror is asked by one
// box per TTL, and sends a new generation once.
func TestOnePollServesTheSite(t *testing.T) {
	const (
		ttl     = 2 * time.Second
		lasting = 8 * ttl
	)
	asked := make(map[bool]int)
	for _, together := range []bool{false, true} {
		s := newSwarm(t, map[string]int{"hello": 1000})
		settings := []string{fmt.Sprintf("MILLPOND_INDEX_TTL=%v", ttl)}
		if together {
			s.add(3, settings...)
		} else {
			for range 3 {
				alone := newSwarm(t, nil)
				alone.keys = s.keys
				alone.add(1, append(settings, "MILLPOND_SWARM=false")...)
				s.boxes = append(s.boxes, alone.boxes...)
			}
		}
		for _, b := range s.boxes {
			s.client(b).MustApt("update", "--error-on=any")
		}
		s.clients(3 * ttl) // until two answers of the mirror have proved its validators
		s.mirror.ResetLog()
		begun := time.Now()
		n := s.clients(lasting)
		ttls := int(time.Since(begun)/ttl) + 1
		all := s.releases()
		asked[together] = len(all)
		t.Logf("three boxes, together: %v: %d requests of ten clients in %d TTLs made %d at the mirror", together, n, ttls, len(all))
		if together && len(all) > ttls+1 {
			t.Errorf("%d requests in %d TTLs, want one in each", len(all), ttls)
		}
		for _, r := range all {
			if r.IfModifiedSince == "" && r.IfNoneMatch == "" {
				t.Errorf("the request for %s is not conditional", r.Path)
			}
		}
		s.newGeneration(t, together)
		for _, b := range s.boxes {
			b.Stop()
		}
	}
	if asked[true] > asked[false]/2 {
		t.Errorf("together the boxes made %d requests, of %d apart", asked[true], asked[false])
	}
}

// newGeneration has the mirror publish, and all boxes take what it has.
func (s *swarm) newGeneration(t *testing.T, together bool) {
	t.Helper()
	s.archive.Add(aptest.Package{Name: "newer", Version: "1.0", Size: 1000})
	g := s.archive.Publish(time.Now().Add(-time.Minute))
	s.mirror.ResetLog()
	s.mirror.Publish("/debian", g)
	want := sha256.Sum256(g.File(strings.TrimPrefix(inRelease, "/debian/")))
	var boxes sync.WaitGroup
	for i, b := range s.boxes {
		boxes.Go(func() {
			b.Until("the box has the new generation", func() bool {
				got, _, err := get(t.Context(), b, s.mirror.URL(inRelease))
				if err != nil {
					t.Errorf("box %d: %v", i, err)
				}
				return got == want
			})
		})
	}
	boxes.Wait()
	for _, b := range s.boxes {
		s.client(b).MustApt("update", "--error-on=any")
	}
	sent := make(map[string]int) // answers with bytes, by what they are
	for _, r := range s.mirror.Log() {
		if r.Status == http.StatusOK || r.Status == http.StatusPartialContent {
			sent[map[bool]string{true: "Release files", false: "indices"}[head(r.Path)]]++
		}
	}
	t.Logf("three boxes, together: %v: a new generation took %d answers with Release files and %d with indices, or a byte of them", together, sent["Release files"], sent["indices"])
	if together && sent["Release files"] != 1 {
		t.Errorf("the mirror sent the new Release %d times, want once", sent["Release files"])
	}
}

// liar answers queries about suites as a test says.
type liar struct {
	mu     sync.Mutex
	says   func() peer.ReleaseOffer
	asked  atomic.Int64
	silent atomic.Bool
}

// Release implements peer.Releases.
func (l *liar) Release(ctx context.Context, _ peer.Asker, _ peer.ReleaseQuery, asking func()) (peer.ReleaseOffer, error) {
	l.asked.Add(1)
	if l.silent.Load() {
		asking()
		<-ctx.Done()
		return peer.ReleaseOffer{}, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.says(), nil
}

type upload struct{ *bytes.Reader }

func (upload) Close() error { return nil }

// TestDishonestOwnerOfASuite has boxes with one neighbour each, which owns the suite and
// lies about it. Clients get the present Release, within a second.
func TestDishonestOwnerOfASuite(t *testing.T) {
	s := newSwarm(t, map[string]int{"hello": 1000})
	name := strings.TrimPrefix(inRelease, "/debian/")
	other := aptest.NewArchive(s.key, aptest.Suite{Name: "other"}).Publish(time.Now().Add(-time.Minute)).File("dists/other/InRelease")
	older := s.archive.Publish(time.Now().Add(-50 * time.Hour)).File(name)
	present := s.archive.Publish(time.Now().Add(-time.Hour))
	text := present.File(path.Dir(name) + "/Release")
	changed := bytes.Replace(present.File(name), []byte("Origin: "), []byte("Origin: x"), 1)
	expired := aptest.Clearsign(append(bytes.Clone(text), "Valid-Until: Thu, 01 Jan 2026 00:00:00 UTC\n"...), time.Now().Add(-time.Minute), s.key)
	stranger := aptest.Clearsign(text, time.Now().Add(-time.Minute), aptest.NewKey("stranger"))
	s.mirror.Publish("/debian", present)
	want := sha256.Sum256(present.File(name))
	for lie, sent := range map[string][]byte{
		"older": older, "another suite": other, "changed": changed, "expired": expired, "another key": stranger, "not signed": text, "silent": nil,
	} {
		t.Run(lie, func(t *testing.T) {
			b := box.Start(t, "MILLPOND_KEYRING_DIR="+s.keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8", "MILLPOND_INDEX_TTL=1s")
			read := func() time.Duration {
				begun := time.Now()
				got, _, err := get(t.Context(), b, s.mirror.URL(inRelease))
				if err != nil || got != want {
					t.Errorf("the client has %x, %v; want the present Release, %x", got, err, want)
				}
				return time.Since(begun)
			}
			read()
			var id api.Identity
			if err := json.Unmarshal(b.Get(api.IdentityPath), &id); err != nil {
				t.Fatal(err)
			}
			l := &liar{says: func() peer.ReleaseOffer {
				return peer.ReleaseOffer{Open: func(context.Context) (peer.Upload, peer.Upload, error) {
					return upload{bytes.NewReader(sent)}, nil, nil
				}}
			}}
			l.silent.Store(sent == nil)
			dishonest.Owner(t, s.mirror.URL(path.Dir(inRelease)), id.Addrs, l)
			b.Until("the box asks the liar", func() bool { read(); return l.asked.Load() > 0 })
			slowest := time.Duration(0)
			s.mirror.ResetLog()
			b.Until("the mirror is asked twice more", func() bool {
				slowest = max(slowest, read())
				return len(s.releases()) >= 2
			})
			t.Logf("asked %d times; the slowest request took %v", l.asked.Load(), slowest.Round(time.Millisecond))
			if slowest > 1500*time.Millisecond {
				t.Errorf("a request took %v", slowest)
			}
			if sent != nil && l.asked.Load() > 1 {
				t.Errorf("the liar was asked %d times", l.asked.Load())
			}
			if in := b.Summary().PeerBytesIn; (in > 0) != (sent != nil) {
				t.Errorf("%d bytes count as a peer's, of %d", in, len(sent))
			}
		})
	}
}
