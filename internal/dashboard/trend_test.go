package dashboard

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// constant is a ledger in which a client got 60 bytes each minute, all of which were
// fetched in the first half of each hour. It keeps buckets as long as the real one.
type constant struct {
	figures
	since time.Time
	quiet time.Time // when the first bytes came
}

func (c constant) Totals() (ledger.Counts, time.Time) { return ledger.Counts{}, c.since }

func (c constant) Series(step ledger.Step, from, to time.Time) (points []ledger.Point, err error) {
	length := []time.Duration{time.Minute, time.Hour, 24 * time.Hour}[step]
	kept := []time.Duration{24 * time.Hour, 31 * 24 * time.Hour, 1 << 62}[step]
	now := time.Now()
	start := later(from, later(later(c.since, c.quiet).Truncate(length), now.Add(-kept)))
	for s := start.Add(length - 1).Truncate(length); s.Before(to) && s.Before(now); s = s.Add(length) {
		minutes := int64(earlier(s.Add(length), now).Sub(later(s, later(c.since, c.quiet))) / time.Minute)
		points = append(points, ledger.Point{Start: s, Counts: ledger.Counts{Requests: minutes, DeliveredStore: 60 * minutes}})
	}
	return points, nil
}

// A box that claims the greatest figures for each day makes no sum negative.
func TestGreatestTrend(t *testing.T) {
	t.Parallel()
	now := time.Now()
	most := ledger.Counts{DeliveredStore: 1<<53 - 1, DeliveredPeer: 1<<53 - 1, DeliveredMirror: 1<<53 - 1, Requests: 1<<53 - 1}
	h := history{since: now.Add(-4000 * 24 * time.Hour), now: now, read: func(step ledger.Step, from, to time.Time) (points []ledger.Point, err error) {
		length := []time.Duration{time.Minute, time.Hour, 24 * time.Hour}[step]
		for at := from.Truncate(length); at.Before(to); at = at.Add(length) {
			points = append(points, ledger.Point{Start: at, Counts: most})
		}
		return points, nil
	}}
	s, err := h.series(new(SeriesQuery))
	if c := s.Trend.Now.Counts; err != nil || c.FromStore != math.MaxInt64 || c.ClientBytes != math.MaxInt64 || c.SavedBytes != math.MaxInt64 || c.Requests != math.MaxInt64 {
		t.Errorf("%+v, %v", c, err)
	}
	less := api.Counts{SavedBytes: math.MinInt64}
	if add(&less, api.Counts{SavedBytes: -1}); less.SavedBytes != math.MinInt64 {
		t.Errorf("%d", less.SavedBytes)
	}
	p, err := periodsOf(time.Time{}, most, h.read)
	if err != nil || p.Month.ClientBytes < p.Week.ClientBytes || p.Week.ClientBytes < p.Ever.ClientBytes {
		t.Errorf("%+v, %v", p, err)
	}
}

