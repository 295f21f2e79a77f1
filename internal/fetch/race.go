package fetch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// errOutpaced says that a source was set aside for a faster one.
var errOutpaced = errors.New("another source is much faster")

const (
	// enough is how many bytes a second are never too few, however fast others are:
	// a machine installs packages about as fast, and the mirror's bytes are the
	// expensive ones.
	enough = 1e6
	// slowFactor times as long as another source would take is too long.
	slowFactor = 4
	// lookEvery is how often a flight looks at the pace of its sources.
	lookEvery = 100 * time.Millisecond
	// rivalEvery is how long a flight waits before it asks one more source beside a
	// slow one, and maxRivals how many it has at once.
	rivalEvery = time.Second
	maxRivals  = 3 // beside silent ones, too
	// raceBytes decide which of two sources is the faster: TCP's first windows come
	// at once from either.
	raceBytes = 64 << 10
	// rest is how long a source that lost is not asked again beside another.
	rest = 5 * time.Second
	// unknownLeft is assumed to be left of a file of unknown size, in bytes.
	unknownLeft = 1 << 20
)

// How long a source may take before its pace is judged.
const (
	seedGrace   = 500 * time.Millisecond  // with what its first rival takes, a second
	mirrorGrace = 2 * time.Second         // two lost packets, sent again after 1 s at most
	relayGrace  = 2500 * time.Millisecond // of a peer that itself downloads: timeouts.learnGrace, and a round trip to its mirror
)

// race asks the sources of a file once, until one has sent all that is missing: one
// after the other, each going on where the last one stopped. While the one that sends
// is silent, or much slower than another one is expected to be, that one is asked beside
// it. Both write into the part, which keeps of each byte the first that comes. The
// faster stays, and the other is set aside. It belongs to the flight's goroutine, but
// for the gauges.
type race struct {
	d          *download
	part       *store.Partial
	candidates candidates
	nth        int

	running []*runner            // the lead, then its rivals
	active  int                  // those, and the ones that were told to stop and have not yet
	over    chan struct{}        // closed when the race is
	ended   chan *runner         // each once
	workers sync.WaitGroup       // their goroutines
	asked   map[string]bool      // in this round, or not to be
	resting map[string]time.Time // lost to another one then
	waiting waiting
	hurried bool // peers were silent or too slow before it
	round   round
	answer  error // the most telling failure
}

// runner is a source that is sending, or about to.
type runner struct {
	source source
	tally  *tally
	cancel context.CancelCauseFunc
	begun  time.Time
	grace  time.Duration
	beside bool // it was asked because those before it were silent

	patience time.Duration // a peer's: when it counts as silent
	turn     time.Duration // and when the next one is asked beside it

	gauge gauge // of what was missing when it was asked

	// Its pace in the last period of grace.
	judged bool
	rate   float64 // bytes a second
	all    float64 // bytes a second of all flights
	// At the beginning of the present one.
	mark    time.Time
	showed  reading
	loadHad int64 // bytes of all flights

	leadHad int64 // a rival's: what the lead had got when it began
	lost    bool  // it was told to stop
	spare   bool  // as it was not needed after all
	err     error
}

// askAll asks each source for what is missing, until one has sent it all.
func (d *download) askAll(ctx context.Context, part *store.Partial, c candidates, nth int) (round, error) {
	r := &race{
		d: d, part: part, candidates: c, nth: nth,
		over: make(chan struct{}), ended: make(chan *runner),
		asked: make(map[string]bool), resting: make(map[string]time.Time), hurried: d.lost > 0,
	}
	r.waiting = waiting{lost: d.lost, seen: time.Now(), had: d.fl.received.Load()}
	d.lost = 0
	ctx, stop := context.WithCancel(ctx)
	result, err := r.run(ctx)
	stop()
	close(r.over)
	r.workers.Wait()
	if errors.Is(err, errSoleSource) {
		err = cmp.Or(part.Discard(), err)
	}
	return result, err
}

