package release

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// target is where a request is sent: to which mirror of the archive, with which
// login, whether another mirror can be asked instead, and whether what came last was
// rejected, so that caches on the way have to fetch the file again.
type target struct {
	login    mirror.Login
	mirror   string
	failover bool
	reload   bool
}

// request is q, sent to the target. Release files are small.
func (t target) request(q mirror.Request) mirror.Request {
	q.Login, q.Mirror, q.Failover, q.Small = t.login, t.mirror, t.failover, true
	return q
}

// offer is what a mirror has of a suite in one form.
type offer struct {
	checked   *catalog.CheckedRelease // nil: nothing new
	files     catalog.ReleaseFiles
	decisive  record // of InRelease or Release
	signature record // of Release.gpg
}

// poll is a check of one suite at the mirrors of its archive.
type poll struct {
	c       *Cache
	e       Request
	k       *check
	several bool

	failure    error    // the most telling one so far
	unanswered []string // mirrors that gave no answer
	fallback   *offer   // expired, or unsigned as what is held is: another mirror may have a better one
	worse      *offer   // than what is held, which nothing proves: it counts if the mirrors keep to it
}

// refresh brings the suite up to date in e's form. An archive's mirrors are asked
// in turn until one has what is at least as good as what is held.
func (c *Cache) refresh(ctx context.Context, e Request, k *check) error {
	mirrors := c.inTurn(e, k)
	p := poll{c: c, e: e, k: k, several: len(mirrors) > 1}
	for _, m := range mirrors {
		if done, err := p.ask(ctx, target{login: k.login, mirror: m, failover: p.several}); done {
			return err
		}
	}
	if p.fallback == nil && outcomeOf(p.failure) == unanswered {
		for _, m := range p.unanswered { // and wait for them
			if done, err := p.ask(ctx, target{login: k.login, mirror: m}); done {
				return err
			}
		}
	}
	switch {
	case p.fallback != nil:
		return c.take(ctx, e, k, *p.fallback)
	case p.worse != nil && outcomeOf(p.failure) == older && !k.suite.form(e.Location.Name()).Pending.wait():
		return c.take(ctx, e, k, *p.worse)
	}
	return p.failure
}

// ask asks a mirror. done says that there is no need to ask another one.
func (p *poll) ask(ctx context.Context, to target) (done bool, err error) {
	o, err := p.offer(ctx, to)
	switch {
	case err == nil && p.several && (p.expired(o) || o.checked != nil && !o.checked.Generation.Signed):
		if p.fallback == nil || p.expired(*p.fallback) && !p.expired(o) {
			p.fallback = &o
		}
		return false, nil
	case err == nil && o.checked == nil && (p.fallback != nil || outcomeOf(p.failure) == incomplete):
		return false, nil // another one has something newer
	case err == nil:
		err = p.c.take(ctx, p.e, p.k, o)
	}
	if err == nil || !p.several || ctx.Err() != nil {
		return true, err
	}
	p.failed(to.mirror, err)
	return false, nil
}

// offer is what a mirror has, with an error if that is rejected. It may have come from
// a cache, or from somebody on the way: what was not rejected before is asked for once
// more.
func (p *poll) offer(ctx context.Context, to target) (offer, error) {
	form := p.k.suite.form(p.e.Location.Name())
	o, err := p.c.offer(ctx, p.e, p.k, to)
	if err == nil {
		err = p.compare(&o)
	}
	var first, second *rejection
	if !errors.As(err, &first) || first.release.ID == form.Rejected.Digest {
		return o, err
	}
	to.reload = true
	again, why := p.c.offer(ctx, p.e, p.k, to)
	if why == nil {
		why = p.compare(&again)
	}
	switch {
	case why == nil:
		return again, nil
	case !errors.As(why, &second):
		return o, err
	case form.Sole && errors.Is(why, errForeign) && second.release.ID == first.release.ID && p.equals(second.release):
		again.decisive.Sole = true
		return again, nil // two answers against one
	}
	return again, why
}

// equals reports whether now says as much of its place as what is held does, so that
// nothing but what came first tells which of them is the foreign one.
func (p *poll) equals(now catalog.Generation) bool {
	held, _ := p.c.held(p.e, &p.k.suite)
	return now.Names(p.e.Suite) || !held.Names(p.e.Suite)
}

// failed notes why nothing is taken from a mirror.
func (p *poll) failed(from string, err error) {
	p.c.log.Info("mirror passed over for a suite", "suite", p.e.Suite.String(), "mirror", from, "err", err)
	o := outcomeOf(err)
	switch o {
	case unanswered:
		p.unanswered = append(p.unanswered, from)
	case foreign, unsigned, noRelease:
		p.c.access.Blame(p.e.decisive(), from, err)
	case older:
		p.c.noteBehind(p.e.Suite, from)
	}
	if p.failure == nil || o < outcomeOf(p.failure) {
		p.failure = err
	}
}

// expired reports whether what a mirror has is past its Valid-Until: that mirror may
// not be updated any more.
func (p *poll) expired(o offer) bool {
	if o.checked != nil {
		return expired(o.checked.Generation)
	}
	g, ok := p.c.held(p.e, &p.k.suite)
	return ok && expired(g)
}

// behindFor is how long a mirror is asked last for the Release of a suite after it
// sent an older one: it may take hours to be updated, and would send that each time.
const behindFor = 10 * time.Minute

// maxBehind bounds how many such suites of mirrors are remembered.
const maxBehind = 1024

// behind is a suite at a mirror that lagged behind.
type behind struct {
	suite  catalog.Location
	mirror string
}

// inTurn returns the mirrors to ask about e in order. Those that had an older
// Release of the suite lately come last.
func (c *Cache) inTurn(e Request, k *check) []string {
	mirrors := c.access.Mirrors(e.decisive(), k.login)
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(mirrors, func(x, y string) int {
		return cmp.Compare(c.lag(behind{e.Suite, x}), c.lag(behind{e.Suite, y}))
	})
	return mirrors
}

// lag is 1 for a suite that lagged behind lately, else 0. c.mu is held.
func (c *Cache) lag(b behind) int {
	if time.Since(c.behind[b]) < behindFor {
		return 1
	}
	return 0
}

// noteBehind notes that a mirror sent an older Release.
func (c *Cache) noteBehind(suite catalog.Location, from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.behind) >= maxBehind { // those forgotten cost a request
		clear(c.behind)
	}
	c.behind[behind{suite, from}] = time.Now()
}
