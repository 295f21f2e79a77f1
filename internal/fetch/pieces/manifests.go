package pieces

import (
	"cmp"
	"slices"
	"sync"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// Manifests is what the sources of one file have said about its pieces, by sending
// them or in a manifest, over all downloads of the file. Its methods may be called by
// several goroutines.
//
// A manifest is a hypothesis: only the digest of the whole file decides. The one in
// force is the best of those that are not refuted, by the standing of those who state
// it; what is written agrees with it. It never contradicts a fixed piece: one that a
// mirror sent, or that clients may have read.
type Manifests struct {
	size int64 // of the file, in bytes

	mu        sync.Mutex // guards what follows
	witnesses map[string]*witness
	stated    []*manifest // each once, in the order in which they came
	force     *manifest   // the hypothesis in force; nil for none
	has       []digest.Digest
	fixed     []digest.Digest
	refuted   int
	learning  bool // peers are being asked
}

// manifest is the digests of the pieces as at least one peer states them.
type manifest struct {
	sums    []digest.Digest
	refuted bool // a file of these pieces was wrong
	aside   bool // nobody sent what it says
	tried   bool // a wrong file was got again where it differed
}

// witness is a source that has said something about the file, or is to be asked.
type witness struct {
	source   Source
	order    int // the sources come best first
	mirror   bool
	standing peer.Standing
	asked    bool // for its manifest
	stated   *manifest
	votes    map[vote]bool
	liar     bool // it contradicts itself, or stated what is refuted
	barred   bool // it contradicts the hypothesis in force, or a fixed piece
}

// vote is what a source sent as a piece.
type vote struct {
	piece    int
	sum      digest.Digest
	verified bool // the source had checked the file
}

// NewManifests returns Manifests of a file of that many bytes.
func NewManifests(size int64) *Manifests {
	n := peer.Pieces(size)
	return &Manifests{size: size, witnesses: make(map[string]*witness), has: make([]digest.Digest, n), fixed: make([]digest.Digest, n)}
}

// Refuted returns how many manifests the digest of the whole file has refuted.
func (m *Manifests) Refuted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refuted
}

// Restart says that the file begins anew, without any piece.
func (m *Manifests) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.has)
	clear(m.fixed)
	m.judge()
}

// Mismatch says that the file is complete and wrong; have has the digests of its
// pieces, and trusted how many bytes of each cannot be forgotten. The hypothesis in force is
// refuted if that is what the file consists of. Mismatch returns the pieces that
// differ from the hypothesis that is in force then, which are to be got again, and
// the sources that are proved to lie: they stated what is refuted although they had
// checked the file. With no hypothesis left it returns no pieces.
func (m *Manifests) Mismatch(have []digest.Digest, trusted func(i int) int64) (wrong []int, liars []Source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.has, have)
	for i := range m.fixed {
		if _, n := peer.PieceAt(i, m.size); trusted(i) < n { // whoever vouched for it may be wrong
			m.fixed[i] = digest.Digest{}
		}
	}
	for _, o := range m.stated {
		o.aside = false
	}
	for m.judge(); m.force != nil; m.judge() {
		for i, sum := range have {
			if sum != m.force.sums[i] {
				wrong = append(wrong, i)
			}
		}
		switch {
		case len(wrong) == 0:
			liars = append(liars, m.refute()...)
		case m.force.tried && !slices.ContainsFunc(wrong, func(i int) bool { return trusted(i) == 0 }):
			// It contradicts what is trusted.
			m.force.refuted, wrong = true, nil
		default:
			m.force.tried = true
			return wrong, liars
		}
	}
	return nil, liars
}

// refute marks the hypothesis in force as refuted and returns those who stated it.
// m.mu is held.
func (m *Manifests) refute() (liars []Source) {
	m.force.refuted = true
	m.refuted++
	for _, w := range m.inOrder() {
		if w.stated == m.force {
			w.liar = true
			liars = append(liars, w.source)
		}
	}
	return liars
}

// Disputed returns the pieces of which sources have said different things, but for
// those that a mirror sent.
func (m *Manifests) Disputed() (all []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, first := range m.fixed {
		if !first.IsZero() {
			continue
		}
		differs := false
		compare := func(sum digest.Digest) {
			differs = differs || !first.IsZero() && sum != first
			first = sum
		}
		for _, w := range m.witnesses {
			if w.stated != nil {
				compare(w.stated.sums[i])
			}
			for v := range w.votes {
				if v.piece == i {
					compare(v.sum)
				}
			}
		}
		if differs {
			all = append(all, i)
		}
	}
	return all
}

// Forgot says that a piece is no longer in the file.
func (m *Manifests) Forgot(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.has[i] = digest.Digest{}
}

