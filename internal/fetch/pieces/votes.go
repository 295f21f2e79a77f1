package pieces

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// Wrong is a source that was proved wrong by the verified file.
type Wrong struct {
	Source Source
	// Lied says that it had checked the file itself. Else it may have taken the piece
	// from another box, and have found out since.
	Lied bool
	Why  string
}

// Contradictory returns the sources that had checked the file by their own word, and
// sent a piece that differs from what they state: one of the two is a lie, whatever the
// file is.
func (m *Manifests) Contradictory() (all []Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.inOrder() {
		for v := range w.votes {
			if w.stated != nil && v.verified && w.stated.sums[v.piece] != v.sum {
				all = append(all, w.source)
				break
			}
		}
	}
	return all
}

// Wrong returns the sources that sent or stated something else than the verified
// file, whose pieces have the digests right; each once.
func (m *Manifests) Wrong(right []digest.Digest) (all []Wrong) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.inOrder() {
		wrong := Wrong{Source: w.source}
		for v := range w.votes {
			if v.sum != right[v.piece] {
				wrong.Lied = wrong.Lied || v.verified
				wrong.Why = fmt.Sprintf("sent a wrong piece, %d", v.piece)
			}
		}
		if w.stated != nil && !slices.Equal(w.stated.sums, right) {
			wrong.Lied, wrong.Why = true, "stated a wrong manifest"
		}
		if wrong.Why != "" {
			all = append(all, wrong)
		}
	}
	return all
}

// Differ reports whether two sources have said different things about a piece.
// Otherwise all of them are right if the file is.
func (m *Manifests) Differ() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := make(map[int]digest.Digest)
	differs := func(i int, sum digest.Digest) bool {
		before, ok := first[i]
		first[i] = sum
		return ok && before != sum
	}
	for _, o := range m.stated {
		for i, sum := range o.sums {
			if differs(i, sum) {
				return true
			}
		}
	}
	for _, w := range m.witnesses {
		for v := range w.votes {
			if differs(v.piece, v.sum) {
				return true
			}
		}
	}
	return false
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
