package fetch

import (
	"context"
	"slices"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/store"
)

// askFaster asks one more source, if the lead is much slower than that one is expected
// to be.
func (r *race) askFaster(ctx context.Context, now time.Time) {
	lead := r.running[0]
	if r.active > maxRivals || now.Sub(r.d.rival) < rivalEvery || !r.isSlow(lead) {
		return
	}
	s := r.better(ctx, lead, now)
	switch {
	case s == nil:
	case r.d.solo: // it may not write beside the lead
		r.lose(lead, true)
	default:
		r.d.rival = now
		r.start(ctx, s, false)
	}
}

// judge measures e's pace from its first byte on, once for each period of grace: before
// it, e is silent. A box that is late itself takes longer to judge.
func (e *runner) judge(now time.Time, all int64, late time.Duration) {
	at := e.gauge.read()
	if at.got == 0 {
		e.mark, e.showed, e.loadHad = now, at, all
		return
	}
	period := at.waited - e.showed.waited
	if period < e.grace+late {
		return
	}
	e.judged, e.rate = true, float64(at.got-e.showed.got)/period.Seconds()
	e.all = float64(all-e.loadHad) / now.Sub(e.mark).Seconds()
	e.mark, e.showed, e.loadHad = now, at, all
}

// decide ends the slower one of the lead and each rival. A rival that has sent
// nothing yet may still be the faster, as long as the lead is slow. One that was asked
// because the lead was silent may have begun too late to say that it is slow, and so may
// the lead. Of those two it is the lead unless the other one is twice as fast: all boxes
// of a site ask in the same order, and so they choose the same one.
func (r *race) decide(now time.Time) {
	for _, e := range slices.Clone(r.running) {
		lead := r.running[0]
		if e == lead {
			continue
		}
		mine, its := e.gauge.read().got, lead.gauge.read().got-e.leadHad
		switch {
		case mine == 0:
			if its >= raceBytes && !r.isOutpaced(lead, r.d.fl.f.expected(e.source)) {
				e.spare = true
				r.stop(e)
			}
		case max(mine, its) < raceBytes && now.Sub(e.begun) < e.grace:
		case mine <= its || e.beside && mine <= 2*its:
			r.lose(e, mine < its/slowFactor && !e.beside)
		default:
			r.lose(lead, !e.beside || its < mine/slowFactor && lead.isDue(now, r.d.fl.f.lateness()))
			r.lead(e)
		}
	}
}

// isDue reports whether e has had the time that it may be silent for.
func (e *runner) isDue(now time.Time, late time.Duration) bool {
	return now.Sub(e.begun) >= e.patience+late
}

// better returns a source that is expected to be much faster than the lead, which sends
// too slowly; nil for none. Where the lead is a peer, it is a mirror before another peer.
func (r *race) better(ctx context.Context, lead *runner, now time.Time) (best source) {
	d := r.d
	for s := range d.sources(ctx, r.candidates) {
		if d.tallyOf(s).out || d.isBusy(s) || r.isAsked(s, now) || !r.isOutpaced(lead, d.fl.f.expected(s)) {
			continue
		}
		if s.Origin() != ledger.FromPeer || lead.source.Origin() != ledger.FromPeer {
			return s
		}
		if best == nil {
			best = s
		}
	}
	return best
}

// isSlow reports whether e is slower than any source may be beside others.
func (r *race) isSlow(e *runner) bool {
	return e.gauge.read().silent >= e.grace+r.d.fl.f.lateness() || e.judged && e.rate < enough
}

// isOutpaced reports whether e is much slower than a source of that pace is expected to
// be.
func (r *race) isOutpaced(e *runner, other pace) bool {
	if e.gauge.read().silent >= max(e.grace, slowFactor*other.first)+r.d.fl.f.lateness() {
		return true
	}
	return e.judged && e.rate > 0 && r.d.fl.f.isOutpaced(e.rate, e.all, left(r.part), other)
}

// left is how many bytes are missing in part.
func left(part *store.Partial) (n int64) {
	for _, hole := range part.Missing() {
		if hole.End < 0 {
			return unknownLeft
		}
		n += hole.End - hole.Off
	}
	return n
}
