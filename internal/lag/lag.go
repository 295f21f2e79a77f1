// Package lag measures how late this process is.
//
// On a machine whose processor is overloaded a timer fires late, and an answer that
// arrived in time is read late. Whoever judges others by the time that they take adds
// the lag to what it allows them: a box that is itself late calls nobody silent.
//
// A Meter sleeps for a short time over and over, and remembers by how much it overslept.
package lag

import (
	"context"
	"sync"
	"time"
)

const (
	// every is the time between two samples.
	every = 50 * time.Millisecond
	// kept is how many samples count: those of two seconds. An overload does not pass
	// in less, and what one box waits for another takes no longer.
	kept = 40
)

// Meter measures the lag while it runs. It is safe for concurrent use; a nil Meter
// shows none.
type Meter struct {
	mu      sync.Mutex // guards what follows
	samples [kept]time.Duration
	next    int
	due     time.Time // when the sample that is being taken is; zero while none is
}

// New returns a Meter that shows no lag until it runs.
func New() *Meter { return &Meter{} }

// Run takes samples until ctx ends, and returns nil.
func (m *Meter) Run(ctx context.Context) error {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		m.begin(time.Now().Add(every))
		select {
		case <-ctx.Done():
			m.begin(time.Time{})
			return nil
		case <-timer.C:
			m.end(time.Now())
			timer.Reset(every)
		}
	}
}

func (m *Meter) begin(due time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due = due
}

func (m *Meter) end(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples[m.next] = max(now.Sub(m.due), 0)
	m.next = (m.next + 1) % kept
}

// Now is the greatest lag of the last two seconds, that of a sample which is overdue
// included.
func (m *Meter) Now() time.Duration {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	worst := time.Duration(0)
	if !m.due.IsZero() {
		worst = max(time.Since(m.due), 0)
	}
	for _, s := range m.samples {
		worst = max(worst, s)
	}
	return worst
}
