package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/digest"
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
		if fault, why, ok := p.swarm.inventories.refused(p.id, d); ok {
			p.Fault(fault, why)
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
		p.Fault(Lied, lie.Error())
	}
	return fmt.Errorf("%s %s at peer %s: %w", what, d.Short(), p, err)
}

// Served tells that n bytes from p came well within took.
func (p *Peer) Served(n int64, took time.Duration) { p.swarm.scores.served(p.id, n, took) }

// Fault tells what p did wrong and why that is so. For Lied p is banned and
// disconnected.
func (p *Peer) Fault(f Fault, why string) {
	s := p.swarm
	s.log.Debug("a box was at fault", "peer", p.id, "fault", f, "why", why)
	var at ma.Multiaddr
	if c := s.direct(p.id); c != nil {
		at = c.RemoteMultiaddr()
	}
	if s.scores.fault(p.id, at, f, why) {
		s.cut(p.id)
	}
}

// BusyError says that a box serves as many uploads as it will.
type BusyError struct{ RetryAfter time.Duration }

func (e *BusyError) Error() string { return fmt.Sprintf("busy: retry after %s", e.RetryAfter) }
