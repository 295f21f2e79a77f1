// Package broadcast wakes goroutines that wait for something to change.
//
// A Signal wakes all waiting goroutines; a Wake wakes one worker, once for any
// number of calls since it last ran. Neither carries data: the goroutine reads
// the changed state under that state's own lock. It must take the channel before
// it reads the state, or it could miss a change in between.
package broadcast

import "sync"

// Signal wakes all waiting goroutines. The zero value is ready, and a Signal is
// safe for concurrent use.
type Signal struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; nil if no goroutine waits
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

// Fire wakes the goroutines that wait now. It never blocks.
func (s *Signal) Fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// Wake wakes one goroutine, which receives from it; calls before a receive count
// as one. Make it with NewWake.
type Wake chan struct{}

// NewWake returns a Wake without pending calls.
func NewWake() Wake { return make(Wake, 1) }

// Call wakes the receiver. It never blocks.
func (w Wake) Call() {
	select {
	case w <- struct{}{}:
	default:
	}
}
