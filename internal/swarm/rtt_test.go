package swarm

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestSilentBoxIsGone: a box that answers no ping is hung up on within three
// rounds, and one that misses a single one is not.
func TestSilentBoxIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := map[peer.ID][]bool{"silent": {true, true, true, true}, "lossy": {true, true, true, true, false, true, false, true}}
		gone := make(map[peer.ID]time.Duration)
		begun := time.Now()
		r := newRTTs(nil)
		var mu sync.Mutex
		r.ping = func(_ context.Context, id peer.ID) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			a := answers[id]
			if len(a) == 0 {
				if id == "lossy" {
					return time.Millisecond, nil
				}
				return 0, errors.New("no answer")
			}
			answers[id] = a[1:]
			if !a[0] {
				return 0, errors.New("no answer")
			}
			return time.Millisecond, nil
		}
		r.hangUp = func(id peer.ID) {
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
		<-done
		if at, ok := gone["silent"]; !ok || at > 3*pingEvery {
			t.Errorf("the silent box was given up after %s, %v", at, ok)
		}
		if at, ok := gone["lossy"]; ok {
			t.Errorf("a box that missed single pings was given up after %s", at)
		}
	})
}
