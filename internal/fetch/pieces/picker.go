package pieces

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/peer"
)

const (
	// window is how many pieces past the client's position are taken in
	// order, before the rarest.
	window = 8
	// endgame is how few pieces may be left for one of them to be asked of a
	// second source as well.
	endgame = 3
	// slowFactor times as long as another source takes for a piece is too long, unless
	// it is less than enough: a megabyte a second, however fast others are. By judgeAfter
	// a source has shown how fast it is.
	slowFactor = 4
	enough     = peer.PieceSize * time.Second / 1e6
	judgeAfter = time.Second
)

// request is a piece requested from a source.
type request struct {
	piece  int
	source *source
	begun  time.Time
	got    atomic.Int64    // bytes
	lost   bool            // another source was much faster; guarded by picker.mu
	ctx    context.Context // its own: over when the piece is there
	cancel context.CancelFunc
}

// picker decides which piece a source is asked for next: those that the
// client needs soon, in order, though another source has been asked for one if that
// is slow; then the rarest, so that boxes downloading the same file get different
// pieces and have something for each other; and in the end those that slow sources
// have not sent yet.
type picker struct {
	mu       sync.Mutex // guards what follows
	done     []bool
	requests [][]*request     // open ones, by piece; at most two each
	left     int              // pieces not done
	cursor   func() int       // the piece that the client reads next
	changed  broadcast.Signal // idle sources may look again
}

// newPicker returns a picker of n pieces of which some are there.
func newPicker(n int, there func(int) bool, cursor func() int) *picker {
	p := &picker{done: make([]bool, n), requests: make([][]*request, n), cursor: cursor}
	for i := range p.done {
		if p.done[i] = there(i); !p.done[i] {
			p.left++
		}
	}
	return p
}

// pick returns a piece for src, one of all, to get; or nil and a channel that
// is closed when it may look again. The caller must end the request.
func (p *picker) pick(ctx context.Context, src *source, all []*source) (*request, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.choose(src, all)
	if i < 0 || p.working(src) && p.reserved(i, all) {
		return nil, p.changed.Wait()
	}
	r := &request{piece: i, source: src, begun: time.Now()}
	r.ctx, r.cancel = context.WithCancel(ctx)
	p.requests[i] = append(p.requests[i], r)
	return r, nil
}

// choose returns the best piece for src, -1 for none. p.mu is held.
func (p *picker) choose(src *source, all []*source) int {
	begin := min(p.cursor(), len(p.done))
	for i := begin; i < min(begin+window, len(p.done)); i++ {
		if src.has(i) && (p.free(i) || p.overdue(i, src)) {
			return i
		}
	}
	if i := p.rarest(src, all); i >= 0 {
		return i
	}
	if p.left > endgame {
		return -1
	}
	for i, open := range p.requests {
		if len(open) == 1 && !p.done[i] && open[0].source != src && src.has(i) {
			return i
		}
	}
	return -1
}

// rarest returns the free piece that src and the fewest others have, -1 for
// none; among equals any, so that boxes do not all choose alike. p.mu is held.
func (p *picker) rarest(src *source, all []*source) int {
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

// overdue reports whether the one source that was asked for i has taken much longer
// than src would. p.mu is held.
func (p *picker) overdue(i int, src *source) bool {
	open, usual := p.requests[i], time.Duration(src.took.Load())
	return len(open) == 1 && !p.done[i] && open[0].source != src && usual > 0 && open[0].isSlow(usual)
}

// isSlow reports whether r takes much longer than another source, which usually takes
// so long.
func (r *request) isSlow(usual time.Duration) bool {
	age := time.Since(r.begun)
	takes := age.Seconds() * peer.PieceSize / float64(max(r.got.Load(), 1))
	return age >= judgeAfter && takes > max(slowFactor*usual, enough).Seconds()
}

// working reports whether src has an open request. p.mu is held.
func (p *picker) working(src *source) bool {
	return slices.ContainsFunc(p.requests, func(open []*request) bool {
		return slices.ContainsFunc(open, func(r *request) bool { return r.source == src })
	})
}

// reserved reports whether there are no more free pieces than idle sources
// that could give i: a source with an open request leaves them the last ones.
// p.mu is held.
func (p *picker) reserved(i int, all []*source) bool {
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
		if s.has(i) && !p.working(s) {
			idle++
		}
	}
	return idle >= free
}

// free reports whether i is missing and not requested. p.mu is held.
func (p *picker) free(i int) bool { return !p.done[i] && len(p.requests[i]) == 0 }

// got records that i is there, from src, and ends the requests for it. It reports
// false if it was there before.
func (p *picker) got(i int, src *source) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done[i] {
		return false
	}
	p.done[i] = true
	p.left--
	took := time.Duration(src.took.Load())
	for _, r := range p.requests[i] {
		r.lost = r.source != src && r.isSlow(took)
		r.cancel()
	}
	p.changed.Fire()
	return true
}

// end ends a request, successful or not, and reports whether another source was much
// faster.
func (p *picker) end(r *request) (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.cancel()
	p.requests[r.piece] = slices.DeleteFunc(p.requests[r.piece], func(other *request) bool { return other == r })
	p.changed.Fire()
	return r.lost
}

// finished reports whether all pieces are there.
func (p *picker) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// idle reports whether no request is open.
func (p *picker) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.requests, func(open []*request) bool { return len(open) > 0 })
}

// recheck wakes idle sources because one of them has more pieces. It takes the
// lock so that no pick that has looked already misses it.
func (p *picker) recheck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed.Fire()
}
