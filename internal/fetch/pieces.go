package fetch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

const (
	// maxSources is from how many sources a file is taken at once.
	maxSources = 6
	// pipeline is how many pieces a source is asked for at once, so that it
	// is never idle for a round trip.
	pipeline = 2
)

// errAnew says that pieces in the part are known to be wrong.
var errAnew = errors.New("pieces that are in the file are known to be wrong")

// gathering takes a large file from several sources at once, in pieces.
//
// Lock order: mu, then the picker's, then the flight's.
type gathering struct {
	*download
	part    *store.Partial
	picker  *picker
	stop    context.CancelFunc // all is there, or going on is useless
	workers sync.WaitGroup
	helpers sync.WaitGroup

	mu    sync.Mutex      // guards what follows, the download's tallies and claims
	crew  []*pieceSource  // at work, at most maxSources
	spare []*pieceSource  // take the place of those that fail
	kept  []digest.Digest // of each piece that this gathering has written
	wrong bool            // a piece in the part is wrong, by a trusted manifest
	full  error           // the store does not take any more
}

// gather takes what it can get of a large file from several sources at once.
// A small file, or one that fewer than two have, is left to fill, as is
// whatever could not be had here.
func (d *download) gather(ctx context.Context, part *store.Partial) error {
	size := part.Size()
	if !d.shared() || d.solo || size < 2*PieceSize {
		return nil
	}
	sources := d.pieceSources(ctx)
	if len(sources) < 2 {
		return nil
	}
	g := &gathering{download: d, part: part, spare: sources, kept: make([]digest.Digest, pieces(size))}
	there := func(i int) bool { return hasPiece(part, i) }
	g.picker = newPicker(pieces(size), there, func() int { return int(d.position() / PieceSize) })
	d.answered(size, time.Time{})
	return g.run(ctx)
}

// hasPiece reports whether all of piece i is there, of a part whose size is
// known.
func hasPiece(part *store.Partial, i int) bool {
	off := int64(i) * PieceSize
	return part.Available(off) >= min(PieceSize, part.Size()-off)
}

// pieceSources are the boxes that have the file, or are getting it, and the
// mirror if no box of this site is among them: its bytes are the dear ones.
// Nor is the mirror while another box of this site is to ask it. The DHT is
// asked only where the site has nothing.
func (d *download) pieceSources(ctx context.Context) []*pieceSource {
	boxes := d.usable(d.connected())
	near := slices.ContainsFunc(boxes, func(p *peerFile) bool { return p.state == elder || p.peer.Nearby() })
	if !near {
		boxes = d.usable(slices.Collect(d.peers(ctx)))
	}
	var all []*pieceSource
	for _, p := range boxes {
		if p.state != elder {
			all = append(all, &pieceSource{provider: p, peer: p, tally: d.tallyOf(p), sure: p.state == whole})
		}
	}
	if near || len(all) == 0 {
		return all
	}
	for p := range d.providers(ctx) {
		if t := d.tallyOf(p); p.Origin() == ledger.FromMirror && !t.out {
			mirror := &pieceSource{provider: p, tally: t, sure: true}
			return slices.Insert(all, min(len(all), maxSources-1), mirror)
		}
	}
	return all
}

// usable leaves out the boxes that are not asked any more.
func (d *download) usable(all []*peerFile) []*peerFile {
	return slices.DeleteFunc(all, func(p *peerFile) bool { return d.tallyOf(p).out })
}

// run works the sources until everything is there or none is left.
func (g *gathering) run(parent context.Context) error {
	if g.picker.finished() {
		return nil
	}
	var ctx context.Context
	ctx, g.stop = context.WithCancel(parent)
	defer g.stop()
	holders := g.holders()
	g.helpers.Go(func() { g.learnManifest(ctx, holders) })
	g.mu.Lock()
	for range min(maxSources, len(g.spare)) {
		g.hire(ctx)
	}
	g.mu.Unlock()
	g.workers.Wait()
	g.stop()
	g.helpers.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.full != nil:
		return g.full
	case g.wrong:
		if err := g.part.Discard(); err != nil {
			return err
		}
		return errAnew
	}
	return parent.Err()
}

// hire puts a spare source to work. g.mu is held.
func (g *gathering) hire(ctx context.Context) {
	if len(g.spare) == 0 || ctx.Err() != nil {
		return
	}
	s := g.spare[0]
	g.spare = g.spare[1:]
	g.crew = append(g.crew, s)
	if !s.sure {
		g.helpers.Go(func() { g.watch(ctx, s) })
	}
	for range pipeline {
		g.workers.Go(func() { g.work(ctx, s) })
	}
}

// work has one source send piece after piece.
func (g *gathering) work(ctx context.Context, s *pieceSource) {
	for ctx.Err() == nil && !s.out.Load() {
		o, again := g.picker.pick(ctx, s, g.atWork())
		if o == nil {
			if !g.await(ctx, again) {
				return
			}
			continue
		}
		err := g.piece(o.ctx, s, o.piece)
		needless := o.ctx.Err() != nil // another source was faster, or it is all over
		g.picker.drop(o)
		switch {
		case needless:
			continue
		case err == nil:
			s.failures.Store(0)
			continue
		}
		g.lose(ctx, s, err)
		if errors.Is(err, ErrBusy) && pause(ctx) != nil {
			return
		}
	}
}

// await waits for a piece to come free. It gives up when there is none, nobody
// is getting one, and boxes that are downloading get no more either.
func (g *gathering) await(ctx context.Context, again <-chan struct{}) bool {
	t := time.NewTimer(g.f.waits.patience)
	defer t.Stop()
	select {
	case <-again:
		return true
	case <-t.C:
		return !g.picker.quiet()
	case <-ctx.Done():
		return false
	}
}

// atWork returns the sources of now.
func (g *gathering) atWork() []*pieceSource {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crew[:len(g.crew):len(g.crew)]
}

// lose notes that s did not give a piece. Who is too slow for pieces, or fails
// too often, is replaced; what is left in the end may still come from it as a
// stream, after others.
func (g *gathering) lose(ctx context.Context, s *pieceSource, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.out.Load() {
		return // told by the other request of its pipeline
	}
	switch {
	case errors.Is(err, errNoRange):
		g.dismiss(ctx, s)
	case definite(err) || errors.Is(err, errWrongSize):
		g.failed(s.provider, s.tally, err, 0)
		g.dismiss(ctx, s)
	default:
		g.report(s.provider, err)
		if slow(err) || s.failures.Add(1) >= maxFailures {
			s.tally.failures = max(s.tally.failures, 1)
			g.dismiss(ctx, s)
		}
	}
}

// dismiss asks s no more in this gathering and has a spare take its place.
// g.mu is held.
func (g *gathering) dismiss(ctx context.Context, s *pieceSource) {
	if s.out.Swap(true) {
		return
	}
	// In a new slice: atWork gave the old one away.
	g.crew = slices.DeleteFunc(slices.Clone(g.crew), func(o *pieceSource) bool { return o == s })
	g.log.Debug("a source is asked for no more pieces", "source", s.provider.String())
	g.hire(ctx)
}
