package fetch

import (
	"math/rand/v2"
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

// picker decides which piece a source is asked for next: those that the
// client needs soon, in order; then the rarest, so that boxes downloading the
// same file get different pieces and have something for each other; and in
// the end those that slow sources still owe.
type picker struct {
	mu     sync.Mutex // guards what follows
	done   []bool
	owed   [][]*pieceSource // by piece: who was asked for it
	left   int
	cursor func() int // the piece that the client reads next

	changed chan struct{} // closed and replaced when a piece comes free or is done
}

// newPicker returns a picker of n pieces of which some are there.
func newPicker(n int, there func(int) bool, cursor func() int) *picker {
	p := &picker{done: make([]bool, n), owed: make([][]*pieceSource, n), cursor: cursor, changed: make(chan struct{})}
	for i := range p.done {
		if p.done[i] = there(i); !p.done[i] {
			p.left++
		}
	}
	return p
}

// pick returns a piece for src to get, or false and a channel that is closed
// when it may try again. finished says that there is nothing left for anyone.
func (p *picker) pick(src *pieceSource, all []*pieceSource) (i int, ok bool, again <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i = p.choose(src, all); i < 0 {
		return 0, false, p.changed
	}
	p.owed[i] = append(p.owed[i], src)
	return i, true, nil
}

// choose returns the best piece for src, -1 for none. p.mu is held.
func (p *picker) choose(src *pieceSource, all []*pieceSource) int {
	begin := min(p.cursor(), len(p.done))
	for i := begin; i < min(begin+window, len(p.done)); i++ {
		if p.free(i) && src.has(i) {
			return i
		}
	}
	best, rarity := -1, len(all)+1
	// From a random place on, so that equal rarity does not make all boxes
	// choose alike.
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
		if n < rarity {
			best, rarity = i, n
		}
	}
	if best >= 0 || p.left > endgame {
		return best
	}
	for i, owed := range p.owed {
		if !p.done[i] && len(owed) == 1 && owed[0] != src && src.has(i) {
			return i
		}
	}
	return -1
}

// free reports whether nobody has got i, or is getting it. p.mu is held.
func (p *picker) free(i int) bool { return !p.done[i] && len(p.owed[i]) == 0 }

// got records that i is there. It reports false if it was before.
func (p *picker) got(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done[i] {
		return false
	}
	p.done[i] = true
	p.left--
	p.wake()
	return true
}

// drop records that src does not get i any more.
func (p *picker) drop(i int, src *pieceSource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, s := range p.owed[i] {
		if s == src {
			p.owed[i] = append(p.owed[i][:k], p.owed[i][k+1:]...)
			break
		}
	}
	p.wake()
}

// finished reports whether all pieces are there.
func (p *picker) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// allOwed reports whether no piece is free for a source that has them all.
func (p *picker) allOwed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.done {
		if p.free(i) {
			return false
		}
	}
	return p.left > endgame
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