func (r *race) run(ctx context.Context) (round, error) {
	tick := time.NewTimer(lookEvery)
	defer tick.Stop()
	for {
		if r.active == 0 {
			s := r.next(ctx)
			if s == nil {
				return r.round, r.answer
			}
			r.start(ctx, s, false)
		}
		r.waiting.next = r.until()
		tick.Reset(r.waiting.next)
		select {
		case e := <-r.ended:
			r.noteSilent()
			if over, err := r.finish(ctx, e); over {
				return round{done: true}, err
			}
		case <-tick.C:
		case <-r.d.fl.widened:
			r.widen()
		}
		r.look(ctx)
	}
}

// widen notes what there is to ask now.
func (r *race) widen() {
	r.candidates.mirrors = r.d.fl.mirrors()
	if r.d.fl.fromMirror.Load() {
		r.candidates.peers = slices.DeleteFunc(r.candidates.peers, func(p *peerSource) bool { return p.kind == owner })
	}
}

// next returns the source that is asked next, where none is sending; nil for none.
func (r *race) next(ctx context.Context) source {
	d := r.d
	for s := range d.sources(ctx, r.candidates) {
		t := d.tallyOf(s)
		switch {
		case r.asked[s.String()], t.out, d.isBusy(s):
			continue
		case d.solo && d.othersUsed(s):
			r.asked[s.String()] = true
			r.round.restricted++
			continue
		case s.Origin() == ledger.FromPeer && (r.isOverdue() || t.failures > r.nth):
			r.asked[s.String()] = true
			r.round.later++
			continue
		}
		return s
	}
	return nil
}

// start asks s, beside those that are silent if it says so.
func (r *race) start(ctx context.Context, s source, beside bool) {
	d, now := r.d, time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	e := &runner{source: r.hasten(s, beside), tally: d.tallyOf(s), cancel: cancel, begun: now, mark: now, beside: beside, loadHad: d.fl.f.load.bytes.Load()}
	r.account(now)
	r.wait(e)
	e.grace = max(graceOf(s), e.patience)
	if len(r.running) > 0 {
		e.leadHad = r.running[0].gauge.read().got
	}
	r.running = append(r.running, e)
	r.active++
	r.asked[s.String()] = true
	delete(r.resting, s.String())
	r.round.asked++
	d.fl.f.load.streams.Add(1)
	d.fl.log.Debug("source asked", "source", s.String(), "beside", beside, "lost", r.waiting.lost)
	r.workers.Go(func() {
		defer cancel(nil)
		e.err = d.stream(ctx, r.part, e)
		d.fl.f.load.streams.Add(-1)
		select {
		case r.ended <- e:
		case <-r.over:
		}
	})
}

// hasten returns s as it is asked: an owner that is asked after others were silent is to
// ask the mirror, and wait for nobody either.
func (r *race) hasten(s source, beside bool) source {
	p, ok := s.(*peerSource)
	if !ok || p.kind != owner || !beside && !r.hurried {
		return r.d.hasten(s, r.candidates, r.nth)
	}
	hurried := *p
	hurried.fetch = peer.FetchFromMirror
	return &hurried
}

// graceOf is how long s may take before its pace is judged.
func graceOf(s source) time.Duration {
	switch {
	case s.Origin() == ledger.FromMirror:
		return mirrorGrace
	case verified(s):
		return seedGrace
	}
	return relayGrace
}