// witness returns what is known of s. m.mu is held.
func (m *Manifests) witness(s Source) *witness {
	w := m.witnesses[s.String()]
	if w == nil {
		w = &witness{order: len(m.witnesses), votes: make(map[vote]bool)}
		m.witnesses[s.String()] = w
		if p, ok := s.(Peer); ok {
			w.standing = p.Standing()
		} else {
			w.mirror = true
		}
	}
	w.source = s
	return w
}

// inOrder returns the witnesses, best first. m.mu is held.
func (m *Manifests) inOrder() []*witness {
	all := make([]*witness, 0, len(m.witnesses))
	for _, w := range m.witnesses {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *witness) int { return cmp.Compare(a.order, b.order) })
	return all
}

// see is witness for callers that do not hold m.mu.
func (m *Manifests) see(s Source) *witness {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.witness(s)
}

// state notes that s states sums.
func (m *Manifests) state(s Source, sums []digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.witness(s)
	i := slices.IndexFunc(m.stated, func(o *manifest) bool { return slices.Equal(o.sums, sums) })
	if i < 0 {
		i = len(m.stated)
		m.stated = append(m.stated, &manifest{sums: sums})
	}
	w.stated = m.stated[i]
	w.liar = w.liar || w.stated.refuted
	for v := range w.votes {
		w.liar = w.liar || v.sum != sums[v.piece]
	}
	m.judge()
}

// sent notes what w sent as piece i, and reports whether it agrees with what is in
// force now.
func (m *Manifests) sent(w *witness, verified bool, i int, sum digest.Digest) (agrees bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.votes[vote{i, sum, verified}] = true
	if w.mirror && m.fixed[i].IsZero() {
		m.fixed[i] = sum
	}
	w.liar = w.liar || w.stated != nil && w.stated.sums[i] != sum
	m.judge()
	return m.agrees(i, sum)
}

// Sent notes that s has sent piece i in a stream, unless it has sent it otherwise.
func (m *Manifests) Sent(s Source, i int, sum digest.Digest) {
	w := m.see(s)
	m.mu.Lock()
	for v := range w.votes {
		if v.piece == i {
			m.mu.Unlock()
			return
		}
	}
	m.mu.Unlock()
	m.sent(w, s.Verified(), i, sum)
}

// Known reports whether there is a hypothesis in force.
func (m *Manifests) Known() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.force != nil
}

// wrote notes that piece i is in the file.
func (m *Manifests) wrote(i int, sum digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.has[i] = sum
}

// agrees reports whether piece i may be in the file with that digest. m.mu is held.
func (m *Manifests) agrees(i int, sum digest.Digest) bool {
	return (m.fixed[i].IsZero() || m.fixed[i] == sum) && (m.force == nil || m.force.sums[i] == sum)
}

// disagreeing returns the pieces in the file that are to be got again.
func (m *Manifests) disagreeing() (all []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, sum := range m.has {
		if !sum.IsZero() && !m.agrees(i, sum) {
			all = append(all, i)
		}
	}
	return all
}

// fix returns the pieces in the file that have come to be vouched for, which are
// fixed from now on.
func (m *Manifests) fix(done func(int) bool) (all []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, sum := range m.has {
		if !sum.IsZero() && !done(i) && (m.fixed[i] == sum || m.vouched(i, sum)) {
			m.fixed[i] = sum
			all = append(all, i)
		}
	}
	return all
}

// vouched reports whether a proven member says that piece i has that digest, or two
// proven peers of different parties do. m.mu is held.
func (m *Manifests) vouched(i int, sum digest.Digest) bool {
	r := m.rank(func(w *witness) bool {
		return w.stated != nil && w.stated.sums[i] == sum || w.votes[vote{i, sum, true}] || w.votes[vote{i, sum, false}]
	})
	return r.isProof()
}

// barred reports whether w is asked for no piece, since it contradicts what is in
// force.
func (m *Manifests) barred(w *witness) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return w.barred
}

// may reports whether w may be asked for piece i: not if it is known to have another
// one than the hypothesis in force says.
func (m *Manifests) may(w *witness, i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !w.barred && (m.force == nil || w.stated == nil || w.stated.sums[i] == m.force.sums[i])
}

// inTheWay reports whether w could be asked for piece i but for the hypothesis in
// force.
func (m *Manifests) inTheWay(w *witness, i int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.force == nil || w.liar || w.stated != nil && m.contradictsFixed(w.stated) {
		return false
	}
	return w.barred || w.stated != nil && w.stated.sums[i] != m.force.sums[i]
}

// giveUp puts the hypothesis in force aside, since nobody sends what it says. It
// reports false if there was none.
func (m *Manifests) giveUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.force == nil {
		return false
	}
	m.force.aside = true
	m.judge()
	return true
}
