package swarm

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// nearbyRTT is the round trip below which a box belongs to this site: about 1 ms
// within a campus, 10 ms to the next town.
const nearbyRTT = 10 * time.Millisecond

// Owners implements peer.Swarm.
//
// The order depends only on the peer IDs and d, so that two boxes always agree on
// it, and each box ranks first for its share of the digests. A box that must not
// be asked now is left out: waiting for it would delay each file by 3 s. So is one that
// is about to stop, and a stranger of this site that is not proven: whoever is asked first learns what this site
// wants, and can keep it waiting.
func (s *Swarm) Owners(d digest.Digest) []peer.Peer {
	type owner struct {
		*remote
		weight []byte
	}
	own := weight(s.self(), d)
	var owners []owner
	for _, id := range s.boxes.ids() {
		w := weight(id, d)
		if bytes.Compare(w, own) <= 0 || !s.nearby(id) {
			continue
		}
		if s.leaves(id) {
			continue
		}
		p := s.peer(id)
		if _, ok := s.cost(p); ok && (s.may(id, owning) || s.reputation.Proven(p.text)) {
			owners = append(owners, owner{p, w})
		}
	}
	slices.SortFunc(owners, func(a, b owner) int { return bytes.Compare(b.weight, a.weight) })
	peers := make([]peer.Peer, len(owners))
	for i, o := range owners {
		peers[i] = o.remote
	}
	return peers
}

// weight is the rank of a box for d by rendezvous hashing (Thaler and
// Ravishankar, 1998): the highest ranks first.
func weight(id p2p.ID, d digest.Digest) []byte {
	h := sha256.New()
	h.Write(d[:])
	h.Write([]byte(id))
	return h.Sum(nil)
}

// nearby reports whether id seems to be at this site: it is connected directly and
// either on this machine or, once it was measured, less than 10 ms away; before
// that, on a private address. It decides whom to ask first, and permits nothing:
// that is for the kind.
func (s *Swarm) nearby(id p2p.ID) bool {
	c := s.direct(id)
	if c == nil {
		return false
	}
	addr := c.RemoteMultiaddr()
	if manet.IsIPLoopback(addr) {
		return true
	}
	if rtt := s.rtts.min(id); rtt > 0 {
		return rtt < nearbyRTT
	}
	return manet.IsPrivateAddr(addr)
}
