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

// way is how a request is sent: to which mirror of the archive, and whether
// another one can be asked instead.
type way struct {
	at        string
	elsewhere bool
}

// request is q, sent this way.
func (w way) request(q mirror.Request) mirror.Request {
	q.Mirror, q.Failover = w.at, w.elsewhere
	return q
}

// offer is what a mirror has of a suite in one form.
type offer struct {
	checked   *catalog.CheckedRelease // nil: nothing new
	files     catalog.ReleaseFiles
	decisive  record // of InRelease or Release
	signature record // of Release.gpg
	unsigned  bool   // and what is held is signed
}

// refresh brings the suite up to date in e's form. An archive's mirrors are asked
// in turn until one has what is at least as good as what is held.
func (c *Cache) refresh(ctx context.Context, e Request, k *check) error {
	mirrors := c.inTurn(e, k)
	t := turn{Cache: c, e: e, check: k, several: len(mirrors) > 1}
	for _, at := range mirrors {
		if done, err := t.ask(ctx, way{at: at, elsewhere: t.several}); done {
			return err
		}
	}
	if t.news == nil && says(t.told) == nothing {
		for _, at := range t.silent { // and wait for them
			if done, err := t.ask(ctx, way{at: at}); done {
				return err
			}
		}
	}
	switch {
	case t.news != nil:
		return c.take(ctx, e, k, *t.news)
	case t.doubtful != nil && t.allDoubtful() && !t.suite.form(e.Location.Name()).Pending.wait():
		return c.take(ctx, e, k, *t.doubtful)
	}
	return t.told
}

// allDoubtful reports whether the mirrors have nothing but what is worse in the same
// way. One that lies is not believed because the others are away or lag behind.
func (t *turn) allDoubtful() bool {
	if says(t.told) == unsigned {
		return len(t.silent) == 0
	}
	return says(t.told) == older && !t.doubtful.unsigned
}

// behindFor is how long a mirror is asked last for the Release of a suite after it
// sent an older one: those that are updated each few hours send it each time.
const behindFor = 10 * time.Minute

// maxBehind bounds how many such suites of mirrors are remembered.
const maxBehind = 1024

// behind is a suite of a mirror.
type behind struct {
	suite catalog.Location
	at    string
}

// inTurn returns the mirrors to ask about e, those last that had an older Release
// of the suite lately.
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
func (c *Cache) noteBehind(suite catalog.Location, at string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.behind) >= maxBehind { // those forgotten cost a request
		clear(c.behind)
	}
	c.behind[behind{suite, at}] = time.Now()
}

// turn is a check of one suite at the mirrors of its archive.
type turn struct {
	*Cache
	*check
	e       Request
	several bool

	told     error    // by those asked so far, what says most
	silent   []string // mirrors that gave no answer
	news     *offer   // without a good signature, but so is what is held, if anything is
	doubtful *offer   // worse than what is held, which after a while counts nevertheless
}

// ask asks a mirror. done says that there is no need to ask another one.
func (t *turn) ask(ctx context.Context, w way) (done bool, err error) {
	o, err := t.offer(ctx, t.e, t.check, w)
	if err == nil && t.several {
		err = t.compare(o)
	}
	switch {
	case err == nil && t.several && o.checked != nil && !o.checked.Generation.Signed:
		if t.news == nil {
			t.news = &o
		}
		return false, nil // another one may have it signed
	case err == nil && o.checked == nil && (t.news != nil || says(t.told) == incomplete):
		return false, nil // another one has something newer
	case err == nil:
		err = t.take(ctx, t.e, t.check, o)
	}
	if err == nil || !t.several || ctx.Err() != nil {
		return true, err
	}
	t.log.Info("mirror has no Release to take", "suite", t.e.Suite.String(), "mirror", w.at, "err", err)
	switch says(err) {
	case nothing:
		t.silent = append(t.silent, w.at)
	case unsigned, noRelease:
		t.access.Blame(t.e.decisive(), w.at, err)
	}
	if says(err) == older {
		t.noteBehind(t.e.Suite, w.at)
	}
	if t.told == nil || says(err) < says(t.told) {
		t.told = err
	}
	return false, nil
}

// compare returns why o is worse than the Release in force.
func (t *turn) compare(o offer) error {
	held, ok := t.inForce(t.e, &t.suite)
	if !ok || o.checked == nil {
		return nil
	}
	err := worse(held, o.checked.Generation)
	o.unsigned = errors.Is(err, errUnsigned)
	if err != nil && (o.unsigned || !held.Signed) && t.doubtful == nil {
		t.doubtful = &o
	}
	return err
}

// inForce returns the generation in force of e's suite, in its form.
func (c *Cache) inForce(e Request, s *suite) (g catalog.Generation, ok bool) {
	d := s.form(e.Location.Name()).Digest
	if d.IsZero() {
		return catalog.Generation{}, false
	}
	return c.catalog.Generation(e.Suite, d)
}
