package mirror

import (
	"math"
	"slices"
	"time"
)

const (
	// smallFile is the largest file that measures a mirror: a client that gets it
	// from a bad one loses least.
	smallFile = 256 << 10
	// usualFile is assumed for a size that is not known: a Release file's.
	usualFile = 64 << 10
	// assumedRate is in bytes a second, while no mirror's is known.
	assumedRate = 1e6
	// exploreAgain is how long to wait for an answer of a mirror that a file should
	// have measured before another file is requested there: peers may have had the
	// first.
	exploreAgain = 10 * time.Second
)

// order returns a's mirrors in the order in which to ask them for a file of that
// size, -1 if it is not known: the one with the URL first, if it is not failing; then
// the fastest. Now and then a small file measures one that is not.
func (c *Client) order(a *archive, size int64, first string) []directory {
	now := time.Now()
	all := make([]ranked, len(a.mirrors))
	best := 0.0
	for i, d := range a.mirrors {
		h := c.health.get(d)
		all[i] = ranked{d: d, condition: h, failing: c.failing(d)}
		best = max(best, h.rate)
	}
	if best < leastPace {
		best = 0 // one that is not known is as good
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

// class is what the order goes by before speed.
type class uint8

const (
	preferred class = iota
	measured
	unmeasured
	failing
)

// ranked is a mirror and what decides on its place in the order.
type ranked struct {
	condition
	d       directory
	failing bool
	class   class
	takes   int // the time for the file, on a logarithmic scale: each step is half as long again
}

// rank ranks r for a file of that size. best is the rate of the fastest mirror, 0 if
// none is known.
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
		rate = max(best, assumedRate)
	}
	// Mirrors that are about as fast stay in the order of the setting.
	r.takes = int(math.Floor(math.Log(r.firstByte.Seconds()+float64(size)/rate) / math.Log(1.5)))
}

// explore puts one mirror that is due to be measured first, if another one has been
// measured, which can then be asked instead. With rates, a mirror is due also if its
// rate alone is not known.
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
