package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// maxSilent is how many pieces in a row a source may be silent for, while another one
// sends them: it is asked for two at once.
const maxSilent = 2

// maxBuffers bounds the pieces in memory, over all downloads: 64 MiB.
const maxBuffers = 16

// gather takes what it can get of a large file from several sources at once,
// in pieces, and reports whether it did so. A small file, or one with fewer
// than two such sources, is left to fill, as is whatever could not be had.
func (d *download) gather(ctx context.Context, part *store.Partial, c candidates) (done bool, err error) {
	size := part.Size()
	if !d.fl.shareable() || d.solo || d.fl.fromMirror.Load() || size < 2*peer.PieceSize {
		return false, nil
	}
	all := d.pieceSources(ctx, c)
	if len(all) < 2 && d.manifests == nil {
		return false, nil
	}
	if d.manifests == nil {
		d.manifests = pieces.NewManifests(size)
	}
	list := make([]pieces.Source, len(all))
	for i, s := range all {
		s.part = part
		list[i] = s.forPieces()
	}
	d.fl.answered(size, time.Time{})
	f := d.fl.f
	w := d.watch(part, c, all)
	f.load.streams.Add(1)
	r, err := pieces.Download(ctx, &pieceSink{d, part}, list, pieces.Options{
		Timeouts: f.timeouts.forPieces(), Buffers: f.buffers, Manifests: d.manifests, Log: d.fl.log,
		Patience: func() time.Duration { return d.patienceWithAll(all, c.mirrors) }, Enough: w.enough,
	})
	f.load.streams.Add(-1)
	w.score()
	f.stats.wrong.Add(int64(r.Wrong))
	d.wereSilent(r.Silent, r.Lost)
	d.penalizeAll(d.manifests.Contradictory(), "sent a piece that differs from its manifest")
	for _, s := range all {
		if s.wrote.Load() {
			s.tally.inPart.unverified = s.tally.inPart.unverified || !s.Verified()
		}
	}
	return true, err
}

// pieceSources are the peers that have the file, or are downloading it, and
// the mirror unless a peer of this site is among them: the mirror's bytes are
// the expensive ones. The mirror is also left out while another box of this
// site is to fetch from it, and while its rate is limited: several downloads at once
// would share it, and each piece might be given up as too slow. The DHT is asked only
// where the site has nothing. After too many wrong files it is the mirror alone, which
// one box of the site asks.
func (d *download) pieceSources(ctx context.Context, c candidates) []*pieceSource {
	peers := d.usable(c.peers)
	if d.prefersMirror(c.mirrors) {
		if slices.ContainsFunc(peers, func(p *peerSource) bool { return p.kind == owner }) {
			return nil
		}
		return []*pieceSource{d.pieceSource(d.mirror(c.mirrors))}
	}
	near := isNear(peers)
	if !near {
		peers = d.usable(slices.Collect(d.fl.peers(ctx, c.peers, false)))
	}
	var all []*pieceSource
	for _, p := range peers {
		if p.kind != owner {
			all = append(all, d.pieceSource(p))
		}
	}
	if near || len(all) == 0 || d.fl.f.mirror.Limited() {
		return all
	}
	if m := d.mirror(c.mirrors); m != nil {
		all = slices.Insert(all, min(len(all), pieces.MaxSources-1), d.pieceSource(m))
	}
	return all
}

// usable returns the peers that may still be asked.
func (d *download) usable(all []*peerSource) []*peerSource {
	return slices.DeleteFunc(slices.Clone(all), func(p *peerSource) bool { return d.tallyOf(p).out })
}

// pieceSource is a source as package pieces uses it.
type pieceSource struct {
	source
	d        *download
	part     *store.Partial
	tally    *tally
	wrote    atomic.Bool  // the part has bytes of it
	failures atomic.Int32 // in a row
}

var (
	_ pieces.Source = (*pieceSource)(nil)
	_ pieces.Peer   = piecePeer{}
)

func (d *download) pieceSource(s source) *pieceSource {
	return &pieceSource{source: s, d: d, tally: d.tallyOf(s)}
}

// piecePeer is a pieceSource that is a peer.
type piecePeer struct {
	*pieceSource
	peer *peerSource
}

// Standing implements pieces.Peer.
func (p piecePeer) Standing() peer.Standing { return p.peer.peer.Standing() }

// Manifest implements pieces.Peer.
func (p piecePeer) Manifest(ctx context.Context) ([]digest.Digest, error) {
	return p.peer.Manifest(ctx)
}

