package fetch

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/peer"
)

// maxFound bounds the peers that a lookup remembers.
const maxFound = 16

// lookup is one search of the DHT for peers that hold a flight's file, beside
// what the flight does meanwhile.
type lookup struct {
	end      context.CancelFunc
	deadline time.Time // until when a download waits for it

	mu      sync.Mutex // guards what follows
	found   []peer.Peer
	over    bool
	changed broadcast.Signal
}

// lookups remembers how long the DHT takes to answer, and derives the head
// start that it gets.
type lookups struct{ smoothed atomic.Int64 } // nanoseconds; 0: not known

// took notes one answer, with the weight that TCP gives a round trip (RFC
// 6298, section 2.3). Two at once may lose one.
func (l *lookups) took(d time.Duration) {
	old := l.smoothed.Load()
	if old == 0 {
		old = int64(d)
	}
	l.smoothed.Store(max(old+(int64(d)-old)/8, 1))
}

// minHeadStart gives a DHT that used to answer at once, because it knew of no
// peer, the time to answer when it knows one: 1.6 ms among ten boxes.
const minHeadStart = 5 * time.Millisecond

// headStart is twice the usual time to an answer, and at most limit: a DHT that
// is slower than that is not worth waiting for.
func (l *lookups) headStart(limit time.Duration) time.Duration {
	if usual := time.Duration(l.smoothed.Load()); usual > 0 {
		return min(max(2*usual, minHeadStart), limit)
	}
	return limit
}

// startLookup returns the flight's lookup, which the first call starts.
func (fl *flight) startLookup() *lookup {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.lookup != nil {
		return fl.lookup
	}
	f := fl.f
	ctx, cancel := context.WithTimeout(f.lifetime, f.timeouts.lookup)
	begun := time.Now()
	l := &lookup{end: cancel, deadline: begun.Add(f.lookups.headStart(f.timeouts.headStart))}
	fl.lookup = l
	f.running.Go(func() {
		defer cancel()
		l.run(f.swarm.Find(ctx, fl.key.digest), func() { f.lookups.took(time.Since(begun)) })
	})
	return l
}

// endLookup stops the lookup of a flight that has ended.
func (fl *flight) endLookup() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.lookup != nil {
		fl.lookup.end()
	}
}

// run takes what is found. answered is called once, at the first peer or when
// it is certain that there is none.
func (l *lookup) run(find iter.Seq[peer.Peer], answered func()) {
	defer l.add(nil)
	answered = sync.OnceFunc(answered)
	defer answered()
	for p := range find {
		answered()
		if !l.add(p) {
			return
		}
	}
}

// add notes one more peer, or the end for nil. It reports whether more are
// wanted.
func (l *lookup) add(p peer.Peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p == nil {
		l.over = true
	} else {
		l.found = append(l.found, p)
	}
	l.changed.Fire()
	return len(l.found) < maxFound
}

// peers yields what was found, and until the deadline what is being found.
func (l *lookup) peers(ctx context.Context) iter.Seq[peer.Peer] {
	return func(yield func(peer.Peer) bool) {
		deadline := time.NewTimer(time.Until(l.deadline))
		defer deadline.Stop()
		for n := 0; ; {
			l.mu.Lock()
			fresh, over, changed := l.found[n:], l.over, l.changed.Wait()
			l.mu.Unlock()
			for _, p := range fresh {
				if !yield(p) {
					return
				}
			}
			if n += len(fresh); over {
				return
			}
			select {
			case <-changed:
			case <-deadline.C:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}
