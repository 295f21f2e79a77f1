package swarm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm/reputation"
)

// remote is another box, connected or not.
type remote struct {
	swarm *Swarm
	id    p2p.ID
	text  string     // of id
	at    netip.Addr // where it was connected from when the remote was made; the zero Addr if it was not, or by a relay
	found bool       // by a record in the DHT
}

var _ peer.Peer = (*remote)(nil)

// peer returns the box id, connected or not.
func (s *Swarm) peer(id p2p.ID) *remote {
	p := &remote{swarm: s, id: id, text: id.String()}
	if c := s.direct(id); c != nil {
		p.at = addrOf(c.RemoteMultiaddr())
	}
	return p
}

func (p *remote) String() string { return p.id.ShortString() }

func (p *remote) ID() string { return p.text }

func (p *remote) Nearby() bool { return p.swarm.nearby(p.id) }

// Standing implements peer.Peer.
func (p *remote) Standing() peer.Standing {
	standing := peer.Standing{Kind: p.swarm.kind(p.id), Proven: p.swarm.reputation.Proven(p.text)}
	if party := partyOf(p.at); party.IsValid() {
		standing.Party = party.String()
	}
	return standing
}

// known returns the box as the reputation knows it. One that has hung up since the
// remote was made is still of the party that it was of then.
func (p *remote) known() reputation.Peer {
	return reputation.Peer{ID: p.text, Addr: p.at, Party: partyOf(p.at), Member: p.swarm.member(p.id)}
}

// Open implements peer.Peer. It waits for half a second and four round trips, or for
// as long as the box usually takes, up to 3 s; with Fetch for 3 s and four round trips.
// While this process is late itself it waits twice as long at most.
func (p *remote) Open(ctx context.Context, d digest.Digest, r peer.Request) (*peer.Stream, error) {
	s, err := p.swarm.transfers.client.Open(ctx, p.text, d, r)
	switch {
	case err == nil:
		p.swarm.missing.Remove(p.text, d)
	case errors.Is(err, fs.ErrNotExist):
		p.refused(d)
	}
	return s, p.explain("opening", d, err)
}

// refused reports the fault that it is not to have d: for a neighbour that lists
// it, and once for a box that a record in the DHT names.
func (p *remote) refused(d digest.Digest) {
	known := p.swarm.missing.Add(p.text, d)
	f, why := p.swarm.inventories.refused(p.id, d)
	if f == peer.None && p.found && !known {
		f, why = peer.Failed, "does not have "+d.Short()+", which it announced in the DHT"
	}
	if f != peer.None {
		p.fault(f, why)
	}
}

// Manifest implements peer.Peer.
func (p *remote) Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	pieces, err := p.swarm.transfers.client.Manifest(ctx, p.text, d)
	return pieces, p.explain("the manifest of", d, err)
}

// Pieces implements peer.Peer.
func (p *remote) Pieces(ctx context.Context, d digest.Digest) (size int64, have peer.Bitfield, err error) {
	size, have, err = p.swarm.transfers.client.Pieces(ctx, p.text, d)
	return size, have, p.explain("the pieces of", d, err)
}

// explain names the peer in err.
func (p *remote) explain(what string, d digest.Digest, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s at peer %s: %w", what, d.Short(), p, err)
}

// Report implements peer.Peer.
func (p *remote) Report(o peer.Outcome) {
	switch {
	case o.Fault != peer.None:
		p.fault(o.Fault, o.Why)
	case o.Right > 0:
		p.swarm.reputation.Right(p.text, o.Right)
	default:
		p.swarm.reputation.Served(p.known(), o.Bytes, max(o.Took, time.Microsecond))
	}
}

// fault lowers the score of the box, suspends it if it stalls time and again, and, if it
// lied, bans and disconnects it.
func (p *remote) fault(f peer.Fault, why string) {
	p.swarm.log.Debug("peer at fault", "peer", p.id, "fault", f, "why", why)
	if p.swarm.reputation.Fault(p.known(), f, why) {
		p.swarm.cut(p.id)
	}
}
