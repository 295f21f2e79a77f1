package release

import (
	"errors"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

var (
	// errOlder says that a Release is older than the one in force.
	errOlder = errors.New("the mirror's Release is older than the held one")
	// errUnsigned says that a Release has no good signature, and the one in force
	// has.
	errUnsigned = errors.New("the mirror's Release has no good signature, and the held one has")
	// errForeign says that a Release is of another suite or archive than the one in
	// force.
	errForeign = errors.New("the mirror's Release is of another suite than the held one")
)

// worse returns why the Release now does not replace held, the one in force of the
// suite in dir, or nil if it does: a mirror that has not been updated lately sends an
// older one, and whoever is between it and the box may send any that was ever signed.
// apt compares Date, Origin, Label and Codename as well, with the lists that it has.
func worse(dir catalog.Location, held, now catalog.Generation) error {
	proved := held.Proved()
	foreign := held.Foreign(dir, now)
	switch {
	case proved && !now.Proved():
		return fmt.Errorf("%w: %s", errUnsigned, now.Why)
	case proved && foreign != "":
		return fmt.Errorf("%w: it has %s", errForeign, foreign)
	case proved && now.Names(dir) && !held.Names(dir):
		return nil // the held one is the foreign one: it came when there was none to compare it with
	case !usable(held) && usable(now), !proved && now.Proved():
		return nil
	case now.Date.Before(held.Date):
		return fmt.Errorf("%w: %s instead of %s", errOlder, now.Date.Format(time.RFC3339), held.Date.Format(time.RFC3339))
	}
	return nil
}

// maxFuture is by how much a Release's Date may be ahead of the clock: archives have
// clocks of their own. apt allows 10 s (Acquire::Max-FutureTime) and then refuses the
// Release until its time has come.
const maxFuture = time.Hour

// usable reports whether apt takes g today, by its dates.
func usable(g catalog.Generation) bool { return !expired(g) && time.Until(g.Date) < maxFuture }

func expired(g catalog.Generation) bool {
	return !g.ValidUntil.IsZero() && g.ValidUntil.Before(time.Now())
}

// compare returns why o is worse than what is in force of the suite, a *rejection,
// unless an administrator has accepted it.
func (p *poll) compare(o *offer) error {
	if o.checked == nil || p.c.isAccepted(p.e.Suite, o.checked.Generation.ID) {
		return nil
	}
	now := o.checked.Generation
	for _, held := range p.c.inForce(p.e, &p.k.suite, now) {
		if !held.Proved() && !p.several {
			continue // nothing says that it is better than what the archive itself has now
		}
		if err := worse(p.e.Suite, held, now); err != nil {
			if !held.Proved() && p.worse == nil {
				p.worse = o
			}
			return &rejection{now, o.decisive.Mirror, err}
		}
	}
	return nil
}

// inForce returns what a new Release, now, has to be as good as: the held generation
// of e's suite in e's form, and the one that the catalog has, which may have come in
// the other form. That one is the same if it has the same text.
func (c *Cache) inForce(e Request, s *suite, now catalog.Generation) []catalog.Generation {
	var all []catalog.Generation
	if g, ok := c.held(e, s); ok {
		all = append(all, g)
	}
	g, ok := c.catalog.Generation(e.Suite, digest.Digest{})
	if ok && g.Private == (e.Login != "") && g.Text != now.Text {
		all = append(all, g)
	}
	return all
}

// held returns the held generation of e's suite in e's form.
func (c *Cache) held(e Request, s *suite) (g catalog.Generation, ok bool) {
	d := s.form(e.Location.Name()).Digest
	if d.IsZero() {
		return catalog.Generation{}, false
	}
	return c.catalog.Generation(e.Suite, d)
}

// outcome is how a check at one mirror failed, the most telling one first.
type outcome uint8

const (
	incomplete outcome = iota // there is something newer, but not its indices
	older
	foreign
	unsigned
	absent     // the mirror has no Release, or refuses it
	noRelease  // its answer is something else
	unanswered // it gave no answer
)

func outcomeOf(err error) outcome {
	switch {
	case errors.Is(err, errNotYet):
		return incomplete
	case errors.Is(err, errOlder):
		return older
	case errors.Is(err, errForeign):
		return foreign
	case errors.Is(err, errUnsigned):
		return unsigned
	case errors.Is(err, ErrNotRelease):
		return noRelease
	case !mirror.IsUnreachable(err):
		return absent
	}
	return unanswered
}

// keepsHeld reports whether err says that what is held is better than what the
// mirror has.
func keepsHeld(err error) bool { return outcomeOf(err) <= unsigned }
