package fetch

import (
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// maxPaces bounds how many mirrors and peers are remembered.
	maxPaces = 1024
	// paceLasts is how long a measurement counts, as with mirror.Client's.
	paceLasts = 10 * time.Minute
	// slowFor is how long a source that was set aside is asked after the others:
	// long enough for an update, and an overload passes.
	slowFor = 5 * time.Minute
	// minSample is the shortest transfer that tells a rate: shorter ones fit into
	// TCP's first windows.
	minSample = 64 << 10
	// paceWeight is how many parts of an average a new measurement is one of.
	paceWeight = 4
)

// What a source that was not measured is expected to give: it could be as good as
// most are.
const (
	assumedFirst = 200 * time.Millisecond
	assumedRate  = 1e6
	// limitedRate is expected of a mirror while the rate of all together is limited.
	limitedRate = 16 << 10
)

// pace is how fast a source is.
type pace struct {
	first time.Duration // from a request to the first byte; 0 if it is not known
	relay time.Duration // the same where the source, a peer, had to get the file first
	rate  float64       // in bytes a second; 0 if it is not known
	aside time.Time     // when the source was last set aside
	at    time.Time     // of the last measurement
}

// paces remembers how fast mirrors and peers were, so that no file begins with a
// source that another one was set aside for. Its zero value is empty.
type paces struct {
	mu sync.Mutex
	of map[store.Provenance]pace // guarded by mu
}

// known returns what is known of s.
func (p *paces) known(s store.Provenance) pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.get(s)
}

// get is known with p.mu held.
func (p *paces) get(s store.Provenance) pace {
	if k := p.of[s]; time.Since(k.at) < paceLasts {
		return k
	}
	return pace{}
}

// slow reports whether s was set aside lately.
func (p *paces) slow(s store.Provenance) bool { return time.Since(p.known(s).aside) < slowFor }

// change applies f to what is known of s.
func (p *paces) change(s store.Provenance, f func(*pace)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.get(s)
	if p.of == nil {
		p.of = make(map[store.Provenance]pace)
	}
	if _, ok := p.of[s]; !ok && len(p.of) >= maxPaces {
		p.forgetOldest()
	}
	f(&now)
	now.at = time.Now()
	p.of[s] = now
}

// forgetOldest makes room. p.mu is held.
func (p *paces) forgetOldest() {
	var oldest store.Provenance
	at := time.Now()
	for s, k := range p.of {
		if k.at.Before(at) {
			oldest, at = s, k.at
		}
	}
	delete(p.of, oldest)
}

// measured notes that the first byte of s came after first, 0 if that says nothing,
// and n bytes within took. A source that was set aside and is fast again has its
// place back.
func (p *paces) measured(s source, first time.Duration, n int64, took time.Duration) {
	p.change(s.Record(), func(k *pace) {
		usual := &k.first
		if !verified(s) {
			usual = &k.relay
		}
		switch {
		case *usual == 0:
			*usual = first
		case first > 0:
			*usual += (first - *usual) / paceWeight
		}
		if n < minSample {
			return
		}
		rate := float64(n) / max(took, time.Millisecond).Seconds()
		if rate >= enough {
			k.aside = time.Time{}
		}
		if k.rate > 0 {
			rate = k.rate + (rate-k.rate)/paceWeight
		}
		k.rate = rate
	})
}

// answeredIn notes how long a mirror took for the header of a file without a digest. A
// Release may be all that a box of a large site asks the mirror for by itself.
func (f *Fetcher) answeredIn(r mirror.Request, at string, took time.Duration) {
	if l, err := catalog.ParseURL(r.URL); err == nil {
		f.paces.measured(f.mirrorAt(l, at), took, 0, 0)
	}
}

// setAside notes that s sent so much less than another source, whatever it did
// before.
func (p *paces) setAside(s store.Provenance, rate float64) {
	p.change(s, func(k *pace) { k.rate, k.aside = max(rate, 1), time.Now() })
}

// isOutpaced reports whether what is left comes much more slowly at rate than it would
// from a source of another pace. Where all flights together, at the rate all, come as
// fast as from that source, the line is the limit: it would give its share of that.
func (f *Fetcher) isOutpaced(rate, all float64, left int64, other pace) bool {
	if rate >= enough {
		return false
	}
	if all >= other.rate/slowFactor {
		other.rate = min(other.rate, all/float64(max(f.load.streams.Load(), 1)))
	}
	n := float64(left)
	return n/max(rate, 1) > slowFactor*(other.first.Seconds()+n/max(other.rate, 1))
}

// load is what all flights receive together.
type load struct{ bytes, streams atomic.Int64 }

// expected is how fast s is expected to be.
func (f *Fetcher) expected(s source) pace {
	k := f.paces.known(s.Record())
	if !verified(s) {
		k.first = k.relay
	}
	if k.first == 0 {
		k.first = assumedFirst
	}
	if k.rate == 0 {
		k.rate = assumedRate
	}
	if s.Origin() == ledger.FromMirror && f.mirror.Limited() {
		k.rate = min(k.rate, limitedRate)
	}
	return k
}
