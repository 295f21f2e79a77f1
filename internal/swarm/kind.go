package swarm

import (
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/peer"
)

// permission is something that depends on the kind of a box.
type permission uint8

const (
	// exchange: inventories, with the announcements of downloads, are sent to the
	// box and believed.
	exchange permission = iota
	// report: the box is told this one's links and figures, and is believed about its
	// own links. Figures of a local box are shown as unproved.
	report
	// fetching: the box may have this one fetch a file that it lacks.
	fetching
	// owning: the box may be asked to fetch a file in place of this one (Owners). A
	// stranger of this site may be, too, once it is proven.
	owning
	// unmetered: uploads to the box, if it is of this site, need not keep to the
	// upload rate.
	unmetered
	// handing: the box is handed the Release files of suites that it has, and is asked
	// for them.
	handing
	// relaying: the box may have a relay here, and be used as one.
	relaying
	// inside: the box is dialled at addresses that are not public, whoever says
	// that it is there.
	inside
)

// least is the least kind of box that has a permission. SECURITY.md has the same
// table, and TestKinds holds the swarm to it.
var least = [...]peer.Kind{
	exchange:  peer.Local,
	report:    peer.Local,
	fetching:  peer.Local,
	owning:    peer.Local,
	unmetered: peer.Local,
	handing:   peer.Local,
	relaying:  peer.Member,
	inside:    peer.Member,
}

// may reports whether the box id has a permission now.
func (s *Swarm) may(id p2p.ID, p permission) bool { return s.kind(id) >= least[p] }

// kind returns what the box id is to this one. Being near is not enough to be
// local, since anybody can be: an apt client at the same address must have the
// right to use this box. Nor is the address, since a NAT before this box can give
// strangers one of the site.
func (s *Swarm) kind(id p2p.ID) peer.Kind {
	switch {
	case s.member(id):
		return peer.Member
	case s.local(id):
		return peer.Local
	default:
		return peer.Stranger
	}
}

// member reports whether id, whose connection proves that it has the key if there is
// one, is a member.
func (s *Swarm) member(id p2p.ID) bool { return s.private() && s.gate.listed(id) }

// private reports whether all boxes of the swarm are members: they hold its key, or
// are listed.
func (s *Swarm) private() bool { return s.options.private() }

func (o Options) private() bool { return o.Key != nil || len(o.AllowPeers) > 0 }

// local reports whether id is connected directly, measured as near, and at an
// address that may use this box as a client.
func (s *Swarm) local(id p2p.ID) bool {
	if s.options.AllowClients == nil || s.boxes.connectedSince(id).IsZero() {
		return false
	}
	c := s.direct(id)
	rtt := s.rtts.min(id)
	return c != nil && rtt > 0 && rtt < nearbyRTT && s.options.AllowClients(addrOf(c.RemoteMultiaddr()))
}

// regard is called when the kind of id may have changed.
func (s *Swarm) regard(id p2p.ID) {
	s.inventories.review(id)
	s.places.review(id)
}

// Widest implements peer.Swarm.
func (s *Swarm) Widest() peer.Kind {
	if s.private() {
		return peer.Member
	}
	return peer.Stranger
}
