// Package broadcast wakes goroutines that wait for something to change.
//
// A Signal wakes everybody who waits; a Wake wakes the one goroutine that does
// the work, however often it was called meanwhile. Neither carries data: who is
// woken looks at the state that changed, under that state's own lock. A waiter
// takes the channel before it looks, or it could miss a change in between.
package broadcast

import "sync"

// Signal wakes everybody who waits. The zero value is ready, and a Signal is
// safe for concurrent use.
type Signal struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; nil if nobody waits
}

// Wait returns a channel that the next Fire closes.
func (s *Signal) Wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Fire wakes everybody who waits now. It never blocks.
func (s *Signal) Fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// Wake wakes one goroutine, which receives from it; calls made before that
// count as one. Make it with NewWake.
type Wake chan struct{}

// NewWake returns a Wake that nobody has called yet.
func NewWake() Wake { return make(Wake, 1) }

// Call lets the receiver go on. It never blocks.
func (w Wake) Call() {
	select {
	case w <- struct{}{}:
	default:
	}
}
