package load

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// peers are two more boxes, with clients and a mirror of their own.
type peers struct {
	site  *site
	boxes []*box.Box
	side  *site // its books have what the clients of these boxes got
}

func newPeers(s *site) *peers {
	p := &peers{site: s}
	for range 2 {
		p.boxes = append(p.boxes, box.Start(s.t, "MILLPOND_KEYRING_DIR="+s.archive.keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8",
			"MILLPOND_INDEX_TTL=1s", "MILLPOND_CACHE_SIZE="+cacheSize, "MILLPOND_BOOTSTRAP="+s.box.URL))
	}
	p.connected(2)
	return p
}

// connected waits until the site's box has so many peers.
func (p *peers) connected(n int) {
	p.site.t.Helper()
	p.site.box.Until("other boxes are connected", func() bool { return len(p.site.box.Peers()) == n })
}

// clients has two clients of each box get files, whether it is up or not.
func (p *peers) clients() {
	p.side = &site{t: p.site.t, archive: p.site.archive, books: newBooks(), pause: make(chan struct{})}
	for _, b := range p.boxes {
		p.side.box = b
		p.side.work(2, "of peers", 200*time.Millisecond, func(c *client, r *rand.Rand) {
			mirror := p.site.archive.mirror
			_, _, _ = c.get(p.site.t.Context(), mirror.URL("/debian/"+release), how{})
			for _, kind := range []string{"indices", small, small, medium} {
				_, _, _ = c.get(p.site.t.Context(), mirror.URL(p.site.archive.choose(r, kind)), how{})
			}
		})
	}
}

func (p *peers) rest() { p.side.rest() }

// steps are what happens in each cycle, at equal intervals. Faults of the mirror concern
// some of the requests for packages.
func (s *site) steps(p *peers) []func() {
	var now *aptest.Injection
	fault := func(faults ...aptest.Fault) func() {
		return func() {
			if now != nil {
				now.Release()
			}
			now = s.archive.mirror.Inject("*/pool/*", aptest.InTurn(faults...))
		}
	}
	return []func(){
		fault(aptest.Status(503), nil, aptest.Status(500), nil, nil),
		fault(aptest.Stall(20_000), nil, nil, nil, aptest.Hold()),
		fault(aptest.Corrupt(5000, 10), nil, nil, aptest.Shorter(100), aptest.Longer(100)),
		fault(aptest.Truncate(30_000), nil, aptest.Drop(), aptest.Reset("HTTP/1.1 200 OK\r\nContent-Length: LENGTH\r\n\r\nB"), nil),
		func() {
			now.Release()
			s.archive.next(s.learned)
		},
		func() {
			p.boxes[1].Kill()
			s.origin.down()
		},
		func() {
			if err := s.origin.up(); err != nil { // it is asked again some seconds later
				s.t.Error(err)
			}
			p.boxes[1].Run()
		},
		func() {
			p.boxes[0].Stop()
			p.boxes[0].Run()
		},
	}
}

// learned waits until the box serves a new generation. Before, its files are unknown to
// it, so that it passes on what the mirror sends.
func (s *site) learned(inRelease []byte) {
	want := fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(inRelease)))
	c := newClient(s.t, s.books, s.box.URL, "generations", s.archive.isRight)
	s.box.Until("the box has the new generation", func() bool {
		_, etag, _ := c.get(s.t.Context(), s.url("/debian/"+release), how{})
		return etag == want
	})
}

// validators are the ETags that clients got last.
type validators struct {
	mu     sync.Mutex        // guards below
	byPath map[string]string // guarded by mu
}

func newValidators() *validators { return &validators{byPath: make(map[string]string)} }

func (v *validators) get(path string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.byPath[path]
}

func (v *validators) set(path, etag string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if etag != "" {
		v.byPath[path] = etag
	}
}