// Pieces implements pieces.Peer.
func (p piecePeer) Pieces(ctx context.Context) (peer.Bitfield, error) { return p.peer.Pieces(ctx) }

func (s *pieceSource) forPieces() pieces.Source {
	if p, ok := s.source.(*peerSource); ok {
		return piecePeer{s, p}
	}
	return s
}

// Verified implements pieces.Source.
func (s *pieceSource) Verified() bool { return verified(s.source) }

// Open implements pieces.Source.
func (s *pieceSource) Open(ctx context.Context, off, n int64) (*peer.Stream, error) {
	fl := s.d.fl
	if s.Origin() == ledger.FromMirror {
		fl.announce(true)
	}
	stream, err := s.source.Open(ctx, off, n)
	if err != nil {
		return nil, err
	}
	size := fl.entry.Size
	if stream.Size >= 0 && stream.Size != size {
		stream.Close()
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errWrongSize, stream.Size, size)
	}
	fl.answered(size, stream.Modified)
	if s.Origin() == ledger.FromMirror {
		stream.ReadCloser = &trusted{stream.ReadCloser, s, off}
	}
	return stream, nil
}

// trusted writes the bytes of a mirror into the part as they come: whoever reads the
// file need not wait for the whole piece.
type trusted struct {
	io.ReadCloser
	source *pieceSource
	off    int64 // of the next byte
}

func (t *trusted) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if n == 0 {
		return 0, err
	}
	fl, s := t.source.d.fl, t.source
	written, failed := fl.write(s.part, b[:n], t.off, s.source)
	if failed != nil {
		return 0, failed
	}
	s.wrote.Store(true)
	if len(written) > 0 {
		fl.grew(t.off, t.off+int64(n), s.source)
	}
	t.off += int64(n)
	return n, err
}

// Report implements pieces.Source.
func (s *pieceSource) Report(o peer.Outcome) {
	s.failures.Store(0)
	s.source.Report(o)
}

// Failed implements pieces.Source. A source that is too slow for pieces, or
// fails too often, may still be asked for a stream later, after others.
func (s *pieceSource) Failed(err error) (drop bool) {
	if definite(err) || errors.Is(err, errWrongSize) {
		s.d.failed(s.source, s.tally, err, 0)
		return true
	}
	s.d.report(s.source, err)
	limit := int32(maxFailures)
	switch {
	case errors.Is(err, pieces.ErrSilent):
		limit = maxSilent
	case slow(err) && !errors.Is(err, pieces.ErrOvertaken):
		limit = 1
	}
	if s.failures.Add(1) < limit {
		return false
	}
	s.tally.failures = max(s.tally.failures, 1)
	return true
}

// pieceSink is the part of a flight as package pieces writes it.
type pieceSink struct {
	d    *download
	part *store.Partial
}

var _ pieces.Sink = (*pieceSink)(nil)

// Size implements pieces.Sink.
func (k *pieceSink) Size() int64 { return k.part.Size() }

// Has implements pieces.Sink.
func (k *pieceSink) Has(i int) bool { return hasPiece(k.part, i, k.part.Size()) }

// Position implements pieces.Sink.
func (k *pieceSink) Position() int64 { return k.d.fl.position() }

// Write implements pieces.Sink.
func (k *pieceSink) Write(i int, b []byte, s pieces.Source) error {
	off, n := peer.PieceAt(i, k.part.Size())
	from, fl := sourceOf(s), k.d.fl
	if from.Origin() == ledger.FromMirror {
		return nil // it is there (see trusted)
	}
	if _, err := fl.write(k.part, b, off, from.source); err != nil {
		return err
	}
	from.wrote.Store(true)
	fl.grew(off, off+n, from.source)
	return nil
}

// Forget implements pieces.Sink.
func (k *pieceSink) Forget(i int) error {
	off, n := peer.PieceAt(i, k.part.Size())
	return k.d.fl.forget(k.part, off, off+n)
}

// Vouched implements pieces.Sink.
func (k *pieceSink) Vouched(i int) {
	off, n := peer.PieceAt(i, k.part.Size())
	k.d.fl.vouched(off, off+n)
}

// sourceOf undoes forPieces.
func sourceOf(s pieces.Source) *pieceSource {
	if p, ok := s.(piecePeer); ok {
		return p.pieceSource
	}
	return s.(*pieceSource)
}

// hasPiece reports whether all of piece i is there, of a part with that size.
func hasPiece(part *store.Partial, i int, size int64) bool {
	off, n := peer.PieceAt(i, size)
	return part.Available(off) >= n
}
