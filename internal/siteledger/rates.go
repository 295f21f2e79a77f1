package siteledger

import (
	"sync"
	"time"

	"millpond/internal/ledger"
)

// ratesOver is the time over which rates are measured.
const ratesOver = 10 * time.Second

// rates measures how fast the figures of the ledger grow.
type rates struct {
	mu      sync.Mutex // guards samples
	samples []sample   // of the last ratesOver, and one before
}

type sample struct {
	at     time.Time
	counts ledger.Counts
}

func (r *rates) sample(now time.Time, c ledger.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample{now, c})
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= ratesOver {
		r.samples = r.samples[1:]
	}
}

// perSecond returns the growth since the first sample.
func (r *rates) perSecond() (c ledger.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) == 0 {
		return c
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 {
		return c
	}
	from, to := countFields(&first.counts), countFields(&last.counts)
	for i, v := range countFields(&c) {
		*v = int64(float64(*to[i]-*from[i]) / took)
	}
	return c
}
