package swarm

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/swarm/reputation"
)

// gate allows or refuses connections in both directions by peer ID, and refuses
// banned addresses.
type gate struct {
	allowed    map[p2p.ID]bool // nil: all
	reputation *reputation.Table
	handshakes *handshakeLog
}

var _ connmgr.ConnectionGater = (*gate)(nil)

func newGate(allow []string, reputation *reputation.Table, handshakes *handshakeLog) (*gate, error) {
	g := &gate{reputation: reputation, handshakes: handshakes}
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

// objection returns why id may not connect; empty if it may.
func (g *gate) objection(id p2p.ID) string {
	switch {
	case g.reputation.Banned(id.String()):
		return "the box is banned"
	case g.allowed != nil && !g.allowed[id]:
		return "the box is not in the list of allowed peers"
	}
	return ""
}

func (g *gate) InterceptPeerDial(id p2p.ID) bool { return g.objection(id) == "" }

func (g *gate) InterceptAddrDial(p2p.ID, ma.Multiaddr) bool { return true }

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
