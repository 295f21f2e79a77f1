package swarm

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
)

// TestSilentBoxIsGone: a box that answers no ping is disconnected within three
// rounds; a box that misses a single ping is not.
func TestSilentBoxIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := map[p2p.ID][]bool{"silent": {true, true, true, true}, "lossy": {true, true, true, true, false, true, false, true}}
		gone := make(map[p2p.ID]time.Duration)
		begun := time.Now()
		r := newRTTs(nil)
		var mu sync.Mutex
		r.ping = func(_ context.Context, id p2p.ID) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			a := answers[id]
			if len(a) == 0 {
				if id == "lossy" {
					return time.Millisecond, nil
				}
				return 0, context.DeadlineExceeded
			}
			answers[id] = a[1:]
			if !a[0] {
				return 0, context.DeadlineExceeded
			}
			return time.Millisecond, nil
		}
		r.hangUp = func(id p2p.ID) {
			mu.Lock()
			gone[id] = time.Since(begun)
			mu.Unlock()
			r.disconnected(id)
		}
		r.connected("silent")
		r.connected("lossy")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		time.Sleep(time.Minute) // of the bubble's clock
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if at, ok := gone["silent"]; !ok || at > 3*pingEvery {
			t.Errorf("the silent box was given up after %s, %v", at, ok)
		}
		if at, ok := gone["lossy"]; ok {
			t.Errorf("a box that missed single pings was given up after %s", at)
		}
	})
}

// TestLatePings: a box is not given up for the pings that it missed while this process
// was late itself, but for those after.
func TestLatePings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRTTs(nil)
		var late, dead atomic.Bool
		r.lag = func() time.Duration {
			if late.Load() {
				return pingTimeout/lateShare + 1
			}
			return pingTimeout / lateShare
		}
		r.ping = func(ctx context.Context, _ p2p.ID) (time.Duration, error) {
			if dead.Load() {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return time.Millisecond, nil
		}
		gone := make(chan p2p.ID, 1)
		r.hangUp = func(id p2p.ID) {
			gone <- id
			r.disconnected(id)
		}
		r.connected("box")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		synctest.Wait()
		late.Store(true)
		dead.Store(true)
		time.Sleep(10 * (pingEvery + pingTimeout)) // of the bubble's clock
		if len(gone) > 0 || r.unresponsive("box") {
			t.Error("a box is called silent by a process that is late")
		}
		late.Store(false)
		time.Sleep(3 * (pingEvery + pingTimeout))
		if len(gone) == 0 {
			t.Error("a silent box is not given up by a process that is in time again")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedPing: a ping whose stream the other box refuses does not keep that
// box from being asked for files.
func TestRefusedPing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRTTs(nil)
		fails := true
		r.ping = func(context.Context, p2p.ID) (time.Duration, error) {
			if fails {
				fails = false
				return 0, network.ErrReset
			}
			return time.Millisecond, nil
		}
		r.hangUp = func(id p2p.ID) { t.Errorf("%s was hung up on", id) }
		r.connected("box")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		synctest.Wait()
		if fails || r.unresponsive("box") {
			t.Errorf("pinged: %v, silent: %v", !fails, r.unresponsive("box"))
		}
		time.Sleep(2 * pingEvery) // of the bubble's clock
		if r.of("box") == 0 {
			t.Error("it was not pinged again")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSuspectedBox: a box is unresponsive from the first unanswered request until
// it answers a ping, and is disconnected after one unanswered ping.
func TestSuspectedBox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		gone := make(chan time.Time, 1)
		r := newRTTs(nil)
		r.ping = func(ctx context.Context, id p2p.ID) (time.Duration, error) {
			if dead.Load() {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			time.Sleep(time.Millisecond)
			return time.Millisecond, nil
		}
		r.hangUp = func(id p2p.ID) {
			gone <- time.Now()
			r.disconnected(id)
		}
		r.connected("box")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		time.Sleep(time.Second)
		r.suspect("box")
		if !r.unresponsive("box") {
			t.Error("not silent at once")
		}
		time.Sleep(2 * time.Millisecond)
		if r.unresponsive("box") {
			t.Error("still silent after it answered a ping")
		}
		dead.Store(true)
		begun := time.Now()
		for range 50 { // files of which none is answered
			r.suspect("box")
		}
		time.Sleep(pingTimeout - time.Millisecond)
		if !r.unresponsive("box") || len(gone) > 0 {
			t.Error("given up without a ping")
		}
		if took := (<-gone).Sub(begun); took > pingTimeout {
			t.Errorf("given up after %s, want %s", took, pingTimeout)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNewBoxIsMeasuredAtOnce: what a new box may do depends on its round trip, so
// that it waits neither for boxes that answer nothing nor for the next round after a
// refusal.
func TestNewBoxIsMeasuredAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Bool
		r := newRTTs(nil)
		r.ping = func(ctx context.Context, id p2p.ID) (time.Duration, error) {
			switch {
			case id != "new":
				<-ctx.Done()
				return 0, ctx.Err()
			case !refused.Swap(true):
				return 0, network.ErrReset
			}
			return time.Millisecond, nil
		}
		r.hangUp = func(p2p.ID) {}
		var measured atomic.Bool
		r.measured = func(id p2p.ID) { measured.Store(measured.Load() || id == "new") }
		for i := range 2 * pingsAtOnce {
			r.connected(p2p.ID([]byte{'a' + byte(i)}))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.run(ctx) }()
		synctest.Wait()
		begun := time.Now()
		r.connected("new")
		for !measured.Load() {
			time.Sleep(time.Millisecond) // of the bubble's clock
		}
		if took := time.Since(begun); took > 2*firstPingRetry || r.min("new") == 0 {
			t.Errorf("measured %v after %v", r.min("new"), took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
