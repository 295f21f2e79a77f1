package dashboard

import (
	"context"
	"math"
	"reflect"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

func countsOf(c ledger.Counts) api.Counts {
	return api.Counts{
		Requests: c.Requests, SavedBytes: c.Saved(), ClientBytes: c.Delivered(),
		FromStore: c.DeliveredStore, FromPeers: c.DeliveredPeer, FromMirror: c.DeliveredMirror,
		MirrorBytes: c.MirrorTaken, PeerBytesIn: c.PeerTaken, PeerBytesOut: c.PeerGiven, TunnelBytes: c.Tunnelled,
		MirrorRequests: c.MirrorRequests, AvoidedRequests: c.AvoidedRequests,
	}
}

// add adds o to c. Another box may claim as much as its messages hold, in each bucket:
// what is more than an int64 is its greatest number, and not a negative one.
func add(c *api.Counts, o api.Counts) {
	sum, more := reflect.ValueOf(c).Elem(), reflect.ValueOf(o)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(saturated(sum.Field(i).Int(), more.Field(i).Int()))
	}
}

// saturated is the sum of a and b, or what is nearest to it.
func saturated(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// snapshot reads the figures of the moment.
func (d *Dashboard) snapshot() api.Summary {
	c, since := d.ledger.Totals()
	u, k := d.store.Usage(), d.catalog.Stats()
	return api.Summary{
		Version: d.version, Since: since.UTC(), Counts: countsOf(c),
		Blobs: u.Blobs, BlobBytes: u.Bytes, QuotaBytes: u.QuotaBytes, LimitBytes: d.limit(u),
		Archives: k.Archives, Suites: k.Suites, Known: k.Rows, Downloads: d.fetch.Stats().Running,
		Money: d.price.money(c.Saved()),
	}
}

// limit is how much can be held: less than the quota where the disk has no room for it.
func (d *Dashboard) limit(u store.Usage) int64 {
	l, err := d.store.Limit()
	if err != nil { // readiness tells
		return u.QuotaBytes
	}
	return l.Bytes
}

func (d *Dashboard) getSummary(context.Context, *none) (api.Summary, error) { return d.snapshot(), nil }

// periodsQuery has the beginning of its reader's day; else it is the box's own.
type periodsQuery struct {
	Day time.Time `query:"day" doc:"when the reader's day began, at most 25 h ago"`
}

func (d *Dashboard) getPeriods(_ context.Context, q *periodsQuery) (api.Periods, error) {
	ever, _ := d.ledger.Totals()
	return periodsOf(q.Day, ever, d.ledger.Series)
}

// periodsOf adds up buckets by the beginning of the reader's day, if it is given.
func periodsOf(day time.Time, ever ledger.Counts, read series) (p api.Periods, err error) {
	now := time.Now()
	switch {
	case day.IsZero():
		day = dayOf(now)
	case day.After(now) || now.Sub(day) > 25*time.Hour:
		return p, wrong("day is the time at which the present day began, such as 2026-03-01T00:00:00+01:00")
	}
	p.Ever = countsOf(ever)
	for _, part := range []struct {
		sum  *api.Counts
		step ledger.Step
		from time.Time
	}{
		{&p.Day, ledger.Minute, day},
		{&p.Week, ledger.Hour, now.Add(-7 * 24 * time.Hour)},
		{&p.Month, ledger.Hour, now.Add(-30 * 24 * time.Hour)},
	} {
		points, err := read(part.step, part.from, now.Add(time.Minute))
		if err != nil {
			return p, err
		}
		for _, point := range points {
			add(part.sum, countsOf(point.Counts))
		}
	}
	return p, nil
}

// dayOf is when the day of now began, where now is. Where clocks are set forward at
// midnight, there is none, and time.Date may return a time of the day before.
func dayOf(now time.Time) time.Time {
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	if day.Day() != now.Day() {
		_, day = day.ZoneBounds()
	}
	return day
}
