package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/kv"
)

const (
	// earlyEvery is how often Releases that are signed in the future are
	// verified again.
	earlyEvery = time.Minute
	// allEvery is how often all are: signatures expire, and what is too weak is
	// refused from a day on.
	allEvery = 24 * time.Hour
	// maxDrift is how far the clock may go beside the time that passes before it
	// counts as set: more than time servers let it in a minute.
	maxDrift = time.Second
)

// KeysChanged has Run verify the held Releases of all suites again.
func (c *Cache) KeysChanged() { c.keys.Call() }

// Run verifies held Releases again, one after the other, until ctx ends: all
// when it begins, when the keys have changed or the clock was set, and each
// day; each minute those that are signed in the future. A suite becomes signed
// and shared then, or unsigned, without a client's request.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(c.early)
	defer tick.Stop()
	if err := c.Sweep(); err != nil { // counts them, too
		c.log.Warn("outdated records of suites not removed", "err", err)
	}
	c.verifyAll(ctx)
	last := time.Now()
	all := last
	for {
		keys := false
		select {
		case <-ctx.Done():
			return
		case <-c.keys:
			keys = true
		case <-tick.C:
		}
		now := time.Now()
		set := clockSet(now.Round(0).Sub(last.Round(0)), now.Sub(last))
		last = now
		if keys || set || now.Sub(all) >= allEvery {
			all = now
			c.verifyAll(ctx)
			continue
		}
		c.verifySuites(ctx, func(s catalog.SuiteInfo) bool { return s.Early })
	}
}

// clockSet reports whether the clock was set while time passed.
func clockSet(byClock, passed time.Duration) bool { return (byClock - passed).Abs() > maxDrift }

func (c *Cache) verifyAll(ctx context.Context) {
	c.verifySuites(ctx, func(catalog.SuiteInfo) bool { return true })
	if err := c.catalog.KeysChanged(); err != nil {
		c.log.Warn("suites of removed keys not made unsigned", "err", err)
	}
}

// verifySuites verifies what is held of the suites that are wanted.
func (c *Cache) verifySuites(ctx context.Context, wanted func(catalog.SuiteInfo) bool) {
	for _, s := range c.catalog.Suites() {
		if ctx.Err() != nil {
			return
		}
		if !wanted(s) {
			continue
		}
		if err := c.verifyHeld(s.Location); err != nil {
			c.log.Warn("held Release not verified again", "suite", s.Location.String(), "err", err)
		}
	}
}

// verifyHeld verifies what is held of a suite in both of its forms, with and
// without a login.
func (c *Cache) verifyHeld(dir catalog.Location) error {
	var faults []error
	for _, private := range []bool{false, true} {
		s, err := kv.GetJSON[suite](c.names, key(dir, private))
		faults = append(faults, err)
		for _, name := range []string{"InRelease", "Release"} {
			if _, known := c.catalog.Generation(dir, s.form(name).Digest); known && !s.form(name).Digest.IsZero() {
				faults = append(faults, c.verify(dir, &s, name))
			}
		}
	}
	return errors.Join(faults...)
}

// verify verifies what is held of a suite in the form of that name again, if it
// is held.
func (c *Cache) verify(dir catalog.Location, s *suite, name string) error {
	files, err := c.files(s, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the held %s of %s: %w", name, dir, err)
	}
	g, changed, err := c.catalog.Verify(dir, files)
	if changed {
		c.log.Info("held Release verified again", "suite", dir.String(), "signed", g.Signed, "why", g.Why)
	}
	return err
}
