package swarm

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/swarm/reputation"
)

// gate allows or refuses connections in both directions by peer ID, refuses
// banned addresses, and decides where libp2p may dial and for whom it relays.
type gate struct {
	allowed    map[p2p.ID]bool // nil: all
	reputation *reputation.Table
	handshakes *handshakeLog
	public     func(netip.Addr) bool
	may        func(p2p.ID, permission) bool

	mu     sync.Mutex      // guards the fields below
	given  map[string]int  // addresses in the binary form that are being dialled because they were given, with the number of dials
	probes map[p2p.ID]bool // IDs of nobody, dialled to learn which box answers
}

var (
	_ connmgr.ConnectionGater = (*gate)(nil)
	_ relay.ACLFilter         = (*gate)(nil)
)

func newGate(allow []string, reputation *reputation.Table, handshakes *handshakeLog) (*gate, error) {
	g := &gate{reputation: reputation, handshakes: handshakes, given: make(map[string]int), probes: make(map[p2p.ID]bool)}
	var faults []error
	for _, text := range allow {
		id, err := p2p.Decode(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("allowed peer %q is not a peer ID: %w", text, err))
			continue
		}
		if g.allowed == nil {
			g.allowed = make(map[p2p.ID]bool)
		}
		g.allowed[id] = true
	}
	return g, errors.Join(faults...)
}

// listed reports whether id is in the list of allowed peers, if there is one.
func (g *gate) listed(id p2p.ID) bool { return g.allowed == nil || g.allowed[id] }

// objection returns why id may not connect; empty if it may.
func (g *gate) objection(id p2p.ID) string {
	switch {
	case g.reputation.Banned(id.String()):
		return "the box is banned"
	case !g.listed(id):
		return "the box is not in the list of allowed peers"
	}
	return ""
}

func (g *gate) InterceptPeerDial(id p2p.ID) bool { return g.objection(id) == "" || g.isProbe(id) }

func (g *gate) isProbe(id p2p.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.probes[id]
}

// probe has id dialled although it is in no list, until the function that it returns
// is called. Nobody has the ID, so that no connection comes of it.
func (g *gate) probe(id p2p.ID) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probes[id] = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.probes, id)
	}
}

// InterceptAddrDial applies to boxes what mirrors are held to: an address that is
// not public is dialled only for a member, or if it was given (dialGiven). What
// records in the DHT, identify and other boxes say leads nowhere else. Names are
// resolved before; what has no IP address is a relay's ID, and the relay is dialled
// through here itself.
func (g *gate) InterceptAddrDial(id p2p.ID, addr ma.Multiaddr) bool {
	ip := addrOf(addr)
	return !ip.IsValid() || g.public(ip) || g.may(id, inside) || g.isGiven(addr)
}

func (g *gate) isGiven(addr ma.Multiaddr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.given[string(addr.Bytes())] > 0
}

// give has addrs count as given until the function that it returns is called.
func (g *gate) give(addrs []ma.Multiaddr) (done func()) {
	change := func(by int) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, addr := range addrs {
			key := string(addr.Bytes())
			if g.given[key] += by; g.given[key] == 0 {
				delete(g.given, key)
			}
		}
	}
	change(1)
	return func() { change(-1) }
}

// AllowReserve decides who may be reached by a relay of this box.
func (g *gate) AllowReserve(id p2p.ID, _ ma.Multiaddr) bool { return g.may(id, relaying) }

// AllowConnect decides who may reach such a one.
func (g *gate) AllowConnect(id p2p.ID, _ ma.Multiaddr, _ p2p.ID) bool { return g.may(id, relaying) }

func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is the first call in which the peer's ID is verified and the
// connection is known to be of this swarm.
func (g *gate) InterceptSecured(_ network.Direction, id p2p.ID, conn network.ConnMultiaddrs) bool {
	if c, ok := conn.(*handshake); ok {
		c.known.Store(true)
	}
	why := g.objection(id)
	if why == "" && g.reputation.AddrBanned(addrOf(conn.RemoteMultiaddr())) {
		why = "the address is banned"
	}
	if why != "" {
		g.handshakes.log(conn.RemoteMultiaddr(), why, "peer", id)
		return false
	}
	g.handshakes.accepted(conn.RemoteMultiaddr())
	return true
}

func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
