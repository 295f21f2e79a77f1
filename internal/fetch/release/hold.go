package release

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/store"
)

const (
	// holdFor is how long a new Release of a followed suite waits for its indices. The
	// 20 MB that a site uses of Debian arrive in it at 200 kB/s. With less, a client's
	// own update would take minutes as well, and security updates are not to wait.
	holdFor = 90 * time.Second
	// holdPatience is how long clients wait for that: indices that arrive in it would
	// have cost them no more, and they get what is new.
	holdPatience = time.Second
	// holdAgain is when indices are asked for again that could not be fetched.
	holdAgain = 5 * time.Second
)

// comingWhy is why clients get the Release in force meanwhile.
const comingWhy = "the mirror has a newer one, and the box fetches its indices"

// errAsked says that a client wants what the mirror has now.
var errAsked = errors.New("a client wants the mirror's present Release")

// waits reports whether a new Release waits until the box has what clients use of it:
// one of a followed suite, which came with no login but the box's own, unless an
// administrator asks for it.
func (c *Cache) waits(r *catalog.CheckedRelease, k *check) bool {
	dir := r.Suite()
	return c.follows(dir) && k.login == c.access.Login(dir.Join("InRelease"), "") && !c.isAccepted(dir, r.Generation.ID)
}

// waiting is the part of a check in which a new Release waits for its indices.
type waiting struct {
	coming  chan struct{} // closed when those who can be served what is in force go on with it
	noted   sync.Once     // closes coming
	urgent  chan struct{} // closed when the Release is not to wait
	asked   sync.Once     // closes urgent
	learned func()        // ends catalog.BeginLearning
	// Written before announced is closed.
	announced chan struct{} // closed when other boxes may have the Release
	release   *catalog.CheckedRelease
	files     catalog.ReleaseFiles
}

func newWaiting() waiting {
	return waiting{coming: make(chan struct{}), urgent: make(chan struct{}), announced: make(chan struct{})}
}

// noteComing has clients go on with what is in force after holdPatience. stop keeps it
// from that.
func (w *waiting) noteComing() (stop func() bool) {
	return time.AfterFunc(holdPatience, func() { w.noted.Do(func() { close(w.coming) }) }).Stop
}

// comingFor returns coming for who asks for e, and nil if that is for what the mirror has
// now: then the Release waits no longer.
func (w *waiting) comingFor(e Request) <-chan struct{} {
	if e.Revalidate {
		w.asked.Do(func() { close(w.urgent) })
		return nil
	}
	return w.coming
}

// hold has the box fetch and learn what clients use of a new Release while v stays in
// force. It ends after holdFor, or when somebody asks for what the mirror has now, and
// nothing keeps the Release from coming into force then, as the mirror has what it lists;
// the error is that of a better one which came meanwhile.
func (c *Cache) hold(ctx context.Context, r *catalog.CheckedRelease, v *record, k *check) error {
	if _, _, ok := clock.Since(v.Pending.Since, v.Pending.By); !ok {
		v.Pending = pending{time.Now(), clock.Read()}
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.holdFor, fmt.Errorf("its indices did not arrive within %v", c.holdFor))
	defer cancel()
	limited, hurried := context.WithCancelCause(limited)
	defer hurried(nil)
	c.running.Go(func() {
		select {
		case <-k.urgent:
			hurried(errAsked)
		case <-limited.Done():
		}
	})
	begun, err := time.Now(), c.catalog.Expect(r)
	if err == nil {
		k.learned() // other boxes that ask for its files are answered
		k.release = r
		close(k.announced)
		err = c.fetchAll(limited, r)
	}
	attrs := []any{"suite", r.Suite().String(), "took", time.Since(begun)}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		c.log.Info("indices of a new Release held before it is in force", attrs...)
	default:
		c.log.Warn("new Release in force before all of its indices are held", append(attrs, "err", err)...)
	}
	return c.overtaken(r)
}

// fetchAll fetches what clients use of r until it is held, cannot be kept, or ctx ends.
func (c *Cache) fetchAll(ctx context.Context, r *catalog.CheckedRelease) error {
	for {
		err := c.fetch(ctx, r.Suite(), r.Generation.ID)
		switch {
		case ctx.Err() != nil && err != nil:
			return context.Cause(ctx)
		case err == nil || store.Unkept(err):
			return err
		}
		c.log.Debug("indices of a new Release not fetched yet", "suite", r.Suite().String(), "err", err)
		select {
		case <-time.After(holdAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// overtaken returns why r does not replace what is in force by now: another check may
// have brought something newer, in the other form, while r waited.
func (c *Cache) overtaken(r *catalog.CheckedRelease) error {
	now := r.Generation
	held, ok := c.catalog.Generation(r.Suite(), digest.Digest{})
	if !ok || !held.Proved() || held.Private != now.Private || held.Text == now.Text {
		return nil
	}
	if err := worse(r.Suite(), held, now); err != nil {
		return &rejection{release: now, err: err}
	}
	return nil
}
