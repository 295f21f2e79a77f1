package dashboard

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"millpond/internal/ledger"
)

// Counts are figures of the ledger for some span of time: body bytes, and
// requests. Saved is what clients got less what mirrors sent for any reason;
// it is negative where the box cost more than it saved.
type Counts struct {
	Requests     int64 `json:"requests"`
	SavedBytes   int64 `json:"saved_bytes"`
	ClientBytes  int64 `json:"client_bytes"`
	FromStore    int64 `json:"client_bytes_from_store"`
	FromPeers    int64 `json:"client_bytes_from_peers"`
	FromMirror   int64 `json:"client_bytes_from_mirror"`
	MirrorBytes  int64 `json:"mirror_bytes"`
	PeerBytesIn  int64 `json:"peer_bytes_in"`
	PeerBytesOut int64 `json:"peer_bytes_out"`
	TunnelBytes  int64 `json:"tunnel_bytes"`
}

func countsOf(c ledger.Counts) Counts {
	return Counts{
		Requests: c.Requests, SavedBytes: c.Saved(), ClientBytes: c.Delivered(),
		FromStore: c.DeliveredStore, FromPeers: c.DeliveredPeer, FromMirror: c.DeliveredMirror,
		MirrorBytes: c.MirrorTaken, PeerBytesIn: c.PeerTaken, PeerBytesOut: c.PeerGiven, TunnelBytes: c.Tunnelled,
	}
}

// add adds o to c.
func (c *Counts) add(o Counts) {
	c.Requests += o.Requests
	c.SavedBytes += o.SavedBytes
	c.ClientBytes += o.ClientBytes
	c.FromStore += o.FromStore
	c.FromPeers += o.FromPeers
	c.FromMirror += o.FromMirror
	c.MirrorBytes += o.MirrorBytes
	c.PeerBytesIn += o.PeerBytesIn
	c.PeerBytesOut += o.PeerBytesOut
	c.TunnelBytes += o.TunnelBytes
}

// Periods is what GET /api/v1/periods returns: the figures since the day
// began, of the last 7 and 30 days, and since the ledger began.
type Periods struct {
	Day   Counts `json:"day"`
	Week  Counts `json:"week"`
	Month Counts `json:"month"`
	Ever  Counts `json:"ever"`
}

// periods takes the beginning of its reader's day as day=; else it is the
// box's own.
func (d *Dashboard) periods(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	if s := r.URL.Query().Get("day"); s != "" {
		var err error
		if day, err = time.Parse(time.RFC3339, s); err != nil || day.After(now) || now.Sub(day) > 25*time.Hour {
			http.Error(w, "day is the time at which the present day began, such as 2026-03-01T00:00:00+01:00", http.StatusBadRequest)
			return
		}
	}
	ever, _ := d.Totals()
	p := Periods{Ever: countsOf(ever)}
	for _, part := range []struct {
		sum  *Counts
		step ledger.Step
		from time.Time
	}{
		{&p.Day, ledger.Minute, day},
		{&p.Week, ledger.Hour, now.Add(-7 * 24 * time.Hour)},
		{&p.Month, ledger.Hour, now.Add(-30 * 24 * time.Hour)},
	} {
		points, err := d.Ledger.Series(part.step, part.from, now.Add(time.Minute))
		if err != nil {
			d.fail(w, err)
			return
		}
		for _, point := range points {
			part.sum.add(countsOf(point.Counts))
		}
	}
	d.json(w, http.StatusOK, p)
}

// Point is one bucket of GET /api/v1/series.
type Point struct {
	Start time.Time `json:"start"`
	Counts
}

// Series is what GET /api/v1/series returns. Buckets in which nothing was
// counted are left out.
type Series struct {
	Step   string  `json:"step"`
	Points []Point `json:"points"` // never null, oldest first
}

// steps are the lengths of buckets, and over how long they can be asked for:
// about as long as the ledger keeps them, so that no answer has more than some
// 4,000.
var steps = map[string]struct {
	step ledger.Step
	most time.Duration
}{
	"minute": {ledger.Minute, 26 * time.Hour},
	"hour":   {ledger.Hour, 33 * 24 * time.Hour},
	"day":    {ledger.Day, 4000 * 24 * time.Hour},
}

func (d *Dashboard) series(w http.ResponseWriter, r *http.Request) {
	step, points, err := d.points(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := Series{Step: step, Points: make([]Point, len(points))}
	for i, p := range points {
		answer.Points[i] = Point{p.Start, countsOf(p.Counts)}
	}
	d.json(w, http.StatusOK, answer)
}

// points reads the buckets that a query asks for: step, from and to.
func (d *Dashboard) points(q url.Values) (string, []ledger.Point, error) {
	name := q.Get("step")
	s, ok := steps[name]
	if !ok {
		return "", nil, fmt.Errorf("step is minute, hour or day")
	}
	to, err := timeOf(q.Get("to"), time.Now().Add(time.Minute))
	if err != nil {
		return "", nil, fmt.Errorf("to: %w", err)
	}
	from, err := timeOf(q.Get("from"), to.Add(-s.most))
	if err != nil {
		return "", nil, fmt.Errorf("from: %w", err)
	}
	if to.Sub(from) > s.most {
		return "", nil, fmt.Errorf("from and to are %s apart at most with step %s; take a longer step", s.most, name)
	}
	points, err := d.Ledger.Series(s.step, from, to)
	return name, points, err
}

func timeOf(s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time such as 2026-03-01T00:00:00Z", s)
	}
	return t, nil
}

// ledgerCSV writes the ledger by steps, days unless asked otherwise.
func (d *Dashboard) ledgerCSV(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("step") == "" {
		q.Set("step", "day")
	}
	_, points, err := d.points(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="millpond-ledger.csv"`)
	h.Set("Cache-Control", "no-store")
	out := csv.NewWriter(w)
	out.Write([]string{
		"start", "requests", "saved_bytes", "client_bytes", "client_bytes_from_store", "client_bytes_from_peers",
		"client_bytes_from_mirror", "mirror_bytes", "peer_bytes_in", "peer_bytes_out", "tunnel_bytes",
	})
	for _, p := range points {
		c := countsOf(p.Counts)
		row := []string{p.Start.Format(time.RFC3339)}
		for _, n := range []int64{
			c.Requests, c.SavedBytes, c.ClientBytes, c.FromStore, c.FromPeers, c.FromMirror, c.MirrorBytes,
			c.PeerBytesIn, c.PeerBytesOut, c.TunnelBytes,
		} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		out.Write(row)
	}
	out.Flush() // a client that left is nobody's error
}
