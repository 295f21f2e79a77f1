package fetch

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// maxBuffers bounds the pieces in memory, over all downloads: 64 MiB.
const maxBuffers = 16

// spareBuffers are those that wait for the next piece, until the collector
// has them.
var spareBuffers = sync.Pool{New: func() any { return new([PieceSize]byte) }}

// pieceSource is a source of a gathering.
type pieceSource struct {
	provider Provider
	peer     *peerFile // nil for a mirror
	tally    *tally
	sure     bool         // vouches for its bytes: it is not itself downloading them
	out      atomic.Bool  // asked for no more pieces
	failures atomic.Int32 // in a row

	mu   sync.Mutex // guards what follows
	all  bool       // of a box that was downloading: it has finished
	have []byte     // what it has until then
}

// has reports whether the source can give piece i.
func (s *pieceSource) has(i int) bool {
	if s.out.Load() {
		return false
	}
	if s.sure {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all || i/8 < len(s.have) && s.have[i/8]&(1<<(i%8)) != 0
}

// learn notes what a box that is downloading has, and reports whether that is
// more than before. An error says that it has finished, most likely, and holds
// the file; if not, the next request finds out.
func (s *pieceSource) learn(have []byte, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.all = true
		return true
	}
	news := string(s.have) != string(have)
	s.have = have
	return news
}

// watch asks a box that is downloading what it has, again and again.
func (g *gathering) watch(ctx context.Context, s *pieceSource) {
	t := time.NewTicker(g.f.waits.again)
	defer t.Stop()
	for !s.out.Load() {
		size, have, err := s.pieces(ctx, g.f.waits.holder)
		if ctx.Err() != nil {
			return
		}
		if err == nil && size != g.part.Size() {
			err = errWrongSize // as the next request finds out
		}
		if s.learn(have, err) {
			g.picker.poke()
		}
		if err != nil {
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// pieces asks the source what it has.
func (s *pieceSource) pieces(ctx context.Context, limit time.Duration) (int64, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.peer.peer.Pieces(ctx, s.peer.digest)
}

// piece gets piece i from s, checks it against the manifest if there is one to
// be trusted, and writes it.
func (g *gathering) piece(ctx context.Context, s *pieceSource, i int) error {
	select {
	case g.f.buffers <- struct{}{}:
		defer func() { <-g.f.buffers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	room := spareBuffers.Get().(*[PieceSize]byte)
	defer spareBuffers.Put(room)
	off := int64(i) * PieceSize
	buf := room[:min(PieceSize, g.part.Size()-off)]
	begun := time.Now()
	if err := g.receivePiece(ctx, s, buf, off); err != nil {
		return err
	}
	s.provider.Report(Outcome{Bytes: int64(len(buf)), Took: time.Since(begun)})
	if g.accept(ctx, s, i, digest.Of(buf)) {
		g.keep(buf, off, s.provider)
	}
	return nil
}

// receivePiece fills buf from off on.
func (g *gathering) receivePiece(ctx context.Context, s *pieceSource, buf []byte, off int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.f.waits.piece, errSlow)
	defer cancel()
	if s.provider.Origin() == ledger.FromMirror {
		g.announce(true)
	}
	stream, err := s.provider.Open(ctx, off, int64(len(buf)))
	if err != nil {
		return reason(ctx, err)
	}
	defer stream.Close()
	size := g.part.Size()
	switch {
	case stream.Size >= 0 && stream.Size != size:
		return fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, stream.Size, size)
	case stream.Off != off:
		return errNoRange // to read up to off would cost the file for each piece
	}
	g.answered(size, stream.Modified)
	if _, err := io.ReadFull(stream, buf); err != nil {
		return reason(ctx, err)
	}
	return nil
}

// keep writes a piece that was accepted.
func (g *gathering) keep(buf []byte, off int64, p Provider) {
	if _, err := g.part.WriteAt(buf, off); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.full = err
		g.stop()
		return
	}
	g.grew(off, off+int64(len(buf)), p)
	g.announce(true) // there is something to be had here now
	if g.picker.finished() {
		g.stop()
	}
}
