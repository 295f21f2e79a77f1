package dashboard

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"millpond/internal/api"
	"millpond/internal/front"
	"millpond/internal/kv"
	"millpond/internal/party"
)

const (
	// maxOfKind and maxBytesOfKind bound the events of each kind, so that refusals,
	// say, push out no faults of the box. The second is about 1 kB for each.
	maxOfKind      = 300
	maxBytesOfKind = 300 << 10
	// maxEventClients bounds the clients of an event, maxURL the bytes of a URL and
	// maxText those of its other texts: clients choose parts of them.
	maxEventClients = 8
	maxURL          = 300
	maxText         = 500
	// maxAge is how long an event is kept after it came last: a quarter of a year, so
	// that what happens with each release of a suite is still there the next time.
	maxAge = 92 * 24 * time.Hour
)

// Events keeps what the box logs at Warn or above, refusals, mirrors' answers in place of
// files, what becomes of rings, and admin actions. An event that comes again is counted
// in the row that it has. In a kind that is full, the party with the most rows loses its
// oldest one. Rows are on disk after Open, at most a second late. All methods may be
// called by several goroutines.
type Events struct {
	// Keep is how long what names a client is kept after it came last; 0 is for as long
	// as the rest.
	Keep time.Duration
	// NoClients keeps no client, and NoLinks none of whom the row says what was requested.
	NoClients, NoLinks bool

	hour lastHour // has a lock of its own

	saving sync.Mutex // held while rows are written; before mu
	table  *kv.Table  // set by Open
	failed bool       // guarded by saving: the last writing did, and was logged

	mu    sync.Mutex
	last  int64                 // guarded by mu: the greatest ID
	slots int64                 // guarded by mu: the greatest slot
	rows  []*eventRow           // guarded by mu, the latest last
	index map[string]*eventRow  // guarded by mu: rows by key
	dirty map[int64]*eventRow   // guarded by mu: rows to be written, by slot; nil to be deleted
	kept  map[int64]bool        // guarded by mu: slots of the rows in the table
	pools map[string]*eventPool // guarded by mu: sums by kind
}

// eventRow is an event as it is kept.
type eventRow struct {
	api.Event
	Message string `json:"message"` // of the log
	Subject string `json:"subject"` // what it was about last, if not host, suite or ring

	slot int64 // its key in the table
	size int
	gone bool // guarded by Events.mu: no row of the events any more
}

// eventPool is what the rows of a kind come to.
type eventPool struct{ rows, bytes int }

// Last is the ID of the latest event, 0 if there is none.
func (e *Events) Last() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Latest returns up to n events that match, the latest first, and whether there are more.
func (e *Events) Latest(n int, match func(*api.Event) bool) (found []api.Event, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expire()
	found = []api.Event{}
	for _, row := range slices.Backward(e.rows) {
		if !match(&row.Event) {
			continue
		}
		if len(found) == n {
			return found, true
		}
		v := row.Event
		v.What, v.Clients = row.headline(), append([]api.EventClient{}, row.Clients...)
		found = append(found, v)
	}
	return found, false
}

// add counts v in the row that it has, or gives it one.
func (e *Events) add(v *eventRow) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expire()
	e.restrict(v)
	e.last++
	v.ID, v.Times, v.First = e.last, 1, v.Time
	key := v.key()
	if old := e.index[key]; old != nil {
		v.Times, v.First, v.slot = old.Times+1, old.First, old.slot
		v.join(old.Clients)
		e.remove(old)
	} else {
		e.slots++
		v.slot = e.slots
	}
	e.insert(key, v)
	for p := e.pools[v.Kind]; p.rows > maxOfKind || p.bytes > maxBytesOfKind; {
		e.remove(e.victim(v))
	}
}

// insert adds the latest row. mu is held.
func (e *Events) insert(key string, v *eventRow) {
	if e.index == nil {
		e.index, e.dirty, e.pools = make(map[string]*eventRow), make(map[int64]*eventRow), make(map[string]*eventPool)
	}
	v.size = v.measure()
	e.rows, e.index[key], e.dirty[v.slot] = append(e.rows, v), v, v
	if e.pools[v.Kind] == nil {
		e.pools[v.Kind] = new(eventPool)
	}
	e.pools[v.Kind].rows++
	e.pools[v.Kind].bytes += v.size
}

// remove removes a row. mu is held.
func (e *Events) remove(v *eventRow) {
	e.rows = slices.DeleteFunc(e.rows, func(o *eventRow) bool { return o == v })
	if key := v.key(); e.index[key] == v {
		delete(e.index, key)
	}
	v.gone = true
	// Else a disk that takes nothing would have ever more to do.
	if delete(e.dirty, v.slot); e.kept[v.slot] {
		e.dirty[v.slot] = nil
	}
	e.pools[v.Kind].rows--
	e.pools[v.Kind].bytes -= v.size
}

