package swarm

import (
	"net/netip"
	"slices"

	p2p "github.com/libp2p/go-libp2p/core/peer"
)

// siteRanges are the addresses of sites, as clients are allowed by default: private
// (RFC 1918, RFC 4193), link-local (RFC 3927, RFC 4291) and of carriers' and overlay
// networks (RFC 6598).
var siteRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

// partyOf returns the network whose boxes count as one party: an IPv4 /24 or an IPv6
// /64, since more than one address costs a stranger nothing, but a single address of
// a site or of this machine. It is the zero Prefix for the zero Addr, of a relay.
func partyOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 24
	switch {
	case !a.IsValid():
		return netip.Prefix{}
	case a.Is6():
		bits = 64
	case ofSite(a):
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

// ofSite reports whether a is an address of a site or of this machine.
func ofSite(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(siteRanges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// networkWeight is the weight of a network's quota: most of the boxes can stand
// behind one address, as those of a site behind a Service or Docker's proxy do, and
// others still get in.
const networkWeight = 3

// network returns the network of id's connection; the zero Prefix if there is none.
func (s *Swarm) network(id p2p.ID) netip.Prefix {
	if c := s.direct(id); c != nil {
		return partyOf(addrOf(c.RemoteMultiaddr()))
	}
	return netip.Prefix{}
}
