package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

// ErrNotRejected says that a suite has no rejected Release of that digest.
var ErrNotRejected = errors.New("no such Release of the suite was rejected, or another one was since")

// Rejected is a Release that a mirror sent and that does not replace the one in
// force. Its bytes are not kept.
type Rejected struct {
	Digest      digest.Digest // of InRelease or Release
	Date        time.Time     // its own; zero if it has none
	Mirror      string        // that sent it, if the archive has several
	Why         string
	First, Last time.Time // when it came
}

// rejection is the error of such a Release.
type rejection struct {
	release catalog.Generation
	mirror  string
	err     error
}

func (r *rejection) Error() string { return r.err.Error() }
func (r *rejection) Unwrap() error { return r.err }

// reject notes whether a check of v ended with a rejection.
func (v *record) reject(err error) {
	last, now := v.Rejected, time.Now()
	v.Rejected = Rejected{}
	var r *rejection
	if !errors.As(err, &r) {
		return
	}
	v.Rejected = Rejected{Digest: r.release.ID, Date: r.release.Date, Mirror: r.mirror, Why: r.Error(), First: now, Last: now}
	if last.Digest == r.release.ID {
		v.Rejected.First = last.First
	}
}

// Rejected returns what was rejected of the suite in dir when its mirror was last
// asked. ok is false if nothing was.
func (c *Cache) Rejected(dir catalog.Location) (r Rejected, ok bool) {
	c.records(dir, func(_ bool, _ string, v record) {
		if v.Rejected.Last.After(r.Last) {
			r = v.Rejected
		}
	})
	return r, !r.Digest.IsZero()
}

// records calls f for what is kept of the suite in dir, in both forms, with and
// without a login.
func (c *Cache) records(dir catalog.Location, f func(private bool, name string, v record)) {
	for _, private := range []bool{false, true} {
		s, err := kv.GetJSON[suite](c.names, key(dir, private))
		if err != nil {
			continue // the next check meets the same error and returns it
		}
		f(private, "InRelease", s.InRelease)
		f(private, "Release", s.Release)
	}
}

// maxAccepted bounds the accepted Releases that mirrors have not sent again yet.
const maxAccepted = 64

// accepted is a Release of a suite, by its digest.
type accepted struct {
	suite  catalog.Location
	digest digest.Digest
}

// Accept lets the rejected Release d of the suite in dir replace the one in force, and
// that of the same Date in the other form, and asks the mirror for it. The error says
// why it is not in force yet; it is accepted then nevertheless, until the box restarts.
func (c *Cache) Accept(ctx context.Context, dir catalog.Location, d digest.Digest) error {
	var date time.Time
	found := false
	c.records(dir, func(_ bool, _ string, v record) {
		if v.Rejected.Digest == d && !d.IsZero() {
			found, date = true, v.Rejected.Date
		}
	})
	if !found {
		return ErrNotRejected
	}
	again := make(map[*Request]digest.Digest)
	c.records(dir, func(private bool, name string, v record) {
		if v.Rejected.Digest != d && (date.IsZero() || !v.Rejected.Date.Equal(date)) {
			return
		}
		c.accept(accepted{dir, v.Rejected.Digest})
		e := requestFor(dir, name)
		e.Own = true
		if private {
			e.Login = c.access.Login(e.Location, "")
		}
		if private == (e.Login != "") {
			again[&e] = v.Rejected.Digest
		}
	})
	var faults []error
	for e, d := range again {
		faults = append(faults, c.recheck(ctx, *e, d))
	}
	return errors.Join(faults...)
}

func (c *Cache) accept(a accepted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.accepted) >= maxAccepted {
		clear(c.accepted)
	}
	c.accepted[a] = true
}

// isAccepted reports whether an administrator has accepted the Release d.
func (c *Cache) isAccepted(dir catalog.Location, d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted[accepted{dir, d}]
}

// inForceNow ends the acceptance of a Release that is in force.
func (c *Cache) inForceNow(dir catalog.Location, d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accepted, accepted{dir, d})
}

// recheck asks the mirror for e, whose Release has been accepted. A check in progress
// may have begun before that: then there is a second one.
func (c *Cache) recheck(ctx context.Context, e Request, d digest.Digest) error {
	for {
		s, ended, err := c.load(e.Suite, e.Login)
		if err != nil {
			return err
		}
		k := c.check(e, s, ended)
		if k == nil {
			continue
		}
		began := k.begun
		select {
		case <-k.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		v := k.suite.form(e.Location.Name())
		switch {
		case k.err != nil:
			return fmt.Errorf("asking the mirror again: %w", k.err)
		case v.Rejected.Digest == d && c.isAccepted(e.Suite, d) && v.Rejected.Last.After(began):
			continue
		case v.Unchecked != "":
			return fmt.Errorf("the mirror was asked again: %s", v.Unchecked)
		}
		return nil
	}
}
