package fetch

import (
	"context"
	"fmt"
	"io"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// maxWrong is how often a file may be wrong before the mirror is preferred to peers: a
// client waits all that time.
const maxWrong = 2

// repair makes part, which is complete and wrong, ready for another try: it forgets
// what may be wrong. doubtful says that bytes were there from before, and after repair
// that some are left. It reports false if the file must begin anew.
func (d *download) repair(ctx context.Context, part *store.Partial, doubtful *bool) (again bool) {
	d.fl.f.stats.wrong.Add(1)
	if d.manifests != nil && !d.solo {
		again, known, err := d.refute(ctx, part)
		if known || err != nil {
			if err != nil {
				d.fl.log.Warn("wrong file not repaired, beginning anew", "err", err)
			}
			return again
		}
	}
	doubt := part.Untrusted()
	trusted := total(doubt) < part.Size()
	switch alone := d.solo; {
	case alone && trusted && d.blameBesideMirror(ctx, part, doubt):
	case alone && trusted:
		d.blame(*doubtful)
		return false // with what is trusted it is wrong again
	default:
		d.blame(*doubtful)
		d.solo, *doubtful = d.solo || *doubtful, trusted
	}
	for _, r := range doubt {
		if d.forget(part, r.Off, r.End) != nil {
			return false
		}
	}
	for _, t := range d.tallies {
		t.inPart.unverified = false
	}
	return len(doubt) > 0
}

// blameBesideMirror has a peer asked no more in this attempt that alone sent what is in
// doubt, where all else is a mirror's. It reports false if that is not so. Whether the
// peer or the mirror was wrong is found out in the end (checkVotes).
func (d *download) blameBesideMirror(ctx context.Context, part *store.Partial, doubt []store.Range) bool {
	sole := d.fl.soleBesideMirror(doubt)
	t := d.tallies[sole]
	if t == nil || t.source.Origin() != ledger.FromPeer {
		return false
	}
	if have, err := digestsOf(ctx, part); err == nil && d.manifests != nil {
		d.noteStreams(ctx, part.Size(), have)
	}
	d.fl.log.Warn("wrong bytes from a source beside a mirror's, fetching elsewhere", "source", sole)
	t.out, t.inPart.doubted, t.err = true, true, ErrWrongBytes
	return true
}

// total is how many bytes are in all.
func total(all []store.Range) (n int64) {
	for _, r := range all {
		n += r.End - r.Off
	}
	return n
}

// forget makes what is not trusted from off to end missing again.
func (d *download) forget(part *store.Partial, off, end int64) error {
	if err := d.fl.forget(part, off, end); err != nil {
		return err
	}
	if d.manifests != nil {
		for i := int(off / peer.PieceSize); int64(i)*peer.PieceSize < end; i++ {
			d.manifests.Forgot(i)
		}
	}
	return nil
}

// refute compares part with what its sources state, and forgets the pieces that differ
// from the best manifest that is left. known is false if there is none.
func (d *download) refute(ctx context.Context, part *store.Partial) (again, known bool, err error) {
	have, err := digestsOf(ctx, part)
	if err != nil {
		return false, false, err
	}
	d.noteStreams(ctx, part.Size(), have)
	wrong := d.mismatch(part, have)
	if len(wrong) == 0 {
		d.learn(ctx)
		wrong = d.mismatch(part, have)
	}
	if len(wrong) == 0 {
		return false, false, nil
	}
	if d.prefersMirror(d.fl.mirrors()) {
		wrong = append(wrong, d.manifests.Disputed()...)
		slices.Sort(wrong)
		wrong = slices.Compact(wrong)
	}
	d.fl.log.Warn("wrong file, getting the pieces again that differ from the manifest", "pieces", len(wrong), "of", len(have))
	for _, i := range wrong {
		off, n := peer.PieceAt(i, part.Size())
		if part.Trusted(off) >= n {
			return false, true, nil
		}
		if err := d.forget(part, off, off+n); err != nil {
			return false, true, err
		}
	}
	return true, true, nil
}

// digestsOf reads the pieces of part.
func digestsOf(ctx context.Context, part *store.Partial) ([]digest.Digest, error) {
	r := part.Reader()
	defer r.Close()
	all, err := pieces.Digests(readerOf(ctx, io.NewSectionReader(r, 0, part.Size())))
	if err != nil {
		return nil, fmt.Errorf("reading a wrong file: %w", err)
	}
	return all, nil
}

// noteStreams notes who has sent whole pieces in streams.
func (d *download) noteStreams(ctx context.Context, size int64, have []digest.Digest) {
	for i, sum := range have {
		off, n := peer.PieceAt(i, size)
		if t := d.tallies[d.fl.sender(off, off+n)]; t != nil {
			d.manifests.Sent(d.pieceSource(t.source).forPieces(), i, sum)
		}
	}
}

// mismatch tells the manifests that the pieces that are there are not the file, and
// penalizes those who are proved to lie by that.
func (d *download) mismatch(part *store.Partial, have []digest.Digest) (wrong []int) {
	doubtful := part.Untrusted()
	wrong, liars := d.manifests.Mismatch(have, func(i int) int64 {
		off, n := peer.PieceAt(i, part.Size())
		for _, r := range doubtful {
			n -= max(min(r.End, off+n)-max(r.Off, off), 0)
		}
		return n
	})
	d.penalizeAll(liars, "stated a wrong manifest")
	return wrong
}

// penalizeAll penalizes sources that are proved to lie, each once.
func (d *download) penalizeAll(liars []pieces.Source, why string) {
	for _, s := range liars {
		if t := sourceOf(s).tally; !t.penalized {
			d.fl.log.Error("source of pieces lied, fetching elsewhere", "source", s.String(), "err", why)
			d.penalize(t, true, why)
		}
	}
}

// learn asks peers for manifests until there is one that may be right.
func (d *download) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.fl.f.timeouts.seed)
	defer cancel()
	var all []pieces.Source
	for _, s := range d.pieceSources(ctx, d.fl.candidates()) {
		all = append(all, s.forPieces())
	}
	d.manifests.Learn(ctx, all, d.fl.log, func() {
		if d.manifests.Known() {
			cancel()
		}
	})
}

