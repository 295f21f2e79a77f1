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
	// A source that is silent for silentFactor times as long as another one takes for a
	// whole piece, and at least for silence, is not waited for: TCP sends a lost packet
	// again after 200 ms, and once more after 400.
	silence      = 500 * time.Millisecond
	silentFactor = 2
	// firstSilence is that where no source that is idle has sent a piece yet.
	firstSilence = 300 * time.Millisecond
	// lookEvery is how often idle sources look whether a piece is overdue.
	lookEvery = 250 * time.Millisecond
)

// request is a piece requested from a source.
type request struct {
	piece  int
	source *source
	begun  time.Time    // guarded by picker.mu, as lost
	lost   error        // why another source's piece counts
	got    atomic.Int64 // bytes
	heard  atomic.Int64 // when it sent something, in ns since the picker began; 0: not asked yet
	picker *picker
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
	requests [][]*request     // open ones, by piece; at most one that is not late, and in the end two
	left     int              // pieces not done
	cursor   func() int       // the piece that the client reads next
	changed  broadcast.Signal // idle sources may look again
	begun    time.Time
	heard    atomic.Int64 // when something came from any source, in ns since then
}

// newPicker returns a picker of n pieces of which some are there.
func newPicker(n int, there func(int) bool, cursor func() int) *picker {
	p := &picker{done: make([]bool, n), requests: make([][]*request, n), cursor: cursor, begun: time.Now()}
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
	r := &request{piece: i, source: src, begun: time.Now(), picker: p}
	r.ctx, r.cancel = context.WithCancel(ctx)
	p.requests[i] = append(p.requests[i], r)
	return r, nil
}

// now is the time since p began, in nanoseconds, and never 0.
func (p *picker) now() int64 { return max(int64(time.Since(p.begun)), 1) }

// send says that r is sent to its source now: it has waited for room until then.
func (p *picker) send(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.begun = time.Now()
	r.heard.Store(p.now())
}

// hear notes that n bytes came for r.
func (r *request) hear(n int) {
	r.got.Add(int64(n))
	now := r.picker.now()
	r.heard.Store(now)
	r.picker.heard.Store(now)
}

// choose returns the best piece for src, -1 for none. p.mu is held.
func (p *picker) choose(src *source, all []*source) int {
	begin := min(p.cursor(), len(p.done))
	if src.isNew(all) {
		if i := p.last(begin, src, all); i >= 0 {
			return i
		}
		return p.takeover(src)
	}
	for i := begin; i < min(begin+window, len(p.done)); i++ {
		if src.has(i) && (p.free(i) || p.overdue(i, src)) {
			return i
		}
	}
	if i := p.rarest(src, all); i >= 0 {
		return i
	}
	if i := p.takeover(src); i >= 0 || p.left > endgame {
		return i
	}
	for i, open := range p.requests {
		if len(open) == 1 && !p.done[i] && open[0].source != src && src.has(i) {
			return i
		}
	}
	return -1
}

// takeover returns a piece that src has and that is overdue, -1 for none. p.mu is held.
func (p *picker) takeover(src *source) int {
	for i := range p.requests {
		if src.has(i) && p.overdue(i, src) {
			return i
		}
	}
	return -1
}

// last returns the last free piece that src has, for a source that has yet to show how
// fast it is; -1 for none, and when half of the missing ones have been asked of such
// sources: what the client needs next is not. p.mu is held.
func (p *picker) last(begin int, src *source, all []*source) int {
	asked := 0
	for _, r := range slices.Concat(p.requests...) {
		if r.source.isNew(all) {
			asked++
		}
	}
	for i := len(p.done) - 1; i >= begin && asked < p.left/2; i-- {
		if p.free(i) && src.has(i) {
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

// overdue reports whether all sources that were asked for i, src not among them, are
// silent, or have taken much longer than src would. p.mu is held.
func (p *picker) overdue(i int, src *source) bool {
	open := p.requests[i]
	return len(open) > 0 && !p.done[i] && !slices.ContainsFunc(open, func(r *request) bool {
		return r.source == src || r.isLate(src.usual()) == nil
	})
}

// isLate returns ErrSilent if r's source has sent nothing for so long that another one
// is to be asked, which usually takes so long for a piece, ErrOvertaken if it is much
// slower, and nil otherwise. A usual of 0 is not known. p.mu is held.
func (r *request) isLate(usual time.Duration) error {
	heard := r.heard.Load()
	if heard == 0 {
		return nil
	}
	limit := max(silentFactor*usual, silence)
	if usual == 0 {
		limit = firstSilence
	}
	age := time.Since(r.begun)
	takes := age.Seconds() * peer.PieceSize / float64(max(r.got.Load(), 1))
	switch {
	case time.Duration(r.picker.now()-heard) > limit:
		return ErrSilent
	case usual > 0 && age >= judgeAfter && takes > max(slowFactor*usual, enough).Seconds():
		return ErrOvertaken
	}
	return nil
}

// hopeless reports whether a piece is missing that no active source sends in time, while
// only the hypothesis in force keeps one of all from being asked for it.
func (p *picker) hopeless(active, standby []*source, m *Manifests) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var usual time.Duration // the fastest one's
	for _, s := range active {
		if took := s.usual(); usual == 0 || took > 0 && took < usual {
			usual = took
		}
	}
	for i := range p.done {
		if p.done[i] || slices.ContainsFunc(active, func(s *source) bool { return s.has(i) && !p.late(i, s, usual) }) {
			continue
		}
		for _, s := range slices.Concat(active, standby) {
			if s.holds(i) && m.inTheWay(s.witness, i) {
				return true
			}
		}
	}
	return false
}

// late reports whether s was asked for i and is late. p.mu is held.
func (p *picker) late(i int, s *source, usual time.Duration) bool {
	return slices.ContainsFunc(p.requests[i], func(r *request) bool { return r.source == s && r.isLate(usual) != nil })
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
	for _, r := range p.requests[i] {
		if r.source != src {
			r.lost = r.isLate(src.usual())
		}
		r.cancel()
	}
	p.changed.Fire()
	return true
}

// reopen records that i, which was there, is missing again.
func (p *picker) reopen(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done[i] {
		p.done[i] = false
		p.left++
	}
	p.changed.Fire()
}

// end ends a request, successful or not. It returns why another source's piece counts
// if that is this one's fault.
func (p *picker) end(r *request) (lost error) {
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
