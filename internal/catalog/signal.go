package catalog

import (
	"sync"
	"sync/atomic"
)

// signal wakes everybody who waits for it.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; nil if nobody waits
}

// wait returns a channel that the next fire closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// busy counts the indices being learned in each suite.
type busy struct {
	total atomic.Int32 // most look-ups need no more than this
	mu    sync.Mutex
	in    map[Location]int // by the suite's directory; guarded by mu
}

func (b *busy) enter(dir Location) {
	b.total.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.in == nil {
		b.in = make(map[Location]int)
	}
	b.in[dir]++
}

func (b *busy) leave(dir Location) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.in[dir]--; b.in[dir] == 0 {
		delete(b.in, dir)
	}
	b.total.Add(-1)
}

// with reports whether an index is being learned that may list l: one of l's
// archive or, where a flat one's files may be above it, of l's host.
func (b *busy) with(l Location) bool {
	if b.total.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for dir := range b.in {
		base, flat := archiveBase(dir)
		if _, ok := l.beneath(base); ok || flat && l.Scheme == dir.Scheme && l.Host == dir.Host {
			return true
		}
	}
	return false
}
