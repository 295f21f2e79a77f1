package fetch

import (
	"context"
	"fmt"
	"slices"

	"millpond/internal/digest"
)

// claim is what a source says that a piece is, by sending it or by its
// manifest. Which claims are true is known only once the whole file is
// verified: two liars that agree could otherwise have the honest ones banned.
type claim struct {
	tally *tally
	piece int
	sum   digest.Digest
	sure  bool // false: passed on by a box that could not have verified it yet
	how   string
}

// accept notes what s sent as piece i. It reports false, and s is asked no
// more, if a trusted manifest says otherwise; also if another source has sent
// the piece meanwhile.
func (g *gathering) accept(ctx context.Context, s *pieceSource, i int, sum digest.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.claims = append(g.claims, claim{s.tally, i, sum, s.sure, "sent a wrong piece"})
	if g.manifest != nil && g.manifest[i] != sum {
		g.f.stats.wrong.Add(1)
		g.log.Warn("a piece differs from the manifest, taking it elsewhere", "source", s.provider.String(), "piece", i)
		g.dismiss(ctx, s)
		return false
	}
	if !g.picker.got(i) {
		return false
	}
	g.kept[i] = sum
	s.tally.used = true
	s.tally.hearsay = s.tally.hearsay || !s.sure
	return true
}

// holders are the boxes among the first sources that hold all of the file.
func (g *gathering) holders() []*pieceSource {
	var all []*pieceSource
	for _, s := range g.spare[:min(len(g.spare), maxSources)] {
		if s.peer != nil && s.sure {
			all = append(all, s)
		}
	}
	return all
}

// learnManifest asks holders for the digests of the file's pieces, two at a
// time since each has to read all of the file for it, until two agree.
func (g *gathering) learnManifest(ctx context.Context, holders []*pieceSource) {
	var told [][]digest.Digest
	for pair := range slices.Chunk(holders, 2) {
		if len(holders) < 2 || g.trusts() || ctx.Err() != nil {
			return
		}
		answers := make(chan []digest.Digest, len(pair))
		for _, s := range pair {
			g.helpers.Go(func() { answers <- g.askManifest(ctx, s) })
		}
		for range pair {
			m := <-answers
			if m == nil {
				continue
			}
			if slices.ContainsFunc(told, func(o []digest.Digest) bool { return slices.Equal(o, m) }) {
				g.trust(m)
				return
			}
			told = append(told, m)
		}
	}
}

// trusts reports whether there is a trusted manifest, from the attempt before
// perhaps.
func (g *gathering) trusts() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.manifest != nil
}

// askManifest asks s for the digests of the pieces and notes them; nil if it
// gives none that can be right.
func (g *gathering) askManifest(ctx context.Context, s *pieceSource) []digest.Digest {
	ctx, cancel := context.WithTimeout(ctx, g.f.waits.piece)
	defer cancel()
	m, err := s.peer.peer.Manifest(ctx, s.peer.digest)
	if err != nil || len(m) != len(g.kept) {
		g.log.Debug("no manifest from a peer", "source", s.provider.String(), "pieces", len(m), "err", err)
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, sum := range m {
		g.claims = append(g.claims, claim{s.tally, i, sum, true, "told a wrong manifest"})
	}
	return m
}

// trust checks by m, which two boxes told, what is there already, and from now
// on what comes. The digest of the whole decides in any case.
func (g *gathering) trust(m []digest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.manifest = m
	for i, sum := range g.kept {
		if !sum.IsZero() && sum != m[i] {
			g.f.stats.wrong.Add(1)
			g.log.Warn("a piece in the file differs from the manifest, it begins anew", "piece", i)
			g.wrong = true
			g.stop()
			return
		}
	}
}

// settle finds out, once the file is there, whose claims were wrong. It reads
// the file again, so only when the claims differ or an attempt came out wrong,
// and nobody waits for it.
func (d *download) settle() {
	if !d.solo && !disputed(d.claims) {
		return
	}
	file, err := d.f.stored(d.key.digest)
	if err != nil {
		return // evicted already: nothing to compare with
	}
	d.f.running.Go(func() {
		defer file.Body.Close()
		right, err := pieceDigests(readerOf(d.f.lifetime, file.Body))
		if err != nil {
			d.log.Debug("a verified file cannot be compared with what peers sent", "err", err)
			return
		}
		d.judge(right)
	})
}

// disputed reports whether two claims about a piece differ.
func disputed(claims []claim) bool {
	first := make(map[int]digest.Digest)
	for _, c := range claims {
		if sum, ok := first[c.piece]; ok && sum != c.sum {
			return true
		}
		first[c.piece] = c.sum
	}
	return false
}

// judge reports everybody who made a claim that is not right.
func (d *download) judge(right []digest.Digest) {
	for _, c := range d.claims {
		if c.sum == right[c.piece] || c.tally.convicted {
			continue
		}
		why := fmt.Sprintf("%s, %d", c.how, c.piece)
		if c.sure {
			d.liar(c.tally, why)
		} else {
			d.passedOn(c.tally, why)
		}
	}
}
