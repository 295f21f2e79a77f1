package proxy

import (
	"net/http"
	"net/netip"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/logs"
)

// AccessLog is told of each request for a file and each tunnel once, when it is over, and
// of those that were refused before it was known what they are for; *logs.Access. It does
// not block. What the dashboard answers is not for it.
type AccessLog interface {
	Add(r logs.Request, by netip.Prefix)
}

// The outcomes of requests; logs.Request says what they mean.
const (
	wasHit      = "hit"
	wasMiss     = "miss"
	wasStale    = "stale"
	wasAbsent   = "absent"
	wasRedirect = "redirect"
	wasRefused  = "refused"
	wasFailed   = "failed"
	wasLeft     = "left"
	wasTunnel   = "tunnel"
)

// outcome is what became of a request.
type outcome struct {
	what  string // "" of what is not for the access log
	url   string // "" if file or the request's own says it
	file  catalog.Location
	first time.Time // when the first byte was sent
	end   time.Time // when the last one was; zero: when the request was over
	from  [3]bool   // by origin: whether bytes came from there
}

// note records that bytes of an origin were sent.
func (o *outcome) note(from ledger.Origin) {
	if int(from) < len(o.from) {
		o.from[from] = true
	}
}

// source names where the bytes came from.
func (o *outcome) source() (name string) {
	for from, sent := range o.from {
		switch {
		case sent && name != "":
			return "mixed"
		case sent:
			name = [...]string{ledger.FromStore: "store", ledger.FromPeer: "peers", ledger.FromMirror: "mirror"}[from]
		}
	}
	return name
}

// outcomeOf is the outcome of a file that could be served.
func outcomeOf(file *fetch.File) string {
	switch {
	case file.Stale != "":
		return wasStale
	case isHit(file):
		return wasHit
	}
	return wasMiss
}

// outcomeOfStatus is that of a request that could not be served.
func outcomeOfStatus(status int) string {
	switch {
	case status < 400:
		return wasRedirect
	case status == http.StatusNotFound || status == http.StatusGone:
		return wasAbsent
	case status < 500:
		return wasRefused
	}
	return wasFailed
}

// urlOf is the URL of a file as the access log has it; "" if it is none.
func urlOf(l catalog.Location) string {
	if l.Host == "" {
		return ""
	}
	return l.String()
}

// record tells the access log, and what measures, of a request that is over.
func (p *Proxy) record(w *response, r *http.Request, begun time.Time) {
	if w.outcome.what == "" {
		return
	}
	if w.outcome.end.IsZero() {
		w.outcome.end = time.Now()
	}
	p.measure(&w.outcome, begun)
	if p.accessLog == nil {
		return
	}
	client := front.ClientOf(r)
	line := logs.Request{
		Time: begun, Method: r.Method, URL: w.outcome.url, Status: w.status, Outcome: w.outcome.what, Source: w.outcome.source(),
		Bytes: w.written, Duration: milliseconds(w.outcome.end.Sub(begun)),
	}
	if client.IsValid() {
		line.Client = client.String()
	}
	if line.URL == "" {
		line.URL = urlOf(w.outcome.file)
	}
	if line.URL == "" {
		line.URL = p.shown(r)
	}
	if r.Method == http.MethodHead {
		line.Bytes = 0 // net/http takes a body and sends none
	}
	if !w.outcome.first.IsZero() {
		line.FirstByte = milliseconds(w.outcome.first.Sub(begun))
	}
	p.accessLog.Add(line, front.PartyOf(client))
}

// measure tells Options.Measured of a request that is over. How long a tunnel was open
// says nothing about the box.
func (p *Proxy) measure(o *outcome, begun time.Time) {
	if p.measured == nil || o.what == wasTunnel {
		return
	}
	var first time.Duration
	if !o.first.IsZero() {
		first = o.first.Sub(begun)
	}
	p.measured(o.what, first, o.end.Sub(begun))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
