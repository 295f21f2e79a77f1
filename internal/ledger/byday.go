package ledger

import (
	"net/http"
	"net/netip"
	"time"

	"millpond/internal/ledger/daily"
)

// The kinds of figures by day, each with its own keys in their table.
const (
	tunnelKind = 't'
	mirrorKind = 'm'
)

// DaysKept is how many days Tunnels and Mirrors go back, today included.
const DaysKept = daily.MaxDays

// TunnelFigures are what passed through tunnels to a host.
type TunnelFigures struct {
	Bytes   int64 `json:"bytes,omitempty"` // both ways
	Tunnels int64 `json:"tunnels,omitempty"`
}

// Plus implements daily.Figures.
func (f TunnelFigures) Plus(o TunnelFigures) TunnelFigures {
	return TunnelFigures{f.Bytes + o.Bytes, f.Tunnels + o.Tunnels}
}

// Class is what the answers of mirrors are counted by.
type Class int

// The classes. What is not from 200 to 599 is ClassOther.
const (
	Class2xx Class = iota
	Class3xx
	Class4xx
	Class5xx
	ClassOther
	ClassNone // no answer came
	classes
)

// String returns 2xx and the like, "other" or "none".
func (c Class) String() string {
	return [classes]string{"2xx", "3xx", "4xx", "5xx", "other", "none"}[c]
}

func classOf(status int) Class {
	switch {
	case status == NoAnswer:
		return ClassNone
	case status >= http.StatusOK && status < 600:
		return Class(status/100 - 2)
	}
	return ClassOther
}

// Load is a number of requests and the body bytes of their answers.
type Load struct {
	Requests int64 `json:"requests,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
}

func (l Load) plus(o Load) Load { return Load{l.Requests + o.Requests, l.Bytes + o.Bytes} }

// MirrorFigures are what a mirror was asked for and sent, and what clients got of it.
type MirrorFigures struct {
	ByClass [classes]Load `json:"by_class"`
	Clients Load          `json:"clients"` // requests of clients, and what they got
	Avoided int64         `json:"avoided,omitempty"`
}

// Plus implements daily.Figures.
func (f MirrorFigures) Plus(o MirrorFigures) MirrorFigures {
	for c := range f.ByClass {
		f.ByClass[c] = f.ByClass[c].plus(o.ByClass[c])
	}
	f.Clients, f.Avoided = f.Clients.plus(o.Clients), f.Avoided+o.Avoided
	return f
}

// answered has a load of answers with a status.
func answered(status int, load Load) (f MirrorFigures) {
	f.ByClass[classOf(status)] = load
	return f
}

// Taken is what the mirror was asked for and sent, of all classes.
func (f MirrorFigures) Taken() (sum Load) {
	for _, l := range f.ByClass {
		sum = sum.plus(l)
	}
	return sum
}

// Spared is what clients requested and got less what the mirror was asked for and sent.
func (f MirrorFigures) Spared() Load {
	taken := f.Taken()
	return Load{f.Clients.Requests - taken.Requests, f.Clients.Bytes - taken.Bytes}
}

// TunnelHost and MirrorHost are one host's figures, MirrorDay those of one day.
type (
	TunnelHost = daily.Host[TunnelFigures]
	MirrorHost = daily.Host[MirrorFigures]
	MirrorDay  = daily.Day[MirrorFigures]
)

// Tunnels returns the hosts that tunnels led to, with what passed in the last days and
// the last clients. The names have ports.
func (l *Ledger) Tunnels(now time.Time, days int) []TunnelHost { return l.tunnels.Hosts(now, days) }

// Mirrors returns the hosts that were asked for files or whose files clients got, with
// the figures of the last days.
func (l *Ledger) Mirrors(now time.Time, days int) []MirrorHost { return l.mirrors.Hosts(now, days) }

// Sent counts n body bytes of a mirror's answer with a status, for Mirrors. Taken counts
// them for the archive's host: that of several mirrors which was asked is another.
func (l *Ledger) Sent(mirror string, status int, n int64) {
	if n > 0 {
		l.loaded(time.Now(), mirror, answered(status, Load{Bytes: n}))
	}
}

// TunnelOpened counts a tunnel of client to host:port.
func (l *Ledger) TunnelOpened(client netip.Addr, host string) {
	l.tunnels.Count(time.Now(), host, TunnelFigures{Tunnels: 1}, l.user(client), 0)
}

// loaded adds to a mirror's figures.
func (l *Ledger) loaded(now time.Time, mirror string, f MirrorFigures) {
	l.mirrors.Count(now, mirror, f, netip.Addr{}, 0)
}

// user is the address that client is remembered by among the last users of something,
// none if it is not to be.
func (l *Ledger) user(client netip.Addr) netip.Addr {
	if l.privacy.NoPackages {
		return netip.Addr{}
	}
	return l.account(client)
}

// forgetUsers removes clients from the figures by day.
func (l *Ledger) forgetUsers(gone func(recentClient) bool) (found bool, err error) {
	found = l.tunnels.Forget(func(addr netip.Addr, first int64) bool {
		return gone(recentClient{client: addr, first: first})
	})
	return found, l.tunnels.Flush()
}
