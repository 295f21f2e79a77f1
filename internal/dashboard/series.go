package dashboard

import (
	"bytes"
	"context"
	"encoding/csv"
	"reflect"
	"strconv"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// Range is a span of time.
type Range struct {
	From time.Time `query:"from" doc:"first bucket's time"`
	To   time.Time `query:"to" doc:"time after the last bucket"`
}

// SeriesQuery asks for figures over time.
type SeriesQuery struct {
	Step string `query:"step" enum:"minute,hour,day" doc:"length of a bucket; without it, the shortest one of which there are figures for the range, and not over some 800"`
	Range
}

// csvQuery asks for them as a table.
type csvQuery struct {
	Step string `query:"step" default:"day" enum:"minute,hour,day" doc:"length of a row"`
	Range
}

// steps are the lengths of buckets, and over how long they can be asked for:
// about as long as the ledger keeps them, so that no answer has more than some
// 4,000.
var steps = map[string]struct {
	step    ledger.Step
	length  time.Duration
	longest time.Duration
}{
	"minute": {ledger.Minute, time.Minute, 26 * time.Hour},
	"hour":   {ledger.Hour, time.Hour, 33 * 24 * time.Hour},
	"day":    {ledger.Day, 24 * time.Hour, 4000 * 24 * time.Hour},
}

func (d *Dashboard) getSeries(_ context.Context, q *SeriesQuery) (api.Series, error) {
	_, since := d.ledger.Totals()
	return history{d.ledger.Series, since, time.Now()}.series(q)
}

// history is what was counted over time, of one box or several.
type history struct {
	read  series
	since time.Time // when it begins
	now   time.Time
}

// series reads buckets, as the ledger's Series does.
type series func(step ledger.Step, from, to time.Time) ([]ledger.Point, error)

// series answers a question about it.
func (h history) series(q *SeriesQuery) (answer api.Series, err error) {
	if err := q.Range.check(); err != nil {
		return answer, err
	}
	if q.Step == "" {
		answer, err = h.best(q.within(h.now))
	} else {
		answer, err = h.by(q.Step, q.Range)
	}
	if err == nil {
		answer.Trend, err = h.trend(q.within(h.now))
	}
	return answer, err
}

// check refuses times that JSON cannot hold in UTC, and those before all figures.
func (r Range) check() error {
	for _, t := range []time.Time{r.From, r.To} {
		if !t.IsZero() && (t.Unix() < 0 || t.UTC().Year() > 9999) {
			return wrong("from and to are times in the years 1970 to 9999")
		}
	}
	return nil
}

// within is the range up to the present, all of it by default.
func (r Range) within(now time.Time) Range {
	if r.To.IsZero() || r.To.After(now) {
		r.To = now
	}
	return r
}

// by has the buckets of a step.
func (h history) by(step string, r Range) (api.Series, error) {
	all := r.From.IsZero()
	r = r.filled(step)
	points, err := pointsOf(step, r, h.read)
	answer := api.Series{Step: step, Interval: int64(steps[step].length / time.Second), From: r.From.UTC(), To: r.To.UTC(), Points: shown(points)}
	if len(points) > 0 && all {
		answer.From = points[0].Start
	}
	return answer, err
}

func shown(points []ledger.Point) []api.Point {
	all := make([]api.Point, len(points))
	for i, p := range points {
		all[i] = api.Point{Start: p.Start, Counts: countsOf(p.Counts)}
	}
	return all
}

// filled is the range with its defaults: until now, and the longest one of a step.
func (r Range) filled(step string) Range {
	if r.To.IsZero() {
		r.To = time.Now().Add(time.Minute)
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-steps[step].longest)
	}
	return r
}

// pointsOf reads the buckets of a span of time: by default the longest one that
// may be asked for, until now.
func pointsOf(step string, r Range, read series) ([]ledger.Point, error) {
	s := steps[step]
	r = r.filled(step)
	if r.To.Sub(r.From) > s.longest {
		return nil, wrong("from and to are %s apart at most with step %s; take a longer step", s.longest, step)
	}
	return read(s.step, r.From, r.To)
}

// csvAnswer is a file to save.
type csvAnswer struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (d *Dashboard) getLedgerCSV(q *csvQuery) (*csvAnswer, error) {
	if err := q.Range.check(); err != nil {
		return nil, err
	}
	points, err := pointsOf(q.Step, q.Range, d.ledger.Series)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	out.Write(append([]string{"start"}, countNames()...))
	for _, p := range points {
		row := []string{p.Start.Format(time.RFC3339)}
		counts := reflect.ValueOf(countsOf(p.Counts))
		for i := range counts.NumField() {
			row = append(row, strconv.FormatInt(counts.Field(i).Int(), 10))
		}
		out.Write(row)
	}
	out.Flush()
	return &csvAnswer{"text/csv; charset=utf-8; header=present", `attachment; filename="millpond-ledger.csv"`, b.Bytes()}, out.Error()
}

// countNames are the JSON names of the fields of api.Counts.
func countNames() (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[api.Counts]()) {
		names = append(names, f.Tag.Get("json"))
	}
	return names
}