// prefersMirror reports whether what is disputed is to come from the mirror.
func (d *download) prefersMirror(all []mirrorSource) bool {
	return d.wrong >= maxWrong && !d.fl.f.mirror.Limited() && d.mirror(all) != nil
}

// askPeersLater has the mirror asked before the peers, but for those that are to ask it
// for the site.
func (d *download) askPeersLater(all []*peerSource) {
	for _, p := range all {
		d.tallyOf(p)
	}
	for _, t := range d.tallies {
		if p, ok := t.source.(*peerSource); ok && p.kind != owner {
			t.failures = max(t.failures, 1)
		}
	}
}

// mirror returns the first of the mirrors that may be asked; nil for none.
func (d *download) mirror(all []mirrorSource) source {
	for _, m := range all {
		if !d.tallyOf(m).out {
			return m
		}
	}
	return nil
}

// reportRight tells each peer how many of the verified file's bytes it has sent.
func (d *download) reportRight() {
	for name, n := range d.fl.senders() {
		if t := d.tallies[name]; t != nil && !t.penalized && t.source.Origin() == ledger.FromPeer {
			t.source.Report(peer.Outcome{Right: n})
		}
	}
}

// checkVotes finds out, once the file is there, who was wrong about its pieces. It
// reads the file again, so only when sources differ or an attempt came out
// wrong, and nobody waits for it.
func (d *download) checkVotes() {
	if d.manifests == nil || d.wrong == 0 && !d.manifests.Differ() {
		return
	}
	f := d.fl.f
	file, err := f.stored(d.fl.key.digest)
	if err != nil {
		return // evicted already: nothing to compare with
	}
	f.running.Go(func() {
		defer file.Body.Close()
		right, err := pieces.Digests(readerOf(f.lifetime, file.Body))
		if err != nil {
			d.fl.log.Debug("verified file unreadable, wrong pieces stay unpunished", "err", err)
			return
		}
		for _, w := range d.manifests.Wrong(right) {
			if t := sourceOf(w.Source).tally; !t.penalized {
				d.penalize(t, w.Lied, w.Why)
			}
		}
	})
}
