package pieces

import (
	"context"
	"errors"
	"io"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// accept notes what s sent as piece i. It returns false if the piece is not to
// be written: the manifest says otherwise, and then s is dropped, or another
// source has sent it meanwhile.
func (d *download) accept(ctx context.Context, s *source, i int, sum digest.Digest) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Votes = append(d.result.Votes, Vote{Source: s.Source, Piece: i, Sum: sum, Verified: s.verified})
	if m := d.result.Manifest; m != nil && m[i] != sum {
		d.result.Wrong++
		d.log.Warn("piece differs from the manifest, taking it elsewhere", "source", s.String(), "piece", i)
		d.drop(ctx, s)
		return false
	}
	if !d.picker.got(i, s) {
		return false
	}
	d.written[i] = sum
	return true
}

// verifiedPeers are the peers among the first sources that have checked the
// file.
func (d *download) verifiedPeers() []Peer {
	var all []Peer
	for _, s := range d.standby[:min(len(d.standby), MaxSources)] {
		if p, ok := s.Source.(Peer); ok && s.verified {
			all = append(all, p)
		}
	}
	return all
}

// learnManifest asks peers for the digests of the file's pieces until two
// agree. It asks two at a time, since each has to read all of the file for it.
func (d *download) learnManifest(ctx context.Context, peers []Peer) {
	var stated [][]digest.Digest
	for pair := range slices.Chunk(peers, 2) {
		if len(peers) < 2 || d.hasManifest() || ctx.Err() != nil {
			return
		}
		answers := make(chan []digest.Digest, len(pair))
		for _, p := range pair {
			d.helpers.Go(func() { answers <- d.askManifest(ctx, p) })
		}
		for range pair {
			m := <-answers
			if m == nil {
				continue
			}
			if slices.ContainsFunc(stated, func(o []digest.Digest) bool { return slices.Equal(o, m) }) {
				d.believe(m)
				return
			}
			stated = append(stated, m)
		}
	}
}

func (d *download) hasManifest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.result.Manifest != nil
}

// askManifest asks p for the digests of the pieces and notes them; nil if it
// states none that can be right.
func (d *download) askManifest(ctx context.Context, p Peer) []digest.Digest {
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeouts.Piece)
	defer cancel()
	m, err := p.Manifest(ctx)
	if err != nil || len(m) != len(d.written) {
		d.log.Debug("no manifest from a peer", "source", p.String(), "pieces", len(m), "err", err)
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, sum := range m {
		d.result.Votes = append(d.result.Votes, Vote{Source: p, Piece: i, Sum: sum, Verified: true, Manifest: true})
	}
	return m
}

// believe checks what has been written by m, on which two peers agree, and
// from now on what arrives.
func (d *download) believe(m []digest.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Manifest = m
	for i, sum := range d.written {
		if !sum.IsZero() && sum != m[i] {
			d.result.Wrong++
			d.result.Corrupt = true
			d.log.Warn("written piece differs from the manifest, file begins anew", "piece", i)
			d.stop()
			return
		}
	}
}

// Digests reads a file and returns the digest of each piece: its manifest.
func Digests(r io.Reader) ([]digest.Digest, error) {
	var all []digest.Digest
	for {
		h := digest.NewHasher()
		n, err := io.CopyN(h, r, peer.PieceSize)
		if n > 0 {
			all = append(all, h.Digest())
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
