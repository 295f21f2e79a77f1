package fetch

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// maxFound bounds the boxes that a look-up remembers.
const maxFound = 16

// lookup is the DHT being asked who holds a file, once for a flight, beside
// what the flight does meanwhile.
type lookup struct {
	end      context.CancelFunc
	deadline time.Time // until when a download waits for it

	mu      sync.Mutex // guards what follows
	found   []Peer
	over    bool
	changed chan struct{} // closed and replaced whenever they change
}

// lookups remembers how long the DHT takes to answer, from which follows how
// much of a head start it is worth.
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

// leastHeadStart leaves a DHT that answered at once, knowing nobody, the time
// to answer once it knows somebody: that took 1.6 ms among ten boxes.
const leastHeadStart = 5 * time.Millisecond

// headStart is twice the usual time to an answer, and no more than most: a DHT
// that is slower than that is not worth waiting for.
func (l *lookups) headStart(most time.Duration) time.Duration {
	if usual := time.Duration(l.smoothed.Load()); usual > 0 {
		return min(max(2*usual, leastHeadStart), most)
	}
	return most
}

// lookUp returns the flight's look-up and starts it if it is the first time.
func (fl *flight) lookUp() *lookup {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.lookup != nil {
		return fl.lookup
	}
	f := fl.f
	ctx, cancel := context.WithTimeout(f.lifetime, f.waits.lookup)
	begun := time.Now()
	l := &lookup{end: cancel, deadline: begun.Add(f.lookups.headStart(f.waits.headStart)), changed: make(chan struct{})}
	fl.lookup = l
	f.running.Go(func() {
		defer cancel()
		l.run(f.Peers.Find(ctx, fl.key.digest), func() { f.lookups.took(time.Since(begun)) })
	})
	return l
}

// endLookup stops the look-up of a flight that has ended.
func (fl *flight) endLookup() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.lookup != nil {
		fl.lookup.end()
	}
}

// run takes what is found. answered is called once, at the first box or the
// certainty that there is none.
func (l *lookup) run(find iter.Seq[Peer], answered func()) {
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

// add notes one more box, or the end for nil. It reports whether more are
// wanted.
func (l *lookup) add(p Peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p == nil {
		l.over = true
	} else {
		l.found = append(l.found, p)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return len(l.found) < maxFound
}

// peers yields what was found, and until the deadline what is being found.
func (l *lookup) peers(ctx context.Context) iter.Seq[Peer] {
	return func(yield func(Peer) bool) {
		deadline := time.NewTimer(time.Until(l.deadline))
		defer deadline.Stop()
		for n := 0; ; {
			l.mu.Lock()
			fresh, over, changed := l.found[n:], l.over, l.changed
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
