package swarm

import (
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/peer"
)

// private reports whether all boxes of the swarm are members: they hold its key, or
// are listed.
func (s *Swarm) private() bool { return s.options.Key != nil || len(s.options.AllowPeers) > 0 }

// kind returns what the box id is to this one.
func (s *Swarm) kind(id p2p.ID) peer.Kind {
	switch {
	case s.private():
		return peer.Member
	case s.nearby(id):
		return peer.Local
	default:
		return peer.Stranger
	}
}

// Widest implements peer.Swarm.
func (s *Swarm) Widest() peer.Kind {
	if s.private() {
		return peer.Member
	}
	return peer.Stranger
}
