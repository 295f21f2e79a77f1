package compare

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

const (
	seeders = 4
	// peerLine is the line of each, in Mbit/s.
	peerLine = 100
	onePeer  = "one peer"
)

// peersWorks has a box take a file from one box and another from four, each behind a line of
// its own.
func peersWorks(t *testing.T, r *results) {
	size := int64(coldSize) // 48 pieces: twelve for each of the four
	if r.short {
		size = 20_000_000
	}
	w := box.NewNetwork(t, 92)
	l, err := net.Listen("tcp", w.IP+":8080")
	if err != nil {
		t.Fatal(err)
	}
	sizes := make([]int64, 2*r.rounds)
	for i := range sizes {
		sizes[i] = size
	}
	s := newMirror(t, l, sizes)
	var boxes []*box.Box
	var urls []string
	for i := range seeders + 1 {
		h := w.Host()
		// Private addresses are dialled only if they were named.
		b := box.StartIn(t, h, append(s.settings(), "MILLPOND_UPLOAD_RATE=0", "MILLPOND_BOOTSTRAP="+strings.Join(urls, ","))...)
		s.learn(b)
		boxes, urls = append(boxes, b), append(urls, b.URL)
		if i == seeders {
			break
		}
		for n, f := range s.files {
			if n%2 == 1 || i == 0 {
				s.fill(subject{name: fmt.Sprint("seeder ", i), url: b.URL}, []file{f})
			}
		}
		h.Limit(peerLine)
	}
	taker := boxes[seeders]
	taker.Until("the box knows what the others hold", func() bool {
		known := 0
		for _, p := range taker.Peers() {
			if p.Held >= int64(r.rounds) {
				known++
			}
		}
		return known == seeders
	})
	asked := s.sent.Load()
	work := fmt.Sprintf("%s from %d boxes", megabytes(size), seeders)
	r.describe(work, fmt.Sprintf("A box takes one file from one box of its site, and another of that size, which %d boxes hold, from these. "+
		"Each has a line of %d Mbit/s. The bytes are checked.", seeders, peerLine))
	for round := range r.rounds {
		for i, from := range []string{onePeer, millpond} {
			f := s.files[2*round+i]
			begun := time.Now()
			if err := check(http.DefaultClient, taker.URL+"/"+s.mirror+f.path, f); err != nil {
				t.Fatal(err)
			}
			took := time.Since(begun).Seconds()
			r.note(work, from, figures{"seconds": took, "MB/s": float64(size) / 1e6 / took})
			t.Logf("%s, %s: %.2f s", work, from, took)
		}
	}
	// While all is verified first, a client that gets nothing for 10 s gets 64 KiB of the
	// mirror's (fetch/keepalive.go): once or twice of each file.
	if sent := s.sent.Load() - asked; sent > int64(len(s.files))*2*64<<10 {
		t.Errorf("the mirror sent %d bytes of files that boxes of the site hold", sent)
	}
	r.expect(target{work: work, measure: "MB/s", against: onePeer, limit: 3.6, atLeast: true, what: "rate from one"})
}
