package fetch

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
)

const (
	// window is how many pieces past the client's position are taken in
	// order, before the rarest.
	window = 8
	// endgame is how few pieces may be left for one of them to be asked of a
	// second source as well.
	endgame = 3
)

// order is a piece asked of a source.
type order struct {
	piece  int
	source *pieceSource
	ctx    context.Context // the order's own: over when the piece is there
	cancel context.CancelFunc
}

// picker decides which piece a source is asked for next: those that the
// client needs soon, in order; then the rarest, so that boxes downloading the
// same file get different pieces and have something for each other; and in
// the end those that slow sources still owe.
type picker struct {
	mu      sync.Mutex // guards what follows
	done    []bool
	orders  [][]*order    // open ones, by piece; at most two each
	left    int           // pieces not done
	cursor  func() int    // the piece that the client reads next
	changed chan struct{} // closed and replaced when idle sources may look again
}

// newPicker returns a picker of n pieces of which some are there.
func newPicker(n int, there func(int) bool, cursor func() int) *picker {
	p := &picker{done: make([]bool, n), orders: make([][]*order, n), cursor: cursor, changed: make(chan struct{})}
	for i := range p.done {
		if p.done[i] = there(i); !p.done[i] {
			p.left++
		}
	}
	return p
}

// pick returns a piece for src, one of all, to get; or nil and a channel that
// is closed when it may look again. drop ends the order.
func (p *picker) pick(ctx context.Context, src *pieceSource, all []*pieceSource) (*order, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.choose(src, all)
	if i < 0 || p.owing(src) && p.wanted(i, all) {
		return nil, p.changed
	}
	o := &order{piece: i, source: src}
	o.ctx, o.cancel = context.WithCancel(ctx)
	p.orders[i] = append(p.orders[i], o)
	return o, nil
}

// choose returns the best piece for src, -1 for none. p.mu is held.
func (p *picker) choose(src *pieceSource, all []*pieceSource) int {
	begin := min(p.cursor(), len(p.done))
	for i := begin; i < min(begin+window, len(p.done)); i++ {
		if p.free(i) && src.has(i) {
			return i
		}
	}
	if i := p.rarest(src, all); i >= 0 {
		return i
	}
	if p.left > endgame {
		return -1
	}
	for i, orders := range p.orders {
		if len(orders) == 1 && !p.done[i] && orders[0].source != src && src.has(i) {
			return i
		}
	}
	return -1
}

// rarest returns the free piece that src and the fewest others have, -1 for
// none; among equals any, so that boxes do not all choose alike. p.mu is held.
func (p *picker) rarest(src *pieceSource, all []*pieceSource) int {
	best, fewest := -1, len(all)+1
	start := rand.IntN(len(p.done))
	for k := range p.done {
		i := (start + k) % len(p.done)
		if !p.free(i) || !src.has(i) {
			continue
		}
		n := 0
		for _, s := range all {
			if s.has(i) {
				n++
			}
		}
		if n < fewest {
			best, fewest = i, n
		}
	}
	return best
}

// owing reports whether src has an order open. p.mu is held.
func (p *picker) owing(src *pieceSource) bool {
	return slices.ContainsFunc(p.orders, func(orders []*order) bool {
		return slices.ContainsFunc(orders, func(o *order) bool { return o.source == src })
	})
}

// wanted reports whether the free pieces are no more than those sources need
// that could give i and have nothing to do: a source with an order open leaves
// them the last ones. p.mu is held.
func (p *picker) wanted(i int, all []*pieceSource) bool {
	free := 0
	for k := range p.done {
		if p.free(k) {
			free++
		}
	}
	if free == 0 || free > len(all) {
		return false
	}
	idle := 0
	for _, s := range all {
		if s.has(i) && !p.owing(s) {
			idle++
		}
	}
	return idle >= free
}

// free reports whether nobody has got i, or is getting it. p.mu is held.
func (p *picker) free(i int) bool { return !p.done[i] && len(p.orders[i]) == 0 }

// got records that i is there and ends the orders for it. It reports false if
// it was there before.
func (p *picker) got(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done[i] {
		return false
	}
	p.done[i] = true
	p.left--
	for _, o := range p.orders[i] {
		o.cancel()
	}
	p.wake()
	return true
}

// drop ends an order, filled or not.
func (p *picker) drop(o *order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o.cancel()
	p.orders[o.piece] = slices.DeleteFunc(p.orders[o.piece], func(other *order) bool { return other == o })
	p.wake()
}

// finished reports whether all pieces are there.
func (p *picker) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// quiet reports whether no source is asked for anything.
func (p *picker) quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.orders, func(o []*order) bool { return len(o) > 0 })
}

// poke wakes idle sources because one of them has got something.
func (p *picker) poke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake()
}

// wake lets idle sources look again. p.mu is held.
func (p *picker) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}
