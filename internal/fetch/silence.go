package fetch

import (
	"context"
	"math"
	"time"

	"millpond/internal/fetch/pieces"
	"millpond/internal/ledger"
	"millpond/internal/peer"
)

// waiting is for how long the peers of a race together have kept the client waiting.
type waiting struct {
	lost time.Duration // without a byte, less what the bytes that came are worth
	seen time.Time     // until when that is counted
	had  int64         // bytes of the flight, by then
	next time.Duration // after seen, the race was to look again
}

// silent is since when a source is.
type silent struct {
	got    int64 // bytes of its own
	others int64 // of the flight
}

// account counts the time since the last call in which every source was waited for and
// none sent anything; but not if the race looks later than it meant to. What comes buys
// it back, at the rate that is enough: neither a byte now and then makes a peer a fast
// one, nor is a large file held to one second.
func (r *race) account(now time.Time) {
	w := &r.waiting
	passed, got := min(now.Sub(w.seen), w.next), r.d.fl.received.Load()
	if got > w.had {
		w.lost -= min(w.lost, time.Duration(float64(got-w.had)/enough*float64(time.Second)))
		passed = 0
	}
	for _, e := range r.running {
		if e.isMirror() {
			passed = 0
		}
		passed = min(passed, e.gauge.read().silent)
	}
	if len(r.running) > 0 {
		w.lost += passed
	}
	w.seen, w.had = now, got
}

// limit is how long the peers may keep the client waiting: a second, or as long as one
// usually takes that is being waited for.
func (r *race) limit() time.Duration {
	limit := maxSilence
	for _, e := range r.running {
		limit = max(limit, e.turn)
	}
	return limit
}

// isOverdue reports whether the peers have kept the client waiting for too long, or
// leave another one no time: the mirror is next.
func (r *race) isOverdue() bool {
	return r.waiting.lost+lookEvery/2 >= r.limit()+r.d.fl.f.lateness()
}

// wait sets how long e is waited for, as the lead or beside others that are silent.
func (r *race) wait(e *runner) {
	p := r.d.patienceWith(e.source, r.candidates.mirrors)
	e.patience, e.turn = p.own, p.own
	if e.beside || r.hurried || r.d.fl.fromMirror.Load() { // or others wait for this box
		e.turn = p.prompt
	}
	if left := r.limit() - r.waiting.lost; left > 0 && (e.beside || e.turn <= maxSilence) {
		e.turn = min(e.turn, left)
	}
}

// isPast reports whether e has been silent for so long that the next source is asked.
// An owner is not waited for any more once the flight is to do without.
func (r *race) isPast(e *runner, late time.Duration) bool {
	at := e.gauge.read()
	p, ok := e.source.(*peerSource)
	return ok && (at.silent >= at.patience(e.turn)+late || p.kind == owner && at.got == 0 && r.d.fl.fromMirror.Load())
}

// isSilent reports whether the lead is a peer that is silent, and no mirror is asked
// beside it; all says that those beside it are silent as well.
func (r *race) isSilent() (lead, all bool) {
	if len(r.running) == 0 {
		return false, false
	}
	late := r.d.fl.f.lateness()
	lead, all = r.isPast(r.running[0], late), true
	for _, e := range r.running {
		lead = lead && !e.isMirror()
		all = all && r.isPast(e, late)
	}
	return lead, all
}

// until is when to look again.
func (r *race) until() time.Duration {
	late, next := r.d.fl.f.lateness(), lookEvery
	for _, e := range r.running {
		at := e.gauge.read()
		if left := at.patience(e.turn) + late - at.silent; left > 0 && !e.isMirror() {
			next = min(next, left)
		}
	}
	if lead, all := r.isSilent(); lead && all && r.isTooSoon() {
		next = min(next, holderUnknown+late-r.waiting.lost)
	}
	return max(next, time.Millisecond)
}

