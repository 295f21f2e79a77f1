package pieces

import (
	"cmp"
	"slices"

	"millpond/internal/peer"
)

// judge chooses the hypothesis in force, and who contradicts it. m.mu is held.
func (m *Manifests) judge() {
	m.force = nil
	var best rank
	for _, o := range m.stated {
		if o.refuted || o.aside || m.contradictsFixed(o) {
			continue
		}
		r := m.rank(func(w *witness) bool { return m.supports(w, o) })
		// Until all have been asked, those that sent something else count, too: it may be
		// that only a liar has answered yet.
		if m.learning && m.rank(func(w *witness) bool { return w.stated != o && w.contradicts(o) }).compare(r) < 0 {
			continue
		}
		if m.force == nil || r.compare(best) < 0 {
			m.force, best = o, r
		}
	}
	for _, w := range m.witnesses {
		w.barred = w.liar || w.stated != nil && m.contradictsFixed(w.stated)
		for v := range w.votes {
			w.barred = w.barred || !m.agrees(v.piece, v.sum)
		}
		w.barred = w.barred && !w.mirror
	}
}

// supports reports whether w states o, or states nothing and has sent what o says and
// another one does not. m.mu is held.
func (m *Manifests) supports(w *witness, o *manifest) bool {
	if w.stated != nil || w.contradicts(o) {
		return w.stated == o
	}
	return slices.ContainsFunc(m.stated, w.contradicts)
}

// contradicts reports whether w has sent something else than o says.
func (w *witness) contradicts(o *manifest) bool {
	for v := range w.votes {
		if o.sums[v.piece] != v.sum {
			return true
		}
	}
	return false
}

// contradictsFixed reports whether o differs from a fixed piece. m.mu is held.
func (m *Manifests) contradictsFixed(o *manifest) bool {
	for i, sum := range m.fixed {
		if !sum.IsZero() && sum != o.sums[i] {
			return true
		}
	}
	return false
}

// rank is the standing of those who say the same, as they are compared: in the order
// of the fields.
type rank struct {
	members int // proven
	proven  int // parties of proven peers
	parties int
	kind    peer.Kind // the best
	sources int
	order   int // of the first
}

// rank returns the standing of the witnesses that say what is asked. Those that lie
// do not count. m.mu is held.
func (m *Manifests) rank(says func(*witness) bool) rank {
	r := rank{order: len(m.witnesses)}
	parties, proven := make(map[string]bool), make(map[string]bool)
	for _, w := range m.witnesses {
		if w.liar || w.mirror || !says(w) {
			continue
		}
		if w.standing.Proven {
			if w.standing.Kind == peer.Member {
				r.members++
			}
			if w.standing.Party != "" { // else it may be another one's
				proven[w.standing.Party] = true
			}
		}
		parties[w.standing.Party] = true
		r.sources++
		r.kind, r.order = max(r.kind, w.standing.Kind), min(r.order, w.order)
	}
	r.proven, r.parties = len(proven), len(parties)
	return r
}

// compare is negative if r is the better one.
func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(o.members, r.members), cmp.Compare(o.proven, r.proven), cmp.Compare(o.parties, r.parties),
		cmp.Compare(o.kind, r.kind),
		cmp.Compare(o.sources, r.sources), cmp.Compare(r.order, o.order))
}

// isProof reports whether so many say the same that clients may have it before the
// whole file is verified.
func (r rank) isProof() bool { return r.members > 0 || r.proven > 1 }
