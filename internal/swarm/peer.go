package swarm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// remote is another box, connected or not.
type remote struct {
	swarm *Swarm
	id    p2p.ID
	found bool // by a record in the DHT
}

var _ peer.Peer = (*remote)(nil)

// peer returns the box id, connected or not.
func (s *Swarm) peer(id p2p.ID) *remote { return &remote{swarm: s, id: id} }

func (p *remote) String() string { return p.id.ShortString() }

func (p *remote) ID() string { return p.id.String() }

func (p *remote) Nearby() bool { return p.swarm.nearby(p.id) }

// Open implements peer.Peer. It waits for half a second and four round trips at
// most, 3 s with Fetch.
func (p *remote) Open(ctx context.Context, d digest.Digest, r peer.Request) (*peer.Stream, error) {
	s, err := p.swarm.transfers.client.Open(ctx, p.ID(), d, r)
	switch {
	case err == nil:
		p.swarm.missing.Remove(p.ID(), d)
	case errors.Is(err, fs.ErrNotExist):
		p.refused(d)
	}
	return s, p.explain("opening", d, err)
}

// refused reports the fault that it is not to have d: for a neighbour that lists
// it, and once for a box that a record in the DHT names.
func (p *remote) refused(d digest.Digest) {
	known := p.swarm.missing.Add(p.ID(), d)
	f, why := p.swarm.inventories.refused(p.id, d)
	if f == peer.None && p.found && !known {
		f, why = peer.Failed, "does not have "+d.Short()+", which it announced in the DHT"
	}
	if f != peer.None {
		p.swarm.fault(p.id, f, why)
	}
}

// Manifest implements peer.Peer.
func (p *remote) Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	pieces, err := p.swarm.transfers.client.Manifest(ctx, p.ID(), d)
	return pieces, p.explain("the manifest of", d, err)
}

// Pieces implements peer.Peer.
func (p *remote) Pieces(ctx context.Context, d digest.Digest) (size int64, have peer.Bitfield, err error) {
	size, have, err = p.swarm.transfers.client.Pieces(ctx, p.ID(), d)
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
	if o.Fault != peer.None {
		p.swarm.fault(p.id, o.Fault, o.Why)
		return
	}
	p.swarm.reputation.Served(p.id.String(), o.Bytes, max(o.Took, time.Microsecond))
}
