package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"millpond/internal/api"
)

// maxEvents is how many different events are kept, and maxText how much of
// each of their texts: clients choose parts of them.
const (
	maxEvents = 500
	maxText   = 500
)

// Events keeps what the box logs at Warn or above, refusals, and what becomes of rings, until the
// process ends: the log is the archive. An event that comes again is counted in
// the row that it has. All methods may be called by several goroutines.
type Events struct {
	// Keep is how long a row that names a client is kept after it came last; 0 is
	// until the process ends.
	Keep time.Duration

	mu   sync.Mutex
	last int64       // guarded by mu
	rows []api.Event // guarded by mu, the latest last
}

// Handler returns a handler for slog that keeps events and passes all that
// next wants on to it.
func (e *Events) Handler(next slog.Handler) slog.Handler { return &recorder{events: e, next: next} }

// Last is the ID of the latest event, 0 if there is none.
func (e *Events) Last() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Latest returns up to n events, the latest first.
func (e *Events) Latest(n int) []api.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expire()
	rows := append([]api.Event{}, e.rows[max(0, len(e.rows)-n):]...)
	slices.Reverse(rows)
	return rows
}

func (e *Events) add(v api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expire()
	e.last++
	v.ID, v.Times = e.last, 1
	if i := slices.IndexFunc(e.rows, func(o api.Event) bool { return same(v, o) }); i >= 0 {
		v.Times = e.rows[i].Times + 1
		e.rows = slices.Delete(e.rows, i, i+1)
	}
	if len(e.rows) >= maxEvents {
		e.rows = slices.Delete(e.rows, 0, 1)
	}
	e.rows = append(e.rows, v)
}

// Erase removes a client, and the rows whose text names it; known reports whether
// there were any.
func (e *Events) Erase(client netip.Addr) (known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.rows {
		if v := &e.rows[i]; mentions(v.Client, client) {
			v.Client, v.URL, known = "", "", true
		}
	}
	before := len(e.rows)
	e.rows = slices.DeleteFunc(e.rows, func(v api.Event) bool {
		return mentions(v.Message+" "+v.Cause+" "+v.Setting+" "+v.URL, client)
	})
	if known = known || len(e.rows) < before; known {
		e.last++ // pages ask again
	}
	return known
}

// mentions reports whether text has an address in it, in whatever form, alone or with a port.
func mentions(text string, client netip.Addr) bool {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '.' && r != ':' && r != '%' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	is := func(word string) bool {
		addr, err := netip.ParseAddr(word)
		if port, fault := netip.ParseAddrPort(word); err != nil && fault == nil {
			addr = port.Addr()
		}
		return addr.Unmap().WithZone("") == client
	}
	return slices.ContainsFunc(words, func(word string) bool { return is(word) || is(strings.TrimRight(word, ".:")) })
}

// expire removes what is older than is kept. e.mu must be held.
func (e *Events) expire() {
	if e.Keep > 0 {
		e.rows = slices.DeleteFunc(e.rows, func(v api.Event) bool { return v.Client != "" && time.Since(v.Time) > e.Keep })
	}
}

func same(v, o api.Event) bool {
	return v.Message == o.Message && v.Cause == o.Cause && v.Setting == o.Setting && v.Level == o.Level &&
		v.Ring == o.Ring && (v.Ring == "" || v.URL == o.URL)
}

// recorder is a slog.Handler in front of another.
type recorder struct {
	events *Events
	next   slog.Handler
	attrs  []slog.Attr
}

var _ slog.Handler = (*recorder)(nil)

// Enabled implements slog.Handler: refusals are logged at Info.
func (r *recorder) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo || r.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (r *recorder) Handle(ctx context.Context, record slog.Record) error {
	v := api.Event{Time: record.Time.UTC(), Message: short(record.Message), Level: "info"}
	for _, a := range r.attrs {
		set(&v, a)
	}
	record.Attrs(func(a slog.Attr) bool {
		set(&v, a)
		return true
	})
	if v.Setting != "" {
		// The page shows it on its own.
		v.Cause, _, _ = strings.Cut(v.Cause, "; "+v.Setting)
	}
	switch {
	case record.Level >= slog.LevelError:
		v.Level = "error"
	case record.Level >= slog.LevelWarn:
		v.Level = "warn"
	}
	if v.Level != "info" || v.Setting != "" || v.Ring != "" {
		r.events.add(v)
	}
	if !r.next.Enabled(ctx, record.Level) {
		return nil
	}
	return r.next.Handle(ctx, record)
}

// set takes the attributes that the box's parts use in common.
func set(v *api.Event, a slog.Attr) {
	field := map[string]*string{
		"err": &v.Cause, "setting": &v.Setting, "client": &v.Client, "url": &v.URL, "suite": &v.URL, "host": &v.URL, "ring": &v.Ring,
	}[a.Key]
	if field != nil {
		*field = short(fmt.Sprint(a.Value.Resolve().Any()))
	}
}

func short(s string) string {
	if len(s) > maxText {
		return s[:maxText-3] + "…"
	}
	return s
}

// WithAttrs implements slog.Handler.
func (r *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recorder{r.events, r.next.WithAttrs(attrs), append(slices.Clip(r.attrs), attrs...)}
}

// WithGroup implements slog.Handler. The box's parts use no groups.
func (r *recorder) WithGroup(name string) slog.Handler {
	return &recorder{r.events, r.next.WithGroup(name), r.attrs}
}

func (d *Dashboard) listEvents(_ context.Context, q *Limited) (api.EventList, error) {
	return api.EventList{Events: d.events.Latest(q.Limit)}, nil
}