// victim returns the oldest row of the party that has the most of v's kind, which may be
// v's own. mu is held.
func (e *Events) victim(v *eventRow) (oldest *eventRow) {
	of := make(map[string]int)
	most := 0
	for _, row := range e.rows {
		if row.Kind == v.Kind {
			p := row.party()
			of[p]++
			most = max(most, of[p])
		}
	}
	for _, row := range e.rows {
		if row.Kind == v.Kind && of[row.party()] == most {
			return row
		}
	}
	return v // not reached: v is among the rows
}

// party is whose an event is: its client's, or the archive's if several clients or none
// have a part in it.
func (v *eventRow) party() string {
	if len(v.Clients) == 1 {
		if a, err := netip.ParseAddr(v.Clients[0].Address); err == nil {
			return front.PartyOf(a).String()
		}
	}
	return party.Of(v.Host)
}

// measure is about how many bytes a row takes.
func (v *eventRow) measure() int {
	n := 400 + len(v.Message) + len(v.Subject) + len(v.Cause) + len(v.Setting) + len(v.URL) + len(v.Host) + len(v.Suite) + len(v.Ring)
	for _, c := range v.Clients {
		n += 64 + len(c.Address) + len(c.URL)
	}
	return n
}

// key is what events have in common that are counted in one row. Words with a digit in
// them, such as ports, sizes, times and digests, make no difference in a cause.
func (v *eventRow) key() string {
	parts := []string{v.Kind, v.Level, plain(v.Message), plain(v.Cause), v.Setting, v.Host, v.Ring}
	switch v.Kind {
	case "ring":
		parts = append(parts, v.Suite)
	case "audit":
		parts = append(parts, v.Subject, v.Client)
	}
	return strings.Join(parts, "\x00")
}

// plain is text with a # for each word that has a digit in it.
func plain(text string) string {
	var b strings.Builder
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for text != "" {
		i := strings.IndexFunc(text, func(r rune) bool { return !word(r) })
		if i < 0 {
			i = len(text)
		}
		if strings.ContainsFunc(text[:i], unicode.IsDigit) {
			b.WriteByte('#')
		} else {
			b.WriteString(text[:i])
		}
		text = text[i:]
		j := strings.IndexFunc(text, word)
		if j < 0 {
			j = len(text)
		}
		b.WriteString(text[:j])
		text = text[j:]
	}
	return b.String()
}

// join adds the clients of the row before to those of v.
func (v *eventRow) join(before []api.EventClient) {
	for _, c := range before {
		if len(v.Clients) < maxEventClients && !slices.ContainsFunc(v.Clients, func(o api.EventClient) bool { return o.Address == c.Address }) {
			v.Clients = append(v.Clients, c)
		}
	}
}

// eventQuery says which events are asked for.
type eventQuery struct {
	Client string `query:"client" maxLength:"64" doc:"IP address of a client to whom it happened"`
	Suite  string `query:"suite" maxLength:"500" doc:"URL of its directory"`
	Host   string `query:"host" maxLength:"300" doc:"of an archive or mirror"`
	Kind   string `query:"kind" enum:"fault,refusal,mirror,ring,audit"`
	Before int64  `query:"before" minimum:"0" doc:"events before the one with this ID; 0 for the latest"`
	Limited
}

func (d *Dashboard) listEvents(_ context.Context, q *eventQuery) (api.EventList, error) {
	client := q.Client
	if client != "" {
		a, err := netip.ParseAddr(client)
		if err != nil {
			return api.EventList{}, wrong("client is the address of one, such as 10.1.2.3 or fd00::1")
		}
		client = a.Unmap().WithZone("").String()
	}
	found, more := d.events.Latest(q.Limit, func(v *api.Event) bool {
		return (q.Before == 0 || v.ID < q.Before) && (q.Kind == "" || v.Kind == q.Kind) && (q.Host == "" || strings.EqualFold(v.Host, q.Host)) &&
			(client == "" || slices.ContainsFunc(v.Clients, func(c api.EventClient) bool { return c.Address == client })) &&
			(q.Suite == "" || isOfSuite(v, q.Suite))
	})
	for _, v := range found {
		for i := range v.Clients {
			c := &v.Clients[i]
			c.Hostname, c.GivenName = d.names.Of(c.Address), d.clientName(c.Address)
		}
	}
	answer := api.EventList{Events: found}
	if more {
		answer.Next = found[len(found)-1].ID
	}
	return answer, nil
}

// isOfSuite reports whether an event is about a suite, by whatever scheme.
func isOfSuite(v *api.Event, suite string) bool {
	_, suite, _ = strings.Cut(strings.TrimSuffix(suite, "/"), "://")
	within := func(url string) bool {
		_, url, _ = strings.Cut(url, "://")
		return url == suite || strings.HasPrefix(url, suite+"/")
	}
	return within(v.Suite) || within(v.URL) || slices.ContainsFunc(v.Clients, func(c api.EventClient) bool { return within(c.URL) })
}
