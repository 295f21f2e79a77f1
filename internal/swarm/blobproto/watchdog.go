package blobproto

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// lateShare is the share of a peer's time that this process may be late by and still
// judge the peer: 1/4.
const lateShare = 4

// watchdog ends a request that takes too long. It reports the peer, unless this process
// was itself too late to judge.
type watchdog struct {
	id      string
	cancel  context.CancelCauseFunc
	stalled func()
	lag     func() time.Duration

	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	extra time.Duration // by which the wait was extended
}

// start has the watchdog end the request for why after left, the rest of the time whole
// that the peer has. If this process is late, it waits once more for as long as that.
func (w *watchdog) start(left, whole time.Duration, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.extra = 0
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.timer != timer { // stopped
			return
		}
		lag := w.lag()
		late := lag > whole/lateShare
		if late && w.extra == 0 {
			w.extra = min(lag, whole) // a process that was stopped may be hours late
			timer.Reset(w.extra)
			return
		}
		w.timer = nil
		if !late {
			w.stalled()
		}
		w.cancel(fmt.Errorf("peer %s: %w", w.id, why))
	})
	w.timer = timer
}

// stop returns by how much the wait was extended.
func (w *watchdog) stop() (extra time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	return w.extra
}
