package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// maxSources is from how many sources a file is taken at once.
	maxSources = 6
	// pipeline is how many pieces a source is asked for at once, so that it
	// is never idle for a round trip.
	pipeline = 2
	// pieceFloor is the least rate, in bytes per second, at which a piece may
	// come before its source is replaced; a piece gets 4 s in any case.
	pieceFloor = 64 << 10
	// maxBuffers bounds the pieces in memory, over all downloads: 64 MiB.
	maxBuffers = 16
	// askAgain is how often a box that is itself downloading is asked what it
	// has got since.
	askAgain = 250 * time.Millisecond
)

// errAnew says that pieces in the part are known to be wrong.
var errAnew = errors.New("pieces that are in the file are known to be wrong")

// gathering takes a large file from several sources at once, in pieces.
type gathering struct {
	*download
	part    *store.Partial
	picker  *picker
	sources []*pieceSource

	mu       sync.Mutex // guards what follows
	manifest []digest.Digest
	got      []gotten // by piece
	wrong    bool     // a piece in the part is known to be wrong
	stored   error    // the store does not take any more
}

// gotten is who sent a piece, and what.
type gotten struct {
	tally *tally
	sum   digest.Digest
}

// pieceSource is a source of a gathering.
type pieceSource struct {
	provider Provider
	peer     *peerFile // nil for a mirror
	tally    *tally

	mu   sync.Mutex // guards have
	have []byte     // of a box that is downloading; nil: all
}

// has reports whether the source has piece i.
func (s *pieceSource) has(i int) bool {
	if s.peer == nil || s.peer.state == whole {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return i/8 < len(s.have) && s.have[i/8]&(1<<(i%8)) != 0
}

// gather takes what it can get of a large file from several peers at once. A
// small file, or one that fewer than two boxes have, is left to fill, as is
// whatever could not be had here.
func (d *download) gather(ctx context.Context, part *store.Partial) error {
	size := part.Size()
	if d.f.Peers == nil || d.solo || !d.entry.Signed || size < 2*PieceSize {
		return nil
	}
	sources := d.pieceSources(ctx)
	if len(sources) < 2 {
		return nil
	}
	g := &gathering{download: d, part: part, sources: sources, got: make([]gotten, pieces(size))}
	there := func(i int) bool {
		off := int64(i) * PieceSize
		return part.Available(off) >= min(PieceSize, size-off)
	}
	g.picker = newPicker(pieces(size), there, func() int { return int(d.position() / PieceSize) })
	d.answered(size, time.Time{})
	return g.run(ctx)
}

// pieceSources are the boxes that have the file, or are getting it, and the
// mirror if no box of this site holds it.
func (d *download) pieceSources(ctx context.Context) []*pieceSource {
	var all []*pieceSource
	near := false
	for p := range (Swarm{d.f.Peers}).Find(ctx, d.entry) {
		peer := p.(*peerFile)
		t := d.tallyOf(p)
		if t.out || peer.state == elder || len(all) == maxSources {
			continue
		}
		near = near || peer.state == whole && peer.peer.Nearby() || peer.state == growing
		all = append(all, &pieceSource{provider: p, peer: peer, tally: t})
	}
	if near || len(all) == 0 || len(all) == maxSources {
		return all
	}
	for p := range d.providers(ctx) {
		if t := d.tallyOf(p); p.Origin() == ledger.FromMirror && !t.out {
			return append(all, &pieceSource{provider: p, tally: t})
		}
	}
	return all
}

// run works all sources until everything is there or none is left.
func (g *gathering) run(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var helpers, workers sync.WaitGroup
	helpers.Go(func() { g.learnManifest(ctx) })
	for _, s := range g.sources {
		if s.peer != nil && s.peer.state == growing {
			helpers.Go(func() { g.watch(ctx, s) })
		}
		for range pipeline {
			workers.Go(func() { g.work(ctx, s) })
		}
	}
	workers.Wait()
	cancel()
	helpers.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suspects = append(g.suspects, g.got)
	switch {
	case g.stored != nil:
		return g.stored
	case g.wrong:
		if err := g.part.Discard(); err != nil {
			return err
		}
		return errAnew
	}
	return parent.Err()
}

// work has one source send piece after piece.
func (g *gathering) work(ctx context.Context, s *pieceSource) {
	for ctx.Err() == nil && !g.over(s) {
		i, ok, again := g.picker.pick(s, g.sources)
		if !ok {
			select {
			case <-again:
			case <-time.After(askAgain): // a box that is downloading may have got some
				if g.nothingToCome(s) {
					return
				}
			case <-ctx.Done():
			}
			continue
		}
		err := g.piece(ctx, s, i)
		g.picker.drop(i, s)
		if err != nil && ctx.Err() == nil {
			g.failedPiece(s, err)
		}
	}
}

// over reports whether s has nothing more to do: all is there, s is given up,
// or the attempt has failed.
func (g *gathering) over(s *pieceSource) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return s.tally.out || g.wrong || g.stored != nil || g.picker.finished()
}

