package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"millpond/internal/api"
	"millpond/internal/fetch"
	"millpond/internal/front"
)

const (
	// tickEvery is how often an open page gets what is new.
	tickEvery = time.Second
	// maxStreams bounds the pages that are open at once; each costs some
	// 100 µs of processor a second. One more ends the oldest of the client with
	// the most.
	maxStreams = 256
	// maxTransfers is how many a tick has room for; /api/v1/transfers has them too.
	maxTransfers = 50
	// streamStall ends a stream whose client reads nothing.
	streamStall = 30 * time.Second
)

// streamOr streams ticks to a client that accepts an event stream; others get
// next.
func (d *Dashboard) streamOr(ctx huma.Context, next func(huma.Context)) {
	if !strings.Contains(ctx.Header("Accept"), "text/event-stream") {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	d.stream(w, r)
}

// stream sends ticks until the client disconnects, another one needs its place, or the
// box stops. A browser comes back by itself.
func (d *Dashboard) stream(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a reverse proxy in front must not hold ticks back
	control := http.NewResponseController(w)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer d.streams.Take(front.PartyOf(front.ClientOf(r)), func(bool) { cancel() }).Leave()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		b, err := json.Marshal(d.tick())
		if err != nil {
			d.log.Error("tick not encoded", "err", err)
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
		case <-ctx.Done():
			return
		case <-d.ended:
			return
		}
	}
}

// EndStreams ends the pages' streams, and each new one after its first tick, so
// that a server's Shutdown need not wait for them. It is for http.Server's
// RegisterOnShutdown.
func (d *Dashboard) EndStreams() { d.endOnce.Do(func() { close(d.ended) }) }

func (d *Dashboard) tick() api.Tick {
	ready := d.readiness()
	return api.Tick{
		Time: time.Now().UTC(), Status: ready.Status, Faults: ready.Faults, Summary: d.snapshot(),
		Transfers: d.transfers(), LastEvent: d.events.Last(),
	}
}

func (d *Dashboard) listTransfers(context.Context, *none) (api.TransferList, error) {
	return api.TransferList{Transfers: d.transfers()}, nil
}

// transfers are the downloads under way, as many as a tick has room for.
func (d *Dashboard) transfers() []api.Transfer {
	rows := []api.Transfer{}
	all := d.fetch.Transfers()
	for _, t := range all[:min(len(all), maxTransfers)] {
		rows = append(rows, transferOf(t))
	}
	return rows
}

func transferOf(t fetch.Transfer) api.Transfer {
	row := api.Transfer{
		URL: t.Location.Shown(), Size: t.Size, Started: t.Started.UTC(), Clients: t.Clients, Spans: []api.Span{},
	}
	if !t.Digest.IsZero() {
		row.Digest = t.Digest.String()
	}
	for _, p := range t.Parts {
		row.Have += p.End - p.Off
		row.Spans = append(row.Spans, api.Span{From: p.Off, To: p.End, Origin: p.Origin.String()})
	}
	return row
}
