package daily

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Host is what a Book has of one host.
type Host[F Figures[F]] struct {
	Name        string
	First, Last time.Time
	Ever        F        // since First
	Sum         F        // of Days
	Days        []Day[F] // of the period, the oldest first, without those that had nothing
	Clients     []Client // the latest first
}

// Day is what a host had on one day.
type Day[F Figures[F]] struct {
	Start time.Time // UTC
	Sum   F
}

// Client is one of the last clients of a host.
type Client struct {
	Addr  netip.Addr
	Last  time.Time
	Bytes int64
}

// Hosts returns all hosts in the order of their names, with the figures of the last
// days, of which that of now is the last.
func (b *Book[F]) Hosts(now time.Time, days int) []Host[F] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Host[F]
	after := max(now.Unix(), 0)/secondsADay - int64(days)
	for _, name := range slices.Sorted(maps.Keys(b.hosts)) {
		r := b.hosts[name]
		h := Host[F]{Name: name, First: time.Unix(r.First, 0).UTC(), Last: time.Unix(r.Last, 0).UTC(), Ever: r.Ever}
		for _, d := range r.Days {
			if d.Day > after {
				h.Sum = h.Sum.Plus(d.Sum)
				h.Days = append(h.Days, Day[F]{Start: time.Unix(d.Day*secondsADay, 0).UTC(), Sum: d.Sum})
			}
		}
		for _, c := range r.Clients {
			h.Clients = append(h.Clients, Client{Addr: c.Addr, Last: time.Unix(c.Last, 0).UTC(), Bytes: c.Bytes})
		}
		slices.SortFunc(h.Clients, func(a, b Client) int {
			return cmp.Or(b.Last.Compare(a.Last), a.Addr.Compare(b.Addr))
		})
		all = append(all, h)
	}
	return all
}
