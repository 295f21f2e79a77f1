package dashboard

import (
	"math"
	"reflect"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// maxBuckets is how many buckets a chart is given: there is no more room on a screen.
const maxBuckets = 800

// interval is a length of a chart's buckets, and for how long the ledger has figures of
// its step.
type interval struct {
	step   string
	length time.Duration
	kept   time.Duration
}

var intervals = []interval{
	{"minute", time.Minute, 24 * time.Hour},
	{"minute", 5 * time.Minute, 24 * time.Hour},
	{"hour", time.Hour, 31 * 24 * time.Hour},
	{"day", 24 * time.Hour, math.MaxInt64},
}

// best has the shortest buckets that there are for a range. Where nothing was
// counted at its beginning, it begins with what was: a box of an hour shows its minutes,
// whatever range is asked for.
func (h history) best(r Range) (api.Series, error) {
	r.From = later(r.From, h.since)
	for again := false; ; again = true {
		r.From = earlier(r.From, r.To)
		i := intervalFor(r, h.now)
		start := r.From.Truncate(i.length)
		points, err := h.read(steps[i.step].step, start, r.To)
		if err != nil {
			return api.Series{}, err
		}
		if !again && len(points) > 0 && points[0].Start.After(r.From) && i.length > time.Minute {
			r.From = points[0].Start
			continue
		}
		return api.Series{
			Step: i.step, Interval: int64(i.length / time.Second), From: start.UTC(), To: r.To.UTC(),
			Points: shown(joined(points, i.length)),
		}, nil
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// intervalFor is the shortest of the intervals for which there are figures, and not too
// many of them.
func intervalFor(r Range, now time.Time) interval {
	for _, i := range intervals {
		if now.Sub(r.From) <= i.kept && r.To.Sub(r.From)/i.length < maxBuckets {
			return i
		}
	}
	return intervals[len(intervals)-1]
}

// joined sums buckets into longer ones.
func joined(points []ledger.Point, length time.Duration) (all []ledger.Point) {
	for _, p := range points {
		p.Start = p.Start.Truncate(length)
		if last := len(all) - 1; last >= 0 && all[last].Start.Equal(p.Start) {
			all[last].Counts = all[last].Plus(p.Counts)
			continue
		}
		all = append(all, p)
	}
	return all
}

// trend compares a range with the one before it. Since the beginning there is none
// before.
func (h history) trend(r Range) (t api.Trend, err error) {
	r.From = earlier(r.From, r.To)
	length := r.To.Sub(r.From)
	if r.From.IsZero() {
		r.From = earlier(h.since, r.To)
		length = math.MaxInt64
	}
	if t.Now, err = h.sum(r); err != nil || length == math.MaxInt64 {
		return t, err
	}
	if before := r.From.Add(-length); length > 0 && !before.Before(h.since) {
		figures, err := h.sum(Range{before, r.From})
		if err != nil {
			return t, err
		}
		t.Before = &figures
	}
	return t, nil
}

// sum adds up the figures of a range, from the shortest buckets that there are for it. Of a bucket at an end, the part counts that the range has of its time.
func (h history) sum(r Range) (api.TrendFigures, error) {
	from, to := r.From, r.To
	f := api.TrendFigures{From: from.UTC(), To: to.UTC()}
	step := "day"
	for _, i := range intervals {
		if h.now.Sub(from) <= i.kept {
			step = i.step
			break
		}
	}
	length := steps[step].length
	points, err := h.read(steps[step].step, from.Truncate(length), to)
	for _, p := range points {
		// What is in the first and in the present bucket was counted since and before.
		start, end := later(p.Start, h.since), earlier(p.Start.Add(length), h.now)
		part := earlier(end, to).Sub(later(start, from))
		c := countsOf(p.Counts)
		if whole := end.Sub(start); part < whole && whole > 0 {
			c = scaled(c, float64(max(part, 0))/float64(whole))
		}
		add(&f.Counts, c)
	}
	return f, err
}

// scaled is a part of counts, whose sums still agree.
func scaled(c api.Counts, part float64) api.Counts {
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(math.Round(float64(v.Field(i).Int()) * part)))
	}
	c.ClientBytes = c.FromStore + c.FromPeers + c.FromMirror
	c.SavedBytes = c.ClientBytes - c.MirrorBytes
	return c
}
