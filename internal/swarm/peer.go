package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// Peer is another box. It may have left; what is asked of it then fails.
type Peer struct {
	swarm *Swarm
	id    p2p.ID
}

// peer returns the box id, connected or not.
func (s *Swarm) peer(id p2p.ID) *Peer { return &Peer{swarm: s, id: id} }

// String is the short form of the peer ID, for logs.
func (p *Peer) String() string { return p.id.ShortString() }

// ID is the peer ID.
func (p *Peer) ID() string { return p.id.String() }

// RTT is the smoothed round trip; 0 when it is not known.
func (p *Peer) RTT() time.Duration { return p.swarm.rtts.of(p.id) }

// Request is for N bytes from Off on.
type Request struct {
	Off, N int64 // N 0: to the end
	Fetch  bool  // the box shall download d itself if it lacks it
}

// Answer is what a box sends. A box that does not know the size yet ignores
// the range: Off is then 0 and Size -1.
type Answer struct {
	// Body ends with io.EOF only where the box said it would; a stall of 4 s
	// is an error. Closing it early stops the box at once. It must be closed.
	Body io.ReadCloser
	Off  int64
	Size int64 // of the whole file; -1 not known
}

// Open asks p for bytes of d and returns when p has taken the request, which
// may be before it has a byte: half a second and four round trips at most, 3 s
// with Fetch. Errors: fs.ErrNotExist if p has it not, *BusyError if p serves as
// many as it will, others. What p's inventory listed and p did not have, and an
// answer that no honest box gives, count against p's score by themselves;
// everything else the caller reports.
func (p *Peer) Open(ctx context.Context, d digest.Digest, r Request) (*Answer, error) {
	a, err := p.swarm.transfers.open(ctx, p.id, d, r)
	switch {
	case err == nil:
		p.swarm.missing.remove(p.id, d)
	case errors.Is(err, fs.ErrNotExist):
		p.swarm.missing.add(p.id, d)
		if fault, why := p.swarm.inventories.refused(p.id, d); fault != peer.None {
			p.swarm.fault(p.id, fault, why)
		}
	}
	return a, p.judge("opening", d, err)
}

// Manifest asks p for the digest of each 4 MiB piece of d, which p must hold.
// Errors are as for Open.
func (p *Peer) Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	pieces, err := small(ctx, p.swarm.transfers, p.id, "/manifest/", d, readManifest)
	return pieces, p.judge("the manifest of", d, err)
}

// Pieces asks p which pieces of d, which it is downloading, it has: bit i of
// byte i/8, low bit first. size is the whole file's. Errors are as for Open.
func (p *Peer) Pieces(ctx context.Context, d digest.Digest) (size int64, have []byte, err error) {
	type state struct {
		size int64
		have []byte
	}
	s, err := small(ctx, p.swarm.transfers, p.id, "/pieces/", d, func(r io.Reader) (s state, err error) {
		s.size, s.have, err = readPieces(r)
		return s, err
	})
	return s.size, s.have, p.judge("the pieces of", d, err)
}

// judge names the peer in err and reports a lie.
func (p *Peer) judge(what string, d digest.Digest, err error) error {
	if err == nil {
		return nil
	}
	if lie := (*lie)(nil); errors.As(err, &lie) {
		p.swarm.fault(p.id, peer.Lied, lie.Error())
	}
	return fmt.Errorf("%s %s at peer %s: %w", what, d.Short(), p, err)
}

// Report implements peer.Peer.
func (p *Peer) Report(o peer.Outcome) {
	if o.Fault != peer.None {
		p.swarm.fault(p.id, o.Fault, o.Why)
		return
	}
	p.swarm.reputation.Served(p.id.String(), o.Bytes, max(o.Took, time.Microsecond))
}

// BusyError says that a box serves as many uploads as it will.
type BusyError struct{ RetryAfter time.Duration }

func (e *BusyError) Error() string { return fmt.Sprintf("busy: retry after %s", e.RetryAfter) }
