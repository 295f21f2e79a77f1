// Package party says whose an archive's host is, and who gives way where too many
// want room: the one rule for the tables that anybody who can name a host, or who
// runs one, can fill.
//
// A party is whoever can make hosts at will: all names below one registrable domain
// are one party (*.example.org), and so are all addresses of one IPv6 network of 64
// bits. Ports make no difference.
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

// First returns the index of the entry that gives way first, -1 if there is none: of
// the lowest class, of the party that has most there, of the host of this party that
// has most, the one used longest ago. So a party that asks for more than others loses
// its own, and what is used outlives what somebody asked for once.
func First(all []Entry) int {
	class := 0
	for i, e := range all {
		if i == 0 || e.Class < class {
			class = e.Class
		}
	}
	parties, hosts, of := make(map[string]int64), make(map[string]int64), make(map[string]string)
	for _, e := range all {
		if e.Class != class {
			continue
		}
		p, known := of[e.Host]
		if !known {
			p = Of(e.Host)
			of[e.Host] = p
		}
		parties[p] += e.Weight
		hosts[e.Host] += e.Weight
	}
	first := -1
	before := func(a, b Entry) bool {
		return cmp.Or(
			-cmp.Compare(parties[of[a.Host]], parties[of[b.Host]]),
			-cmp.Compare(hosts[a.Host], hosts[b.Host]),
			cmp.Compare(a.Used, b.Used)) < 0
	}
	for i, e := range all {
		if e.Class == class && (first < 0 || before(e, all[first])) {
			first = i
		}
	}
	return first
}
