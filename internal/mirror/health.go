package mirror

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// smallFile is the largest one that finds out what a mirror is like: who gets
	// it from a bad one loses least.
	smallFile = 256 << 10
	// minSample is the shortest body that says something of a rate: shorter ones
	// fit into TCP's first windows.
	minSample = 64 << 10
	// usualFile stands for a size that is not known: a Release file's.
	usualFile = 64 << 10
	// weight is that of one more sample in an average.
	weight = 4
	// outlier times the usual time is the longest one that counts.
	outlier = 4
	// outdated is how long a measurement counts.
	outdated = 10 * time.Minute
	// exploreAgain is how long a mirror that was to be measured may go without an
	// answer before another file is requested there: peers may have had the first.
	exploreAgain = 10 * time.Second
	// maxFailing bounds how long a mirror that failed is asked last. It doubles
	// with each time.
	maxFailing = 5 * time.Minute
)

const (
	// slowAfter is how long a body may come in more than slower times as slow as
	// from another mirror.
	slowAfter = 10 * time.Second
	slower    = 4
	// patient times as long as another mirror takes for its header, and
	// minPatience at least, is waited for one that need not be. That is two lost
	// SYNs, sent again after 1 and 3 s.
	patient     = 10
	minPatience = 3 * time.Second
	// tryAfter and tryPatience stand for both where a mirror is not measured: the
	// client whose file finds that out has a good one, too.
	tryAfter    = 3 * time.Second
	tryPatience = time.Second
	// leastPace is too few bytes a second where no rate of another mirror is known:
	// with fewer, a Release file takes longer than the 30 s that apt waits.
	leastPace = usualFile / 30
)

// MirrorHealth is what is known of a mirror of an archive that has several.
type MirrorHealth struct {
	Archive, URL string        // directories; the archive's as clients name it
	Down         string        // why it is asked last for now, "" if it is not
	FirstByte    time.Duration // usual time from a request to the answer's header; 0 if not measured
	Rate         int64         // usual bytes a second of a body; 0 if not measured
	Measured     time.Time     // when it last answered; zero if it has not
}

// Health lists the mirrors of the archives that have several, in the order in
// which they are configured.
func (c *Client) Health() []MirrorHealth {
	now := time.Now()
	var all []MirrorHealth
	for _, a := range c.mirrors.inOrder {
		for _, d := range a.mirrors {
			h := c.health.get(d)
			m := MirrorHealth{Archive: a.url, URL: d.url, FirstByte: h.firstByte, Rate: int64(h.rate), Measured: h.measured}
			if why := c.down.cause(d.hostport()); why != nil {
				m.Down = why.Error()
			} else if now.Before(h.until) {
				m.Down = h.why.Error()
			}
			all = append(all, m)
		}
	}
	return all
}

// health is what is known of the mirrors of archives that have several. It is
// kept in memory, and bounded by the setting.
type health struct {
	lasts time.Duration // how long a mirror is asked last after a first failure

	mu sync.Mutex
	of map[directory]condition // guarded by mu
}

// condition is that of one mirror.
type condition struct {
	firstByte time.Duration // average; 0 if not measured
	rate      float64       // average in bytes a second; 0 if not measured
	measured  time.Time
	explored  time.Time // when a file was last requested to measure it
	failures  int       // lately
	until     time.Time // it is asked last until then
	why       error
	wrong     bool // it answered something wrong: a further answer clears nothing
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
		if c.firstByte > 0 { // one file may take long, which says little
			took = c.firstByte + (min(took, outlier*c.firstByte)-c.firstByte)/weight
		}
		c.firstByte, c.measured = took, now
		if !c.wrong {
			c.until = time.Time{}
		}
	})
}

// sent notes that n bytes of a body of d were waited for that long.
func (h *health) sent(d directory, n int64, waited time.Duration) {
	if n < minSample {
		return
	}
	rate := float64(n) / max(waited, time.Millisecond).Seconds()
	h.change(d, func(c *condition, now time.Time) {
		if c.rate > 0 {
			rate = weight / ((weight-1)/c.rate + 1/rate) // an average of the time for a byte
		}
		c.rate, c.measured = rate, now
	})
}

// tooSlow notes that d is much slower than others, whatever it was.
func (h *health) tooSlow(d directory, rate float64) {
	h.change(d, func(c *condition, now time.Time) { c.rate, c.measured = rate, now })
}

