package fetch

import (
	"context"
	"iter"
	"sync"
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

// lookUp returns the flight's look-up and starts it if it is the first time.
func (fl *flight) lookUp() *lookup {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.lookup != nil {
		return fl.lookup
	}
	f := fl.f
	ctx, cancel := context.WithTimeout(f.lifetime, f.waits.lookup)
	l := &lookup{end: cancel, deadline: time.Now().Add(f.waits.headStart), changed: make(chan struct{})}
	fl.lookup = l
	f.running.Go(func() {
		defer cancel()
		l.run(f.Peers.Find(ctx, fl.key.digest))
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

// run takes what is found.
func (l *lookup) run(find iter.Seq[Peer]) {
	defer l.add(nil)
	for p := range find {
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
