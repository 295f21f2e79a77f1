package blobproto

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// send sends as fast as it is let, over streams of one peer, until ctx ends and
// returns the bytes.
func send(ctx context.Context, t *testing.T, u *uploads, id string, streams int) int64 {
	var sending sync.WaitGroup
	var mu sync.Mutex // guards sum
	sum := int64(0)
	for range streams {
		p, ok := u.begin(id, false, nil)
		if !ok {
			t.Error("no slot")
			return 0
		}
		sending.Go(func() {
			defer p.end()
			for n := p.chunk(); p.wait(ctx, n) == nil; n = p.chunk() {
				mu.Lock()
				sum += int64(n)
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	return sum
}

func TestFairShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate, seconds = 1 << 20, 10
		u := newUploads(rate)
		ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
		defer cancel()
		var one, many int64
		var both sync.WaitGroup
		both.Go(func() { one = send(ctx, t, u, "one", 1) })
		both.Go(func() { many = send(ctx, t, u, "many", 16) })
		both.Wait()
		if sum := one + many; sum > rate*seconds+maxChunk || sum < rate*(seconds-1) {
			t.Errorf("%d bytes in %d s at %d per second", sum, seconds, rate)
		}
		if float64(one) < 0.8*float64(many) {
			t.Errorf("a peer with one stream got %d bytes, one with 16 %d", one, many)
		}
		if len(u.peers) != 0 || u.total != 0 {
			t.Errorf("%d slots of %d peers are taken after the end", u.total, len(u.peers))
		}
	})
}

// TestOneTakesAll: what nobody else wants is not kept free.
func TestOneTakesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(1 << 20)
		idle, _ := u.begin("idle", false, nil)
		defer idle.end()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if got := send(ctx, t, u, "one", 1); got < 9<<20 {
			t.Errorf("%d bytes in 10 s at 1 MiB per second", got)
		}
	})
}

// TestFree: boxes of the site need not be held to the rate.
func TestFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(1000)
		p, _ := u.begin("near", true, nil)
		defer p.end()
		begun := time.Now()
		for range 100 {
			if err := p.wait(t.Context(), maxChunk); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("a free upload waited %s for the rate", took)
		}
	})
}

func TestClientsGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := true
		u := newUploads(0)
		p, _ := u.begin("one", false, func() bool { return busy })
		defer p.end()
		took := func() time.Duration {
			begun := time.Now()
			for range 10 {
				if err := p.wait(t.Context(), p.chunk()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begun)
		}
		if got, want := took(), 10*busySteps*busyStep; got != want {
			t.Errorf("ten chunks take %s while clients are served, want %s", got, want)
		}
		busy = false
		if got := took(); got != 0 {
			t.Errorf("ten chunks take %s while nobody is served, want 0", got)
		}
	})
}

func TestSlots(t *testing.T) {
	t.Parallel()
	u := newUploads(0)
	var taken []*upload
	for _, id := range []string{"a", "b", "c", "d"} {
		for range maxUploadsPerPeer {
			p, ok := u.begin(id, false, nil)
			if !ok {
				t.Fatalf("no slot for %s after %d", id, len(taken))
			}
			taken = append(taken, p)
		}
		if _, ok := u.begin(id, false, nil); ok {
			t.Errorf("%s has more than %d slots", id, maxUploadsPerPeer)
		}
	}
	if _, ok := u.begin("e", false, nil); ok {
		t.Errorf("more than %d slots", maxUploads)
	}
	taken[0].end()
	if _, ok := u.begin("e", false, nil); !ok {
		t.Error("a slot that was given back is not free")
	}
}