// failed notes that d gave no answer, or a wrong one. It is asked after the
// others for a while, and then counts as not measured. Failures meanwhile count as
// one: those of many requests at once.
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

// others returns the conditions of a's mirrors besides d that can be asked
// instead and have been measured.
func (c *Client) others(a *archive, d directory) (all []condition) {
	for _, o := range a.mirrors {
		if h := c.health.get(o); o != d && h.firstByte > 0 && !c.failing(o) {
			all = append(all, h)
		}
	}
	return all
}

// patience is how long to wait for the header of d, one of a's mirrors, if
// others can be asked. All but the last one together have Patience.
func (c *Client) patience(a *archive, d directory) time.Duration {
	least, atLeast := max(Patience/time.Duration(max(len(a.mirrors)-1, 1)), minPatience), minPatience
	if c.health.get(d).firstByte == 0 {
		atLeast = tryPatience
	}
	for _, h := range c.others(a, d) {
		least = min(least, max(patient*h.firstByte, atLeast))
	}
	return least
}

// failing reports whether d is asked last for now.
func (c *Client) failing(d directory) bool {
	return time.Now().Before(c.health.get(d).until) || c.down.cause(d.hostport()) != nil
}

// pace is how many bytes a second are too few from d, if others of a's mirrors
// can be asked.
func (c *Client) pace(a *archive, d directory) float64 {
	most := 0.0
	for _, h := range c.others(a, d) {
		most = max(most, h.rate)
	}
	if most == 0 && slices.ContainsFunc(a.mirrors, func(o directory) bool { return o != d && !c.failing(o) }) {
		return leastPace
	}
	return most / slower
}

// order returns a's mirrors for a file of that size, -1 if it is not known, in
// the order in which to ask them: the one with the URL first, if it is not
// failing; then the fastest. Now and then a small file finds out what a mirror is
// like.
func (c *Client) order(a *archive, size int64, first string) []directory {
	now := time.Now()
	all := make([]ranked, len(a.mirrors))
	best := 0.0
	for i, d := range a.mirrors {
		h := c.health.get(d)
		all[i] = ranked{d: d, condition: h, failing: c.failing(d)}
		best = max(best, h.rate)
	}
	small := size <= smallFile
	for i := range all {
		all[i].rank(max(size, usualFile), best, small, all[i].d.url == first)
	}
	if small && size >= 0 && first == "" {
		c.explore(all, size >= minSample && best > 0, now)
	}
	slices.SortStableFunc(all, func(x, y ranked) int {
		if x.class != y.class {
			return int(x.class) - int(y.class)
		}
		return x.takes - y.takes
	})
	order := make([]directory, len(all))
	for i, r := range all {
		order[i] = r.d
	}
	return order
}

// class comes before speed.
type class uint8

const (
	preferred class = iota
	measured
	unmeasured
	failing
)

// ranked is a mirror and its place in the order.
type ranked struct {
	condition
	d       directory
	failing bool
	class   class
	takes   int // the time for the file, in steps of a half more each
}

// rank decides on r's place for a file of that size, if the fastest mirror has
// the rate best.
func (r *ranked) rank(size int64, best float64, small, first bool) {
	switch {
	case r.failing:
		r.class = failing
		return
	case first:
		r.class = preferred
	case r.firstByte == 0 || r.rate == 0 && best > 0 && !small:
		r.class = unmeasured
		return
	default:
		r.class = measured
	}
	rate := r.rate
	if rate == 0 {
		rate = max(best, 1e6)
	}
	// Mirrors that are about as fast stay in the order of the setting.
	r.takes = int(math.Floor(math.Log(r.firstByte.Seconds()+float64(size)/rate) / math.Log(1.5)))
}

// explore puts one mirror that is to be measured, with rates those of which the
// rate is not known too, before the others, of which one must have been.
func (c *Client) explore(all []ranked, rates bool, now time.Time) {
	known := slices.ContainsFunc(all, func(r ranked) bool { return r.class == measured })
	for i := range all {
		r := &all[i]
		due := r.class == unmeasured || r.class == measured && (now.Sub(r.measured) >= outdated || rates && r.rate == 0)
		if known && due && now.Sub(r.explored) >= exploreAgain {
			c.health.change(r.d, func(c *condition, now time.Time) {
				if now.Sub(c.explored) >= exploreAgain { // for one request of several at once
					c.explored, r.class = now, preferred
				}
			})
			return
		}
	}
}
