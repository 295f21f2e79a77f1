package rings

import (
	"slices"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// maxSteps bounds what a lane remembers of its past: with more, every second one of the
// steps before the last two is forgotten, so that rings that come after it get fewer of
// the generations, but none too early.
const maxSteps = 128

// step is a generation that a ring got.
type step struct {
	Generation digest.Digest
	Text       digest.Digest // of the Release, the same in both of its forms
	Date       time.Time     // of the Release
	ValidUntil time.Time     // zero: no end
	Since      time.Time     // when the ring got it
	Parent     time.Time     // when the ring before it had got it
}

func stepOf(g catalog.Generation, since, parent time.Time) step {
	return step{Generation: g.ID, Text: g.Text, Date: g.Date, ValidUntil: g.ValidUntil, Since: since, Parent: parent}
}

// same reports whether both are the same Release, in whichever form.
func (s step) same(o step) bool {
	return s.Generation == o.Generation || !s.Text.IsZero() && s.Text == o.Text
}

// lane is what a ring has of one suite.
type lane struct {
	Steps []step    // the present one last; never empty
	Held  bool      // gets nothing by itself
	Moved time.Time // when the present step was got, also by going back to it
	Used  time.Time // when a client was last given it

	warned   digest.Digest // the generation of which it was said that it expires
	prepared digest.Digest // the one whose indices were fetched
}

func (l *lane) present() step { return l.Steps[len(l.Steps)-1] }

// former is what a rollback leads to.
func (l *lane) former() (s step, ok bool) {
	if len(l.Steps) < 2 {
		return step{}, false
	}
	return l.Steps[len(l.Steps)-2], true
}

// add makes s the present step. The same Release again only renews what is known of the
// ring before.
func (l *lane) add(s step) (changed bool) {
	if p := &l.Steps[len(l.Steps)-1]; p.same(s) {
		changed = p.Parent != s.Parent
		p.Parent = s.Parent
		return changed
	}
	if last := l.present().Since; !s.Since.After(last) {
		s.Since = last.Add(time.Nanosecond) // the clock was set back
	}
	l.Steps, l.Moved = append(l.Steps, s), s.Since
	if len(l.Steps) > maxSteps {
		last := len(l.Steps) - 2
		thin := l.Steps[:0:0]
		for i, s := range l.Steps {
			if i >= last || i%2 == 0 {
				thin = append(thin, s)
			}
		}
		l.Steps = thin
	}
	return true
}

// clamp makes times in the future, as the clock had them before it was set back, the
// present time: a ring would wait for them.
func (l *lane) clamp(now time.Time) {
	for i := range l.Steps {
		for _, t := range []*time.Time{&l.Steps[i].Since, &l.Steps[i].Parent, &l.Moved} {
			if t.After(now) {
				*t = now
			}
		}
	}
}

// prune forgets the steps that nobody waits for: those that were superseded longer ago
// than since, but for the one before the present one.
func (l *lane) prune(since time.Time) (changed bool) {
	for len(l.Steps) > 2 && l.Steps[1].Since.Before(since) {
		l.Steps = slices.Delete(l.Steps, 0, 1)
		changed = true
	}
	return changed
}

// due returns what a ring gets from its parent, l: what that has had for the delay; and
// what it is to get next, and when. Neither has to be there.
func (l *lane) due(now time.Time, delay time.Duration) (due, next *step) {
	for i := range l.Steps {
		s := &l.Steps[i]
		if !s.Since.After(now.Add(-delay)) {
			due = s
		} else {
			return due, s
		}
	}
	return due, nil
}

// advance moves l to what is due from its parent, if that is newer there than what l
// has, and reports whether anything changed. A lane that is held stays.
func (l *lane) advance(parent *lane, now time.Time, delay time.Duration) (moved, changed bool) {
	due, _ := parent.due(now, delay)
	if due == nil || l.Held || !due.Since.After(l.present().Parent) {
		return false, false
	}
	before := l.present()
	s := *due
	s.Since, s.Parent = now, due.Since
	changed = l.add(s)
	return !before.same(s), changed
}

// promote moves l to the latest that its parent has, and ends a hold. It reports
// whether that is another generation.
func (l *lane) promote(parent *lane, now time.Time) (moved bool) {
	s := parent.present()
	s.Since, s.Parent = now, s.Since
	moved = !l.present().same(s)
	l.add(s)
	l.Held = false
	return moved
}

// rollBack moves l to the generation before the present one, which it forgets, so that
// rings that come after it do not get it either, and holds it there. ok is false if there
// is none.
func (l *lane) rollBack(now time.Time) (from step, ok bool) {
	if _, ok := l.former(); !ok {
		return step{}, false
	}
	from = l.present()
	l.Steps = l.Steps[:len(l.Steps)-1]
	l.Steps[len(l.Steps)-1].Parent = from.Parent
	l.Held, l.Moved = true, now
	return from, true
}
