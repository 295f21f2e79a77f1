package dashboard

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"millpond/internal/api"
)

// restrict removes from a row what is not to be kept about clients.
func (e *Events) restrict(v *eventRow) (changed bool) {
	switch {
	case len(v.Clients) == 0:
		return false
	case e.NoClients:
		for _, c := range v.Clients {
			for _, text := range []*string{&v.Message, &v.Subject, &v.Cause, &v.Setting, &v.URL} {
				*text = strings.ReplaceAll(*text, c.Address, "a client")
			}
		}
	case e.NoLinks && (v.URL != "" || slices.ContainsFunc(v.Clients, func(c api.EventClient) bool { return c.URL != "" })):
	default:
		return false
	}
	v.Client, v.Clients = "", nil
	return true
}

// Erase removes a client, and the rows whose text names it, from memory and disk; known
// reports whether there were any.
func (e *Events) Erase(client netip.Addr) (known bool, err error) {
	e.mu.Lock()
	for _, row := range slices.Clone(e.rows) {
		switch {
		case mentions(strings.Join([]string{row.Message, row.Subject, row.Cause, row.Setting, row.URL}, " "), client):
			e.remove(row)
			known = true
		case slices.ContainsFunc(row.Clients, func(c api.EventClient) bool { return mentions(c.Address, client) }):
			e.change(row, func() {
				row.Clients = slices.DeleteFunc(row.Clients, func(c api.EventClient) bool { return mentions(c.Address, client) })
				row.relate()
			})
			known = true
		}
	}
	if known {
		e.last++ // pages ask again
	}
	e.mu.Unlock()
	return known, e.Flush()
}

// change changes a row that stays where it is. Its key is another one then, maybe that
// of another row, which it is merged into. mu is held.
func (e *Events) change(row *eventRow, do func()) {
	key := row.key()
	if e.index[key] == row {
		delete(e.index, key)
	}
	do()
	e.pools[row.Kind].bytes -= row.size
	row.size = row.measure()
	e.pools[row.Kind].bytes += row.size
	if key = row.key(); e.index[key] == nil {
		e.index[key] = row
	}
	e.dirty[row.slot] = row
}

// relate makes client and URL of a row those of the client that is now its last one.
func (v *eventRow) relate() {
	v.Client, v.URL = "", ""
	if len(v.Clients) > 0 {
		v.Client, v.URL = v.Clients[0].Address, v.Clients[0].URL
	}
}

// expire removes what is older than is kept. mu is held.
func (e *Events) expire() {
	now := time.Now()
	for len(e.rows) > 0 && now.Sub(e.rows[0].Time) > maxAge {
		e.remove(e.rows[0])
	}
	if e.Keep == 0 || e.Keep >= maxAge {
		return
	}
	old := func(c api.EventClient) bool { return now.Sub(c.Time) > e.Keep }
	for _, row := range slices.Clone(e.rows) {
		switch {
		case !slices.ContainsFunc(row.Clients, old):
		case now.Sub(row.Time) > e.Keep:
			e.remove(row)
		default:
			e.change(row, func() { row.Clients = slices.DeleteFunc(row.Clients, old) })
		}
	}
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
