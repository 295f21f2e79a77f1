package load

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	cycle     = 24 * time.Second // in which each fault has its turn
	calmTime  = 10 * time.Second // at the beginning, without faults
	closing   = 20 * time.Second // at most, for what has begun and the ledger
	cacheSize = "130MB"          // less than two generations and the database have
	warmUp    = 2                // cycles that count for nothing
	allowance = 0.10             // by which the second half may have more than the first
)

// slack is what may be more in the second half beside the allowance: what clients that
// happen to come together need.
var slack = vitals{anonymous: 12 << 20, goroutines: 25, descriptors: 25}

// TestSoak has clients of all kinds while the mirror fails in all kinds of ways, new
// generations come out and two other boxes come and go. What the box takes stays as it
// is, and its ledger has what the clients received and what the mirror sent.
func TestSoak(t *testing.T) {
	begun, length := time.Now(), soakLength()
	s := newSite(t, "MILLPOND_CACHE_SIZE="+cacheSize)
	s.clients(false)
	waitUntil(t, begun.Add(calmTime))
	s.rest()
	s.balance("without faults", true)

	p := newPeers(s)
	rounds := (int((length-time.Since(begun)-closing)/cycle) - warmUp) &^ 1
	if rounds < 2 {
		t.Fatalf("%v is too short", length)
	}
	p.clients()
	s.clients(true)
	s.rounds(p, warmUp)
	watch := newWatch(t, s.box, cycle*time.Duration(rounds)/240)
	s.rounds(p, rounds/2)
	first := watch.half()
	s.rounds(p, rounds/2)
	second := watch.half()
	watch.end()
	p.rest()
	s.rest()
	all := s.balance("after all", false)

	s.table()
	summary := s.box.Summary()
	t.Logf("from other boxes %s, to them %s; to clients %s, from the mirror %s in %d requests; %d blobs, %s of %s",
		mb(summary.PeerBytesIn), mb(summary.PeerBytesOut), mb(summary.ClientBytes), mb(summary.MirrorBytes), summary.MirrorRequests,
		summary.Blobs, mb(summary.BlobBytes), mb(summary.QuotaBytes))
	watch.check(first, second)
	if len(s.books.wrong) > 0 {
		t.Errorf("complete files with wrong bytes: %v", s.books.wrong)
	}
	if all.exact < all.others {
		t.Error("most bytes came to clients that were cut, so that the ledger was hardly checked")
	}
	if summary.PeerBytesIn == 0 || summary.PeerBytesOut == 0 {
		t.Error("the boxes gave each other nothing")
	}
	t.Logf("%v in all", time.Since(begun).Round(time.Second))
}

// clients has all kinds of clients work; some leave early only if that is asked for.
func (s *site) clients(leaving bool) {
	a := s.archive
	etags := newValidators()
	s.work(6, "small files", 60*time.Millisecond, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, small)), how{})
	})
	s.work(3, "updates", 300*time.Millisecond, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url("/debian/"+release), how{})
		for range 3 {
			_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, "indices")), how{})
		}
	})
	s.work(2, "conditional", 100*time.Millisecond, func(c *client, r *rand.Rand) {
		path := "/debian/" + release
		if r.IntN(2) > 0 {
			path = a.choose(r, medium)
		}
		_, etag, _ := c.get(s.t.Context(), s.url(path), how{header: map[string]string{"If-None-Match": etags.get(path)}})
		etags.set(path, etag)
	})
	s.work(3, "medium files", 200*time.Millisecond, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, medium)), how{})
	})
	s.work(2, "large files", time.Second, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, large)), how{})
	})
	s.work(2, "ranges", 150*time.Millisecond, func(c *client, r *rand.Rand) {
		from := r.IntN(1 << 20)
		part := fmt.Sprintf("bytes=%d-%d", from, from+r.IntN(300<<10))
		if r.IntN(4) == 0 {
			part += fmt.Sprintf(",%d-", 1<<20)
		}
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, medium)), how{header: map[string]string{"Range": part}, size: 2 << 20})
	})
	s.work(1, "HEAD", 50*time.Millisecond, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, medium)), how{method: http.MethodHead})
	})
	s.work(2, "absent files", 50*time.Millisecond, func(c *client, r *rand.Rand) {
		path := fmt.Sprintf("/debian/pool/main/a/absent/absent%d_1.0_all.deb", s.absent.Add(1))
		_, _, _ = c.get(s.t.Context(), s.url(path), how{})
	})
	s.work(2, "slow readers", time.Second, func(c *client, r *rand.Rand) {
		_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, small)), how{rate: 30 << 10})
	})
	if leaving {
		s.work(3, "leaving early", 150*time.Millisecond, func(c *client, r *rand.Rand) {
			_, _, _ = c.get(s.t.Context(), s.url(a.choose(r, medium)), how{leave: 1 + r.Int64N(1<<20), size: 2 << 20})
		})
	}
}

// rounds goes through all faults n times.
func (s *site) rounds(p *peers, n int) {
	steps := s.steps(p)
	for range n {
		begun := time.Now()
		for i, do := range steps {
			do()
			waitUntil(s.t, begun.Add(cycle*time.Duration(i+1)/time.Duration(len(steps))))
		}
	}
}

func waitUntil(t *testing.T, then time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(then)):
	case <-t.Context().Done():
		t.Fatal("the test was stopped")
	}
}

// table prints what came of the clients' requests.
func (s *site) table() {
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	out := new(strings.Builder)
	fmt.Fprintf(out, "%-16s %9s %9s %8s %6s %11s\n", "clients", "requests", "complete", "refused", "cut", "bytes")
	kinds := make([]string, 0, len(s.books.tallies))
	for kind := range s.books.tallies {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(x, y string) int { return cmp.Compare(s.books.tallies[y].requests, s.books.tallies[x].requests) })
	for _, kind := range kinds {
		n := s.books.tallies[kind]
		fmt.Fprintf(out, "%-16s %9d %9d %8d %6d %11s\n", kind, n.requests, n.complete, n.refused, n.cut, mb(n.bytes))
	}
	for cause, n := range s.books.refusals {
		fmt.Fprintf(out, "refused %5d times: %s\n", n, cause)
	}
	s.t.Log("\n" + out.String())
}
