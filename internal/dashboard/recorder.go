package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"strings"

	"millpond/internal/api"
	"millpond/internal/logs"
)

// Handler returns a handler for slog that keeps events and passes all that
// next wants on to it.
func (e *Events) Handler(next slog.Handler) slog.Handler { return &recorder{events: e, next: next} }

// recorder is a slog.Handler in front of another.
type recorder struct {
	events *Events
	next   slog.Handler
	attrs  []slog.Attr
}

var _ slog.Handler = (*recorder)(nil)

// Enabled implements slog.Handler.
func (r *recorder) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= logs.Notice || r.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (r *recorder) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= logs.Notice {
		facts := make(map[string]string)
		var rest []string
		note := func(a slog.Attr) bool {
			facts[a.Key] = textOf(a)
			if !slices.Contains(placed, a.Key) {
				rest = append(rest, strings.ReplaceAll(a.Key, "_", " ")+" "+facts[a.Key])
			}
			return true
		}
		for _, a := range r.attrs {
			note(a)
		}
		record.Attrs(note)
		if facts["err"] == "" {
			facts["err"] = strings.Join(rest, ", ")
		}
		r.events.hour.count(record.Time, facts["failure"])
		if v := eventOf(record, facts); v != nil {
			r.events.add(v)
		}
	}
	if !r.next.Enabled(ctx, record.Level) {
		return nil
	}
	return r.next.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (r *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recorder{r.events, r.next.WithAttrs(attrs), append(slices.Clip(r.attrs), attrs...)}
}

// WithGroup implements slog.Handler. The box's parts use no groups.
func (r *recorder) WithGroup(name string) slog.Handler {
	return &recorder{r.events, r.next.WithGroup(name), r.attrs}
}

// placed are the attributes that have a place in an event. A line without err has the
// others as its cause.
var placed = []string{
	"part", "request", "err", "setting", "client", "url", "suite", "host", "mirror", "ring", "status", "failure", "action", "what", "result",
}

// eventOf is the event that a line of the log is, nil if it is none. The message says
// what failed, err why, and the other attributes whom it is about.
func eventOf(record slog.Record, facts map[string]string) *eventRow {
	v := &eventRow{Message: short(record.Message, maxText), Event: api.Event{
		Time: record.Time.UTC(), Level: "info", Cause: facts["err"], Setting: facts["setting"], Ring: facts["ring"],
		URL: facts["url"], Suite: facts["suite"], Host: facts["host"],
	}}
	switch {
	case record.Level >= slog.LevelError:
		v.Level = "error"
	case record.Level >= slog.LevelWarn:
		v.Level = "warn"
	}
	switch {
	case facts["action"] != "":
		v.Kind, v.Subject = "audit", short(facts["action"]+" "+facts["what"]+": "+facts["result"], maxText)
	case v.Ring != "":
		v.Kind = "ring"
	case record.Level == logs.Notice:
		v.Kind = "mirror"
	case v.Level != "info":
		v.Kind = "fault"
	case v.Setting != "":
		v.Kind = "refusal"
	default:
		return nil
	}
	_, _ = fmt.Sscan(facts["status"], &v.Status) // 0 without one
	if v.Setting != "" {
		// The page shows it on its own.
		v.Cause, _, _ = strings.Cut(v.Cause, "; "+v.Setting)
	}
	if v.Kind != "audit" {
		v.Suite = cmp.Or(v.Suite, suiteIn(v.URL))
		v.Host = cmp.Or(v.Host, facts["mirror"], hostIn(v.URL), hostIn(v.Suite))
		for _, key := range []string{"source", "peer", "addr", "proxy", "file", "directory", "name", "table", "digest"} {
			v.Subject = cmp.Or(v.Subject, facts[key])
		}
	}
	if a, err := netip.ParseAddr(facts["client"]); err == nil {
		v.Client = a.Unmap().WithZone("").String()
		v.Clients = []api.EventClient{{Address: v.Client, URL: short(v.URL, maxURL), Time: v.Time}}
	}
	v.cut()
	return v
}

// cut bounds the texts.
func (v *eventRow) cut() {
	for _, text := range []*string{&v.Message, &v.Subject, &v.Cause, &v.Setting} {
		*text = short(*text, maxText)
	}
	for _, text := range []*string{&v.URL, &v.Suite, &v.Host, &v.Ring} {
		*text = short(*text, maxURL)
	}
}

// headline is the one rule for what stands above an event: what failed, with what, and
// for whom. Why it did stands below.
func (v *eventRow) headline() string {
	if v.Kind == "audit" {
		return v.Subject
	}
	with := v.Subject
	switch {
	case v.Ring != "" && v.Suite != "":
		with = "ring " + v.Ring + ", " + unschemed(v.Suite)
	case v.Ring != "":
		with = "ring " + v.Ring
	case v.URL != "" && hostIn(v.URL) != "":
		with = path.Base(unschemed(v.URL)) + " of " + hostIn(v.URL)
	case v.Suite != "":
		with = unschemed(v.Suite)
	case v.Host != "":
		with = v.Host
	}
	text := v.Message
	if with != "" {
		text += ": " + with
	}
	switch n := len(v.Clients); {
	case n == 0:
	case n == maxEventClients:
		text += fmt.Sprintf(", for %s and others", v.Clients[0].Address)
	case n > 1:
		text += fmt.Sprintf(", for %s and %d more", v.Clients[0].Address, n-1)
	default:
		text += ", for " + v.Clients[0].Address
	}
	return text
}

// textOf is an attribute's value as the log has it.
func textOf(a slog.Attr) string { return fmt.Sprint(a.Value.Resolve().Any()) }

func short(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most-3], "") + "…"
	}
	return s
}

func unschemed(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		return rest
	}
	return url
}

// hostIn is the host of a URL, "" if it has none.
func hostIn(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// suiteIn is the directory of the suite that a file belongs to by its URL, "" if that
// does not say.
func suiteIn(url string) string {
	switch path.Base(url) {
	case "InRelease", "Release", "Release.gpg":
		return url[:strings.LastIndexByte(url, '/')]
	}
	before, after, ok := strings.Cut(url, "/dists/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(after, "/")
	return before + "/dists/" + name
}
