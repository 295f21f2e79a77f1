package swarm

import (
	"fmt"
	"net/netip"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"millpond/internal/peer"
)

// Ban refuses the peer id for d and closes its connections; with d ≤ 0 it lifts
// the ban. An error means that id is no peer ID.
func (s *Swarm) Ban(id string, d time.Duration) error {
	p, err := p2p.Decode(id)
	if err != nil {
		return fmt.Errorf("banning %.80q: not a peer ID: %w", id, err)
	}
	s.reputation.Ban(p.String(), d)
	if d > 0 {
		s.cut(p)
	}
	return nil
}

// fault counts a fault of the box id.
func (s *Swarm) fault(id p2p.ID, f peer.Fault, why string) { s.peer(id).fault(f, why) }

// cut closes the connections to a banned peer. Close may block during a write, so
// cut does not wait for it.
func (s *Swarm) cut(id p2p.ID) {
	for _, c := range s.host.Network().ConnsToPeer(id) {
		go c.Close()
	}
}

// banned reports whether a ban of id is in force.
func (s *Swarm) banned(id p2p.ID) bool { return s.reputation.Banned(id.String()) }

// cost returns the reputation's rank of p; false if p must not be asked now, because
// it is banned, suspended, excluded for its score, or unresponsive.
func (s *Swarm) cost(p *remote) (time.Duration, bool) {
	cost, ok := s.reputation.Cost(p.known(), s.rtts.of(p.id))
	return cost, ok && !s.rtts.unresponsive(p.id)
}

// addrOf returns the IP address in addr; the zero Addr if there is none.
func addrOf(addr ma.Multiaddr) netip.Addr {
	if addr == nil {
		return netip.Addr{}
	}
	ip, err := manet.ToIP(addr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
