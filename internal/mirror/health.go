package mirror

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// minSample is the shortest body that tells a rate: shorter ones fit into TCP's
	// first windows.
	minSample = 64 << 10
	// sampleWeight is how many parts of an average a new sample is one of.
	sampleWeight = 4
	// outlierFactor times the usual time is the longest one that counts.
	outlierFactor = 4
	// outdated is how long a measurement counts.
	outdated = 10 * time.Minute
	// maxFailing bounds how long a mirror that failed is asked last. It doubles
	// with each failure.
	maxFailing = 5 * time.Minute
)

const (
	// slowAfter is how long a body may arrive more than slowFactor times as slowly as
	// it would from another mirror.
	slowAfter  = 10 * time.Second
	slowFactor = 4
	// patienceFactor times as long as another mirror takes for its header is how long
	// a mirror is waited for where another one can be asked, and minPatience at least:
	// two lost SYNs, sent again after 1 and 3 s.
	patienceFactor = 10
	minPatience    = 3 * time.Second
	// tryAfter and tryPatience are used instead of slowAfter and minPatience for a
	// mirror that has not been measured: the client whose file measures it could have
	// had a good one.
	tryAfter    = 3 * time.Second
	tryPatience = time.Second
	// leastPace is how many bytes a second are too few where another mirror's rate is
	// not known: with fewer, a Release file takes longer than the 60 s that apt waits
	// in all.
	leastPace = usualFile / 60
)

// MirrorHealth is what is known about one of several mirrors of an archive.
type MirrorHealth struct {
	Archive, URL string        // of the directory: as clients name it, and at the mirror
	Down         string        // why it is asked last for now, "" if it is not
	FirstByte    time.Duration // usual time from a request to the answer's header; 0 if not measured
	Rate         int64         // usual bytes a second of a body; 0 if not measured
	Measured     time.Time     // when it last answered; zero if it has not
}

// Health lists the mirrors of the archives that have several, in the order in
// which they are configured.
func (c *Client) Health() []MirrorHealth {
	var all []MirrorHealth
	for _, a := range c.mirrors.inOrder {
		for _, d := range a.mirrors {
			h := c.health.get(d)
			m := MirrorHealth{Archive: a.url, URL: d.url, FirstByte: h.firstByte, Rate: int64(h.rate), Measured: h.measured}
			if why := c.fault(d); why != nil {
				m.Down = why.Error()
			}
			all = append(all, m)
		}
	}
	return all
}

// health is what is known about the mirrors of archives that have several. It is
// kept in memory, and the setting bounds it.
type health struct {
	lasts time.Duration // how long a mirror is asked last after a first failure

	mu sync.Mutex
	of map[directory]condition // guarded by mu
}

// condition is what is known about one mirror.
type condition struct {
	firstByte time.Duration // average; 0 if not measured
	rate      float64       // average in bytes a second; 0 if not measured
	measured  time.Time
	explored  time.Time // when a file was last requested to measure it
	failures  int       // lately
	until     time.Time // it is asked last until then
	why       error
	wrong     bool // it sent something wrong: another answer does not end that
}

func (h *health) get(d directory) condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[d]
}

// change applies f to d's condition.
func (h *health) change(d directory, f func(c *condition, now time.Time)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = make(map[directory]condition)
	}
	c := h.of[d]
	f(&c, time.Now())
	h.of[d] = c
}

// answered notes that d's header came after took.
func (h *health) answered(d directory, took time.Duration) {
	h.change(d, func(c *condition, now time.Time) {
		if now.Sub(c.measured) >= outdated {
			c.firstByte, c.rate = 0, 0
		}
		took := max(took, time.Microsecond)
		if c.firstByte > 0 { // that one file takes long says little
			took = c.firstByte + (min(took, outlierFactor*c.firstByte)-c.firstByte)/sampleWeight
		}
		c.firstByte, c.measured = took, now
		if !c.wrong {
			c.until = time.Time{}
		}
	})
}

// received notes that the box waited so long for n bytes of a body from d.
func (h *health) received(d directory, n int64, waited time.Duration) {
	if n < minSample {
		return
	}
	rate := float64(n) / max(waited, time.Millisecond).Seconds()
	h.change(d, func(c *condition, now time.Time) {
		if c.rate > 0 {
			rate = sampleWeight / ((sampleWeight-1)/c.rate + 1/rate) // an average of the time for a byte
		}
		c.rate, c.measured = rate, now
	})
}

// tooSlow notes that d is much slower than others, whatever its average was.
func (h *health) tooSlow(d directory, rate float64) {
	h.change(d, func(c *condition, now time.Time) { c.rate, c.measured = rate, now })
}

// failed notes that d gave no answer, or a wrong one. It is asked after the others
// for a while, and then counts as not measured. Failures meanwhile, as of many
// requests at once, count as one.
func (h *health) failed(d directory, why error, wrong bool) {
	h.change(d, func(c *condition, now time.Time) {
		switch {
		case now.Before(c.until):
			c.why, c.wrong = why, c.wrong || wrong
			return
		case now.Sub(c.until) >= outdated:
			c.failures = 0
		}
		again := min(h.lasts<<min(c.failures, 10), maxFailing)
		var status *StatusError
		if errors.As(why, &status) && status.Code == http.StatusTooManyRequests {
			again = max(again, min(status.RetryAfter, maxLater))
		}
		*c = condition{failures: c.failures + 1, until: now.Add(again), why: why, wrong: wrong, measured: c.measured}
	})
}

// others returns the conditions of a's other mirrors that are not failing and have
// been measured.
func (c *Client) others(a *archive, d directory) (all []condition) {
	for _, o := range a.mirrors {
		if h := c.health.get(o); o != d && h.firstByte > 0 && !c.failing(o) {
			all = append(all, h)
		}
	}
	return all
}

// patience is how long to wait for the header of d, one of a's mirrors, if another
// one can be asked. All but the last one share Patience.
func (c *Client) patience(a *archive, d directory) time.Duration {
	least, atLeast := max(Patience/time.Duration(max(len(a.mirrors)-1, 1)), minPatience), minPatience
	if c.health.get(d).firstByte == 0 {
		atLeast = tryPatience
	}
	for _, h := range c.others(a, d) {
		least = min(least, max(patienceFactor*h.firstByte, atLeast))
	}
	return least
}

// fault returns why d is asked last for now, nil if it is not.
func (c *Client) fault(d directory) error {
	if err := c.down.cause(d.hostport()); err != nil {
		return err
	}
	if h := c.health.get(d); time.Now().Before(h.until) {
		return h.why
	}
	return nil
}

func (c *Client) failing(d directory) bool { return c.fault(d) != nil }

// pace is how many bytes a second from d, one of a's mirrors, are too few if another
// one can be asked.
func (c *Client) pace(a *archive, d directory) float64 {
	most := 0.0
	for _, h := range c.others(a, d) {
		most = max(most, h.rate)
	}
	unknown := func(o directory) bool { return o != d && c.health.get(o).rate == 0 && !c.failing(o) }
	if slices.ContainsFunc(a.mirrors, unknown) {
		return max(most/slowFactor, leastPace)
	}
	return most / slowFactor
}