// finish notes how e ended, and reports whether the race is over.
func (r *race) finish(ctx context.Context, e *runner) (over bool, err error) {
	d := r.d
	r.active--
	r.remove(e)
	switch {
	case e.err == nil: // all is there
		for _, o := range r.running {
			if o.begun.Before(e.begun) && !e.beside { // e was asked because it is slow
				d.setAside(o.source, o.tally, o.overall())
			}
		}
		return true, nil
	case ctx.Err() != nil: // it may have lost just before
		return true, context.Cause(ctx)
	case store.Unkept(e.err):
		return true, e.err
	case e.lost && d.solo && d.fl.senders()[e.source.String()] > 0:
		return true, errSoleSource
	case e.spare:
		delete(r.asked, e.source.String())
		return false, nil
	case e.lost:
		r.resting[e.source.String()] = time.Now()
		r.round.again = true
		return false, nil
	case errors.Is(e.err, errWrongSize) && d.fl.entry.Size < 0 && !d.solo && r.part.Available(0) > 0:
		// Another one has said how long the file is, and which of them is right is not
		// known.
		d.solo = true
		return true, errSoleSource
	}
	if at := e.gauge.read(); errors.Is(e.err, peer.ErrStalled) && e.tally.silent == nil && at.silent >= at.patience(e.patience) {
		e.tally.silent = &silent{at.got, d.fl.received.Load()}
	}
	d.failed(e.source, e.tally, e.err, e.gauge.read().got)
	r.round.again = r.round.again || !e.tally.out
	r.answer = moreTelling(r.answer, toldOf(e.source, e.err))
	return false, nil
}

// setAside notes that another source is much faster than s, which sent so many bytes a
// second.
func (d *download) setAside(s source, t *tally, rate float64) {
	d.fl.log.Info("source set aside, as another is much faster", "source", s.String(), "rate", int64(rate))
	d.fl.f.paces.setAside(s.Record(), rate)
	t.failures++
	s.Report(peer.Outcome{Fault: peer.Slow, Why: errOutpaced.Error()})
}

// overall is how many bytes a second e has sent in all.
func (e *runner) overall() float64 {
	at := e.gauge.read()
	return float64(at.got) / max(at.waited, time.Millisecond).Seconds()
}

// look decides between those that are sending, and asks one more if the lead is silent,
// or much slower than that one is expected to be.
func (r *race) look(ctx context.Context) {
	now := time.Now()
	for _, e := range r.running {
		e.judge(now, r.d.fl.f.load.bytes.Load(), r.d.fl.f.lateness())
	}
	r.account(now)
	r.noteSilent()
	r.decide(now)
	if len(r.running) == 0 {
		return
	}
	switch silent, all := r.isSilent(); {
	case silent && all:
		r.askBeside(ctx, now)
	case !silent:
		r.askFaster(ctx, now)
	}
}

// lead makes e the one that the others are compared with from now on.
func (r *race) lead(e *runner) {
	i := slices.Index(r.running, e)
	r.running = slices.Insert(slices.Delete(r.running, i, i+1), 0, e)
	for _, o := range r.running[1:] {
		o.leadHad = e.gauge.read().got - o.gauge.read().got
	}
}

// lose tells e to stop; slow says that it is much slower than another one.
func (r *race) lose(e *runner, slow bool) {
	r.stop(e)
	switch {
	case e.tally.silent != nil:
		e.tally.failures++
	case slow:
		r.d.setAside(e.source, e.tally, e.overall())
	}
}

// giveUp tells e to stop, which has been silent for too long.
func (r *race) giveUp(e *runner) {
	r.stop(e)
	e.tally.failures++
}

// stop tells e to stop.
func (r *race) stop(e *runner) {
	e.lost = true
	r.d.fl.log.Debug("source left for another", "source", e.source.String(), "got", e.gauge.read().got)
	e.cancel(errOutpaced)
	r.remove(e)
}

// remove takes e out of those that are sending; after the lead, the first rival leads.
func (r *race) remove(e *runner) {
	led := len(r.running) > 0 && r.running[0] == e
	r.running = slices.DeleteFunc(r.running, func(o *runner) bool { return o == e })
	if led && len(r.running) > 0 {
		r.lead(r.running[0])
	}
}

// isAsked reports whether s, or another name of the file at the same host, is being
// asked, or s has been and is not to be asked again yet.
func (r *race) isAsked(s source, now time.Time) bool {
	if slices.ContainsFunc(r.running, func(e *runner) bool { return e.source.Record() == s.Record() }) {
		return true
	}
	lost, ok := r.resting[s.String()]
	return r.asked[s.String()] && (!ok || now.Sub(lost) < rest)
}

func (e *runner) isMirror() bool { return e.source.Origin() == ledger.FromMirror }