// askBeside asks one more source, as those that were asked are silent. Where there are
// too many, the one that has been silent for the longest time gives its place up.
func (r *race) askBeside(ctx context.Context, now time.Time) {
	s := r.afterSilence(ctx, now)
	switch {
	case s == nil:
	case r.d.solo || len(r.running) > maxRivals: // in a solo attempt, none may write beside the lead
		r.giveUp(r.running[0])
	case r.active > maxRivals: // until one that was told to stop has
	default:
		late := r.d.fl.f.lateness()
		r.waiting.lost -= min(r.waiting.lost, late) // which is none of the peers' fault
		r.start(ctx, s, true)
	}
}

// afterSilence returns the source that is asked next, where those that were are silent;
// nil for none. Those that hold the file come first: they cost the mirror nothing. Next
// are those that are to get it for the site, one of them and not each box; then, and as
// soon as the peers have had their time, the mirror; and last the peers that turned out
// slow lately.
func (r *race) afterSilence(ctx context.Context, now time.Time) source {
	const holders, relays, mirrors, rest = 0, 1, 2, 3
	var first [rest + 1]source
	for s := range r.d.sources(ctx, r.candidates) {
		t := r.d.tallyOf(s)
		isMirror := s.Origin() == ledger.FromMirror
		if t.out || t.failures > r.nth && !isMirror || r.d.isBusy(s) || r.isAsked(s, now) {
			continue
		}
		rank := rest
		switch {
		case isMirror:
			rank = mirrors
		case r.d.fl.f.paces.slow(s.Record()):
		case verified(s):
			rank = holders
		default:
			rank = relays
		}
		if first[rank] == nil {
			first[rank] = s
		}
	}
	order := []int{holders, relays, mirrors, rest}
	switch {
	case r.isOverdue():
		order = []int{mirrors, holders, relays, rest}
	case r.isTooSoon():
		order = order[:1]
	}
	for _, rank := range order {
		if first[rank] != nil {
			return first[rank]
		}
	}
	return nil
}

// patienceWithAll is for how long sources of pieces may be silent together: as long as
// the one that has the longest time. A mirror among them has as long as it needs.
func (d *download) patienceWithAll(all []*pieceSource, mirrors []mirrorSource) time.Duration {
	longest := time.Duration(0)
	for _, s := range all {
		p := d.patienceWith(s.source, mirrors)
		if p.own == 0 {
			return math.MaxInt64
		}
		longest = max(longest, p.own)
	}
	return longest + d.fl.f.lateness()
}

// wereSilent notes sources of pieces that were silent together, and for how long. They
// are asked after the others.
func (d *download) wereSilent(all []pieces.Source, lost time.Duration) {
	for _, s := range all {
		t := sourceOf(s).tally
		t.failures = max(t.failures, 1)
		if t.silent == nil {
			t.silent = &silent{others: d.fl.received.Load()}
		}
	}
	d.lost += lost
}

// isTooSoon reports whether a packet may just be lost: that costs the mirror nothing.
func (r *race) isTooSoon() bool {
	return r.waiting.lost < holderUnknown+r.d.fl.f.lateness() && !r.d.fl.fromMirror.Load()
}

// noteSilent notes which peers have been silent for longer than they ever should.
func (r *race) noteSilent() {
	late := r.d.fl.f.lateness()
	for _, e := range r.running {
		if at := e.gauge.read(); at.silent < at.patience(e.patience)+late {
			e.tally.silent = nil
		} else if !e.isMirror() && (e.tally.silent == nil || e.tally.silent.got != at.got) {
			e.tally.silent = &silent{at.got, r.d.fl.received.Load()}
		}
	}
	r.d.reportSilent()
}

// reportSilent reports each peer that was silent while another source sent what was
// asked for: once for a flight. While nobody sends anything, the mirror may be away or
// the line slow.
func (d *download) reportSilent() {
	for _, t := range d.tallies {
		if t.silent != nil && !t.stalled && d.fl.received.Load() > t.silent.others {
			t.stalled = true
			d.fl.log.Info("peer silent, while another source was not", "source", t.source.String())
			t.source.Report(peer.Outcome{Fault: peer.Stalled, Why: "sent nothing for a while, in which another source did"})
		}
	}
}