// nothingToCome reports whether s, idle, will not have a free piece later: a
// box that holds all of the file has offered all that is free.
func (g *gathering) nothingToCome(s *pieceSource) bool {
	return (s.peer == nil || s.peer.state == whole) && g.picker.allOwed()
}

// piece gets piece i from s, checks it against the manifest if that can be
// trusted, and writes it.
func (g *gathering) piece(ctx context.Context, s *pieceSource, i int) error {
	select {
	case g.f.buffers <- struct{}{}:
		defer func() { <-g.f.buffers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	off := int64(i) * PieceSize
	buf := make([]byte, min(PieceSize, g.part.Size()-off))
	begun := time.Now()
	if err := receivePiece(ctx, s.provider, buf, off); err != nil {
		return err
	}
	sum := digest.Of(buf)
	if !g.accept(s, i, sum) {
		return nil
	}
	if _, err := g.part.WriteAt(buf, off); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.stored = err
		return nil
	}
	g.picker.got(i)
	g.grew(off, off+int64(len(buf)), s.provider.Origin())
	g.announce(true) // there is something to be had here now
	s.provider.Report(Outcome{Bytes: int64(len(buf)), Took: time.Since(begun)})
	return nil
}

// receivePiece fills buf from off on within the piece's time-out.
func receivePiece(ctx context.Context, p Provider, buf []byte, off int64) error {
	limit := max(4*time.Second, time.Duration(len(buf))*time.Second/pieceFloor)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("a piece took longer than %s: %w", limit, mirror.ErrStalled))
	defer cancel()
	s, err := p.Open(ctx, off, int64(len(buf)))
	if err != nil {
		return cmpCause(ctx, err)
	}
	defer s.Close()
	if err := s.skip(off); err != nil {
		return cmpCause(ctx, err)
	}
	if _, err := io.ReadFull(s, buf); err != nil {
		return cmpCause(ctx, err)
	}
	return nil
}

// cmpCause prefers the reason why ctx ended to the error that its end caused.
func cmpCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// accept notes what s sent as piece i, and refuses it if the manifest says
// otherwise.
func (g *gathering) accept(s *pieceSource, i int, sum digest.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.manifest != nil && g.manifest[i] != sum {
		g.f.stats.wrong.Add(1)
		g.liar(s.tally, fmt.Sprintf("sent a wrong piece %d", i))
		g.log.Warn("a peer sent a wrong piece", "source", s.provider.String(), "piece", i)
		return false
	}
	if g.got[i].tally == nil {
		g.got[i] = gotten{s.tally, sum}
	}
	s.tally.used = true
	return true
}

// failedPiece notes that s did not give a piece.
func (g *gathering) failedPiece(s *pieceSource, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed(s.provider, s.tally, err, 0)
}

// watch asks a box that is downloading what it has, again and again.
func (g *gathering) watch(ctx context.Context, s *pieceSource) {
	for ctx.Err() == nil {
		size, have, err := s.peer.peer.Pieces(ctx, g.key.digest)
		if err != nil || size != g.part.Size() {
			// It has finished, most likely, and holds the file; or has not,
			// and is found out by the next request.
			s.mu.Lock()
			for i := range s.have {
				s.have[i] = 0xff
			}
			s.mu.Unlock()
			if s.have == nil {
				g.mu.Lock()
				s.tally.out = true
				g.mu.Unlock()
			}
			g.picker.poke()
			return
		}
		s.mu.Lock()
		s.have = have
		s.mu.Unlock()
		g.picker.poke()
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
	}
}

// learnManifest asks two boxes that hold the file for the digests of its
// pieces. Two that agree are believed, for the time being; the digest of the
// whole decides in any case.
func (g *gathering) learnManifest(ctx context.Context) {
	var first []digest.Digest
	for _, s := range g.sources {
		if s.peer == nil || s.peer.state != whole {
			continue
		}
		m, err := s.peer.peer.Manifest(ctx, g.key.digest)
		if err != nil || len(m) != len(g.got) {
			continue
		}
		if first == nil {
			first = m
			continue
		}
		if slices.Equal(first, m) {
			g.trust(m)
		} else {
			g.log.Warn("two peers tell different manifests, none is believed")
		}
		return
	}
}

// trust checks by the manifest what is there already, and from now on what
// comes.
func (g *gathering) trust(m []digest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.manifest = m
	for i, got := range g.got {
		if got.tally != nil && got.sum != m[i] {
			g.f.stats.wrong.Add(1)
			g.liar(got.tally, fmt.Sprintf("sent a wrong piece %d", i))
			g.wrong = true
		}
	}
}

// settle finds, once the file is there, who sent what of the attempts that
// were wrong.
func (d *download) settle() {
	if len(d.suspects) == 0 {
		return
	}
	file, err := d.f.stored(d.key.digest)
	if err != nil {
		return
	}
	defer file.Body.Close()
	right, err := pieceDigests(file.Body)
	if err != nil {
		return
	}
	for _, attempt := range d.suspects {
		for i, got := range attempt {
			if got.tally != nil && got.sum != right[i] && !got.tally.out {
				d.liar(got.tally, fmt.Sprintf("sent a wrong piece %d", i))
			}
		}
	}
}
