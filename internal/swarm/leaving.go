package swarm

import (
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// leavingProtocol is listed by a box that is about to stop. Nobody opens it: libp2p sends
// the list of protocols to all connected peers when it changes, and a box that does not
// know this one ignores it.
const leavingProtocol protocol.ID = "/millpond/leaving/1"

// Leave tells the connected boxes that this one is about to stop, until Close. It fetches
// nothing for others from now on: those that ask nevertheless are told at once that it
// does not know the file, and ask the next one. What it holds, and what it is already
// fetching, they still get.
func (s *Swarm) Leave() {
	s.leaving.Store(true)
	s.host.SetStreamHandler(leavingProtocol, func(st network.Stream) { _ = st.Reset() })
}

// leaves reports whether the box id is about to stop.
func (s *Swarm) leaves(id p2p.ID) bool {
	known, err := s.host.Peerstore().SupportsProtocols(id, leavingProtocol)
	return err == nil && len(known) > 0
}
