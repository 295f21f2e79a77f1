// Package jobs measures long work, such as a check of all held files: how much of it is
// done, how fast it goes and how long the rest takes.
//
// A Meter does so for one piece of work. Running has those of a box, at most one of each
// kind, so that the list is short, and two of a kind do not read the same disk.
package jobs

import (
	"sync"
	"time"
)

const (
	// window is the time over which the rate is measured: a disk or a mirror is not
	// equally fast every second.
	window = 10 * time.Second
	// sampleEvery is the time between two points in the window.
	sampleEvery = window / samples
	samples     = 10
)

// Amount is an amount of work.
type Amount struct{ Files, Bytes int64 }

func (a Amount) plus(b Amount) Amount { return Amount{a.Files + b.Files, a.Bytes + b.Bytes} }

// Progress is how far some work is.
type Progress struct {
	Began time.Time
	Done  Amount
	Total Amount  // zero while it is not known
	Rate  float64 // in bytes a second, over the last seconds
	// Left is how long the rest takes at this rate; Known is false while nothing can be
	// said about that.
	Left  time.Duration
	Known bool
}

// Meter measures one piece of work. It is safe for concurrent use. The zero value is not
// usable; NewMeter makes one.
type Meter struct {
	mu    sync.Mutex // guards what follows
	began time.Time
	done  Amount
	total Amount
	past  []sample // at most samples, the oldest first
}

type sample struct {
	at   time.Time
	done Amount
}

// NewMeter returns a Meter of work that begins now.
func NewMeter() *Meter {
	now := time.Now()
	return &Meter{began: now, past: []sample{{at: now}}}
}

// Expect says how much there is to do in all.
func (m *Meter) Expect(total Amount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = total
}

// More says that there is more to do than was known.
func (m *Meter) More(files, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = m.total.plus(Amount{files, bytes})
}

// Add says that some more is done.
func (m *Meter) Add(files, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(m.done.plus(Amount{files, bytes}))
}

// Skip says that some was done before this work began, as when interrupted work goes on:
// it counts as done, and not for the rate.
func (m *Meter) Skip(files, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := Amount{files, bytes}
	for i := range m.past {
		m.past[i].done = m.past[i].done.plus(before)
	}
	m.done = m.done.plus(before)
}

// Set says how much is done in all.
func (m *Meter) Set(done Amount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(done)
}

func (m *Meter) set(done Amount) {
	m.done = done
	if now := time.Now(); now.Sub(m.past[len(m.past)-1].at) >= sampleEvery {
		if len(m.past) == samples {
			m.past = append(m.past[:0], m.past[1:]...)
		}
		m.past = append(m.past, sample{now, done})
	}
}

// Progress returns how far the work is now.
func (m *Meter) Progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := Progress{Began: m.began, Done: m.done, Total: m.total}
	now := time.Now()
	for len(m.past) > 1 && now.Sub(m.past[0].at) > window {
		m.past = append(m.past[:0], m.past[1:]...)
	}
	since := m.past[0]
	seconds := now.Sub(since.at).Seconds()
	if seconds <= 0 {
		return p
	}
	p.Rate = float64(m.done.Bytes-since.done.Bytes) / seconds
	p.Left, p.Known = left(m.total.Bytes-m.done.Bytes, p.Rate)
	if m.total.Bytes == 0 {
		p.Left, p.Known = left(m.total.Files-m.done.Files, float64(m.done.Files-since.done.Files)/seconds)
	}
	return p
}

// maxLeft is what is said at most: what takes longer than this is as good as stuck.
const maxLeft = 1000 * time.Hour

// left is how long the rest takes.
func left(rest int64, rate float64) (time.Duration, bool) {
	if rest < 0 || rate <= 0 {
		return 0, false
	}
	seconds := float64(rest) / rate
	if seconds > maxLeft.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