// Whatever range is asked for is shown in buckets of which there are enough and not too
// many, and of which the ledger has figures.
func TestSeriesOfAnyRange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			age, quiet, from, to time.Duration // ago
			interval             int64
			least                int
		}{
			{age: time.Hour, from: 7 * 24 * time.Hour, interval: 60, least: 60},            // a new box, and seven days
			{age: 20 * time.Hour, from: 7 * 24 * time.Hour, interval: 300, least: 240},     // in its first day
			{age: 3 * 24 * time.Hour, from: 7 * 24 * time.Hour, interval: 3600, least: 72}, // in its first days
			{age: 900 * 24 * time.Hour, from: 24 * time.Hour, interval: 300, least: 288},
			{age: 900 * 24 * time.Hour, from: 3 * time.Hour, to: 2 * time.Hour, interval: 60, least: 60},
			{age: 900 * 24 * time.Hour, from: 50 * time.Hour, to: 40 * time.Hour, interval: 3600, least: 10},
			{age: 900 * 24 * time.Hour, from: 90 * 24 * time.Hour, interval: 86400, least: 90},
			{age: 900 * 24 * time.Hour, interval: 86400, least: 800},                                             // ever
			{age: 40 * 24 * time.Hour, quiet: 2 * time.Hour, from: 7 * 24 * time.Hour, interval: 60, least: 120}, // idle up to now
		} {
			c := constant{since: time.Now().Add(-tt.age)}
			if tt.quiet > 0 {
				c.quiet = time.Now().Add(-tt.quiet)
			}
			o := options()
			o.Ledger = c
			q := url.Values{}
			if tt.from > 0 {
				q.Set("from", time.Now().Add(-tt.from).Format(time.RFC3339))
			}
			if tt.to > 0 {
				q.Set("to", time.Now().Add(-tt.to).Format(time.RFC3339))
			}
			s := decode[api.Series](t, ask(o, http.MethodGet, "/api/v1/series?"+q.Encode(), "box").Body.Bytes())
			if s.Interval != tt.interval || len(s.Points) < tt.least || len(s.Points) > maxBuckets+101 {
				t.Errorf("%+v: interval %d, %d points, from %v to %v", tt, s.Interval, len(s.Points), s.From, s.To)
			}
			for _, p := range s.Points {
				if p.Start.Before(s.From) || !p.Start.Before(s.To) || p.Start.Unix()%s.Interval != 0 {
					t.Fatalf("%+v: a bucket at %v", tt, p.Start)
				}
			}
		}
	})
}

// The figures of a span and of the one before it are those of their time, also where the
// spans begin and end within buckets, and where the one before is kept in longer ones.
func TestTrend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(17*time.Hour + 40*time.Minute) // off the beginning of a day
		o := options()
		o.Ledger = constant{since: time.Now().Add(-900 * 24 * time.Hour)}
		for _, tt := range []struct{ from, to, slack time.Duration }{
			{10 * time.Minute, 0, 0},
			{90 * time.Second, 30 * time.Second, 0},
			{24 * time.Hour, 0, 0},
			{40 * time.Hour, 30 * time.Hour, 0},
			{7 * 24 * time.Hour, 0, 0},
			{30 * 24 * time.Hour, 0, 0},
			{400 * 24 * time.Hour, 0, 0},
		} {
			q := fmt.Sprintf("from=%s&to=%s", time.Now().Add(-tt.from).Format(time.RFC3339), time.Now().Add(-tt.to).Format(time.RFC3339))
			trend := decode[api.Series](t, ask(o, http.MethodGet, "/api/v1/series?"+q, "box").Body.Bytes()).Trend
			want := int64((tt.from - tt.to) / time.Second) // a byte a second
			if trend.Before == nil {
				t.Errorf("%+v: nothing before", tt)
				continue
			}
			for name, f := range map[string]api.TrendFigures{"now": trend.Now, "before": *trend.Before} {
				if off := f.ClientBytes - want; off < -60 || off > 60 || f.SavedBytes != f.ClientBytes || f.To.Sub(f.From) != tt.from-tt.to {
					t.Errorf("%+v: %s %d bytes, want %d: %v to %v", tt, name, f.ClientBytes, want, f.From, f.To)
				}
			}
			if !trend.Before.To.Equal(trend.Now.From) {
				t.Errorf("%+v: before until %v, now from %v", tt, trend.Before.To, trend.Now.From)
			}
		}

		o.Ledger = constant{since: time.Now().Add(-10 * 24 * time.Hour)}
		for _, q := range []string{"from=" + time.Now().Add(-7*24*time.Hour).Format(time.RFC3339), ""} {
			s := decode[api.Series](t, ask(o, http.MethodGet, "/api/v1/series?"+q, "box").Body.Bytes())
			if s.Trend.Before != nil || s.Trend.Now.ClientBytes == 0 {
				t.Errorf("%q, on a box of ten days: %+v", q, s.Trend)
			}
		}
	})
}
