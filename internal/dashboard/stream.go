package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Tick is what the stream of GET /api/v1/events sends every second, as the
// data of an event named tick.
type Tick struct {
	Time      time.Time  `json:"time"`
	Status    string     `json:"status"` // as in Readiness
	Faults    []Fault    `json:"faults"` // never null
	Summary   Summary    `json:"summary"`
	Transfers []Transfer `json:"transfers"`  // never null
	LastEvent int64      `json:"last_event"` // ID of the latest Event
}

// Transfer is a download under way.
type Transfer struct {
	Digest  string    `json:"digest"` // "" of a file without one
	URL     string    `json:"url"`
	Size    int64     `json:"size"` // -1 if not known
	Have    int64     `json:"have"` // bytes that are there
	Started time.Time `json:"started"`
	Clients int       `json:"clients"` // that wait for it
	Spans   []Span    `json:"spans"`   // never null
}

// Span is bytes of one origin.
type Span struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`     // exclusive
	Origin string `json:"origin"` // "store", "peer" or "mirror"
}

const (
	// tickEvery is how often an open page is told what is new.
	tickEvery = time.Second
	// maxStreams bounds the pages that are open at once; each costs some
	// 100 µs of processor a second.
	maxStreams = 64
	// maxTransfers is how many a tick has room for; /api/v1/transfers has them too.
	maxTransfers = 50
	// streamStall ends a stream whose reader takes nothing.
	streamStall = 30 * time.Second
)

func wantsStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// stream sends ticks until its reader leaves or the box stops. A browser
// comes back by itself.
func (d *Dashboard) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d pages are open already; close one", maxStreams), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a reverse proxy in front must not hold ticks back
	control := http.NewResponseController(w)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		b, err := json.Marshal(d.tick())
		if err != nil {
			d.Log.Error("a tick could not be encoded", "err", err)
			return
		}
		control.SetWriteDeadline(time.Now().Add(streamStall)) // a recorder in a test has none
		if _, err := fmt.Fprintf(w, "event: tick\ndata: %s\n\n", b); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-d.ended:
			return
		}
	}
}

// EndStreams ends the pages' streams and lets no new one last, so that a
// server's Shutdown need not wait for them. It is for http.Server's
// RegisterOnShutdown.
func (d *Dashboard) EndStreams() { d.endOnce.Do(func() { close(d.ended) }) }

func (d *Dashboard) tick() Tick {
	ready := d.readiness()
	return Tick{
		Time: time.Now().UTC(), Status: ready.Status, Faults: ready.Faults, Summary: d.snapshot(),
		Transfers: d.running(), LastEvent: d.Events.Last(),
	}
}

// running returns the downloads under way, as many as a tick has room for.
func (d *Dashboard) running() []Transfer {
	all := d.Transfers()
	return append([]Transfer{}, all[:min(len(all), maxTransfers)]...)
}

func (d *Dashboard) transfers(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, TransferList{d.running()})
}
