// Package party decides whose entries give way in tables that fill up with what
// archives send: the catalog, records of Release files, unsigned blobs, accounts of
// hosts.
//
// The parties are those who run archives. Whoever has a domain can make any number of
// hosts, so all names below one registrable domain are one party (*.example.org), and so
// are all addresses of one IPv6 network of 64 bits. Ports make no difference.
//
// It knows nothing of clients, who share what they hold open (front.Shares), nor of
// other boxes (swarm/quota). Those rules take effect when somebody comes, this one when
// a table is swept.
package party

import (
	"cmp"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Of returns the party of a host, given with or without a port.
func Of(host string) string {
	name := host
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, ']') {
		name = name[:i]
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		if a.Is6() && !a.Is4In6() {
			network, _ := a.WithZone("").Prefix(64) // 64 is a valid length
			return network.String()
		}
		return a.String()
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name // a single word, or a suffix itself
}

// Entry is what somebody's entry in a full table weighs.
type Entry struct {
	Host   string
	Class  int   // entries of a lower class give way first
	Weight int64 // of what there is too much of
	Used   int64 // time of the last use; the unit does not matter
}

// First returns the index of the entry that gives way first, -1 if there is none.
func First(all []Entry) int {
	for _, i := range Order(all, 1) {
		return i
	}
	return -1
}

// Order returns the indices of the entries that give way, the first one first, until
// they weigh over together: those of the lowest class, of the party that has most
// there, of the host of this party that has most, those used longest ago. So a party
// that asks for more than others loses its own, and what is used outlives what
// somebody asked for once.
func Order(all []Entry, over int64) (gone []int) {
	left := candidates(all)
	for over > 0 && len(left) > 0 {
		first := 0
		for n := range left {
			if left[n].before(&left[first]) {
				first = n
			}
		}
		c := left[first]
		*c.party -= c.Weight
		*c.host -= c.Weight
		over -= c.Weight
		gone = append(gone, c.index)
		left[first] = left[len(left)-1]
		left = left[:len(left)-1]
	}
	return gone
}

// candidate is an entry with what its party and its host have in its class.
type candidate struct {
	Entry
	index       int
	party, host *int64
}

func candidates(all []Entry) []candidate {
	type share struct {
		class int
		whose string
	}
	parties, hosts := make(map[share]*int64), make(map[share]*int64)
	add := func(m map[share]*int64, s share, weight int64) *int64 {
		if m[s] == nil {
			m[s] = new(int64)
		}
		*m[s] += weight
		return m[s]
	}
	of := make(map[string]string)
	left := make([]candidate, 0, len(all))
	for i, e := range all {
		if _, known := of[e.Host]; !known {
			of[e.Host] = Of(e.Host)
		}
		left = append(left, candidate{
			e, i, add(parties, share{e.Class, of[e.Host]}, e.Weight), add(hosts, share{e.Class, e.Host}, e.Weight),
		})
	}
	return left
}

func (a *candidate) before(b *candidate) bool {
	return cmp.Or(
		cmp.Compare(a.Class, b.Class),
		cmp.Compare(*b.party, *a.party),
		cmp.Compare(*b.host, *a.host),
		cmp.Compare(a.Used, b.Used)) < 0
}
