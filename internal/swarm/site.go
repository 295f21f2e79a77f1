package swarm

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"millpond/internal/digest"
)

// nearby is the round trip below which a box is of this site: a campus takes
// about 1 ms, the next town 10.
const nearby = 10 * time.Millisecond

// Elders returns the boxes of this site that come before this one for d in rendezvous order: whoever wants d asks them first, and none left means that this box asks the mirror.
//
// The order depends on the peer IDs and d alone, so that two boxes always
// agree on who comes first, and each box comes first for its share of the
// digests. Of this site is a box that is connected directly and either on this
// machine or, once it was measured, less than 10 ms away; before that, one on
// a private address. A box that is silent or rests (see scores) is passed over:
// to ask it would cost each file 3 s.
func (s *Swarm) Elders(d digest.Digest) []*Peer {
	own := weight(s.self(), d)
	type elder struct {
		id     p2p.ID
		weight []byte
	}
	var elders []elder
	for _, id := range s.boxes.ids() {
		if w := weight(id, d); bytes.Compare(w, own) > 0 && s.local(id) && s.asked(id) {
			elders = append(elders, elder{id, w})
		}
	}
	slices.SortFunc(elders, func(a, b elder) int { return bytes.Compare(b.weight, a.weight) })
	peers := make([]*Peer, len(elders))
	for i, e := range elders {
		peers[i] = s.peer(e.id)
	}
	return peers
}

// asked tells whether id may be asked for blobs now.
func (s *Swarm) asked(id p2p.ID) bool {
	_, ok := s.cost(id)
	return ok
}

// weight is the rank of a box for d, by rendezvous hashing (Thaler and
// Ravishankar, 1998): the highest comes first.
func weight(id p2p.ID, d digest.Digest) []byte {
	h := sha256.New()
	h.Write(d[:])
	h.Write([]byte(id))
	return h.Sum(nil)
}

// Nearby reports whether p is of this site.
func (p *Peer) Nearby() bool { return p.swarm.local(p.id) }

// local tells whether id is of this site.
func (s *Swarm) local(id p2p.ID) bool {
	c := s.direct(id)
	if c == nil {
		return false
	}
	addr := c.RemoteMultiaddr()
	if manet.IsIPLoopback(addr) {
		return true
	}
	if least := s.rtts.least(id); least > 0 {
		return least < nearby
	}
	return manet.IsPrivateAddr(addr)
}
