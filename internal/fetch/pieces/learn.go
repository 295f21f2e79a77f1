package pieces

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"millpond/internal/peer"
)

// askNext is how long two peers may take to state their manifests before two more
// are asked.
const askNext = time.Second

// Learn asks the peers among sources that have checked the file for its manifest,
// two at a time, since each has to read all of the file for it, up to MaxSources of
// those that were not asked before. It returns when one manifest has enough support,
// or all have answered, or ctx ends. told is called after each answer, and at the
// end.
func (m *Manifests) Learn(ctx context.Context, sources []Source, log *slog.Logger, told func()) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	all := m.toAsk(sources)
	m.setLearning(true)
	defer told()
	defer m.setLearning(false)
	answers := make(chan struct{}, len(all))
	open := 0
	for pair := range slices.Chunk(all, 2) {
		if m.isSettled(all) {
			return
		}
		for _, p := range pair {
			m.markAsked(p, true)
			open++
			asking.Go(func() {
				m.ask(ctx, p, log)
				told()
				answers <- struct{}{}
			})
		}
		late := time.NewTimer(askNext)
		for wait := len(pair); wait > 0; wait-- {
			select {
			case <-answers:
				open--
			case <-late.C:
				wait = 1 // no more
			case <-ctx.Done():
				late.Stop()
				return
			}
		}
		late.Stop()
	}
	for ; open > 0 && !m.isSettled(nil); open-- {
		select {
		case <-answers:
		case <-ctx.Done():
			return
		}
	}
}

// ask notes the manifest of p, if it states one that can be right.
func (m *Manifests) ask(ctx context.Context, p Peer, log *slog.Logger) {
	sums, err := p.Manifest(ctx)
	if err != nil && ctx.Err() != nil {
		m.markAsked(p, false) // it was not waited for
		return
	}
	if err != nil || len(sums) != len(m.has) {
		log.Debug("no manifest from a peer", "source", p.String(), "pieces", len(sums), "err", err)
		return
	}
	m.state(p, sums)
}

// toAsk returns the peers that Learn asks, those with the best standing first.
func (m *Manifests) toAsk(sources []Source) (all []Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range sources {
		if p, ok := s.(Peer); ok && s.Verified() && !m.witness(s).asked {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Peer) int { return cmp.Compare(m.weight(b), m.weight(a)) })
	return all[:min(len(all), MaxSources)]
}

// weight is greater for those whose word counts for more. m.mu is held.
func (m *Manifests) weight(p Peer) int {
	s := m.witness(p).standing
	switch {
	case s.Proven && s.Kind == peer.Member:
		return 2
	case s.Proven:
		return 1
	}
	return 0
}

func (m *Manifests) setLearning(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.learning = on
	m.judge()
}

func (m *Manifests) markAsked(p Peer, asked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.witness(p).asked = asked
}

// isSettled reports whether the hypothesis in force has enough support: that of proven
// peers, or of any two if none of the peers left to ask is proven.
func (m *Manifests) isSettled(all []Peer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.force == nil {
		return false
	}
	if m.rank(func(w *witness) bool { return w.stated == m.force }).isProof() {
		return true
	}
	for _, p := range all {
		if w := m.witness(p); !w.asked && w.standing.Proven {
			return false
		}
	}
	n := 0
	for _, w := range m.witnesses {
		if w.stated == m.force && !w.liar {
			n++
		}
	}
	return n > 1
}
