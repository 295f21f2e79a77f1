package swarm

import (
	"net/netip"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/address"
)

// partyOf returns the network whose boxes count as one party: an IPv4 /24 or an IPv6
// /64, since more than one address costs a stranger nothing, but a single address of
// a site or of this machine. It is the zero Prefix for the zero Addr, of a relay.
func partyOf(a netip.Addr) netip.Prefix {
	a = address.Plain(a)
	bits := 24
	switch {
	case !a.IsValid():
		return netip.Prefix{}
	case a.Is6():
		bits = 64
	case address.OfSite(a):
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
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
