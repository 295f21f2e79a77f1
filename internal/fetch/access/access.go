// Package access decides who may have bytes that came with a login.
//
// They are served under a location where they were found, to those whose login
// the location's mirror accepts: it is asked with a conditional request, once
// per TTL for each login and file. While it is unreachable, those are served
// that it accepted in the last day, for this file or another one of the same
// area: an archive's dists, or a component of its pool. A login of the box is
// that of all its clients without one; the mirror is asked about it once a day
// only, and while it is unreachable, to have accepted it ever is enough. To list
// a digest in an archive of one's own opens nothing: its location is none where
// the bytes were found, whatever its mirror says.
package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// acceptedFor is how long what a mirror accepted counts while it is unreachable.
const acceptedFor = 24 * time.Hour

// askTimeout ends a request that no stall limit ended. A mirror may take two
// minutes for its header; whose login it accepted lately does not wait for that.
const askTimeout = 150 * time.Second

// ErrNotHeld says that a held blob counts as none for a request: it came with a
// login, and not from there.
var ErrNotHeld = errors.New("not held for this request")

// RefusedError says that a mirror did not accept a client's login for what is
// held, or could not be asked. It wraps the mirror's answer.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("asking the mirror for access: %v", e.Err) }

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// Gate is safe for concurrent use.
type Gate struct {
	mirror   *mirror.Client
	ttl      time.Duration
	answered func(r mirror.Request, at string, took time.Duration)
	accepted *accepted
	lifetime context.Context
	running  sync.WaitGroup

	mu        sync.Mutex // guards questions
	questions map[mark]*question
}

// question is one request to a mirror in progress, which all callers share.
type question struct {
	done  chan struct{}
	begun time.Time
	// Written before done is closed.
	same bool
	err  error
}

// New returns a Gate that knows what mirrors accepted before. A mirror is not
// asked again for ttl. Get tells answered how long the mirror at took for its header, ""
// where the archive has no other one. Requests run until lifetime ends; Wait must be
// called.
func New(lifetime context.Context, m *mirror.Client, ttl time.Duration, k Keeper, answered func(r mirror.Request, at string, took time.Duration)) *Gate {
	return &Gate{mirror: m, ttl: ttl, accepted: newAccepted(k), answered: answered, lifetime: lifetime, questions: make(map[mark]*question)}
}

// Wait returns when no request is in progress any more.
func (g *Gate) Wait() { g.running.Wait() }

// Login returns the login for a client's request at l: its own, else the box's,
// "" if there is none.
func (g *Gate) Login(l catalog.Location, own mirror.Login) mirror.Login {
	if own != "" {
		return own
	}
	return g.mirror.LoginFor(l.URL())
}

// Mirrors returns the mirrors of l's archive that may be asked for l with login,
// best first.
func (g *Gate) Mirrors(l catalog.Location, login mirror.Login) []string {
	return g.mirror.Mirrors(mirror.Request{URL: l.URL(), Login: login}, -1, "")
}

// Blame notes that what a mirror sent for l is wrong.
func (g *Gate) Blame(l catalog.Location, from string, why error) {
	g.mirror.Blame(l.URL(), from, why)
}

// Place names l where bytes are found, for store.Meta.
func (g *Gate) Place(l catalog.Location) string { return place(l) }

func place(l catalog.Location) string {
	sum := sha256.Sum256([]byte(l.String()))
	return string(sum[:16])
}

// Private reports whether a blob came with a login only.
func Private(i store.Info) bool { return len(i.Private) > 0 }

// FoundAt reports whether a private blob was found at one of the places.
func FoundAt(i store.Info, places []catalog.Location) bool {
	return slices.ContainsFunc(places, func(l catalog.Location) bool { return slices.Contains(i.Private, place(l)) })
}

// Found reports whether a blob may be had at l by those whom l's mirror
// accepts: login is theirs. A blob that is not private may be had anywhere.
func Found(i store.Info, l catalog.Location, login mirror.Login) bool {
	return !Private(i) || login != "" && slices.Contains(i.Private, place(l))
}

// Admit decides whether a request at l with login may have the held blob i. The
// error is ErrNotHeld, or a *RefusedError.
func (g *Gate) Admit(ctx context.Context, l catalog.Location, login mirror.Login, i store.Info) error {
	switch {
	case !Found(i, l, login):
		return ErrNotHeld
	case !Private(i) || g.Accepted(l, login, i.Digest):
		return nil
	}
	q := g.question(mirror.ForSame(g.lifetime, ctx), l, login, i)
	var enough <-chan time.Time
	if g.AcceptedLately(l, login, i.Digest) {
		enough = time.After(mirror.Patience - time.Since(q.begun))
	}
	select {
	case <-q.done:
	case <-enough:
		return nil
	case <-ctx.Done():
		return &RefusedError{context.Cause(ctx)}
	}
	switch {
	case q.err == nil && !q.same:
		return ErrNotHeld
	case q.err != nil && !(mirror.IsUnreachable(q.err) && g.AcceptedLately(l, login, i.Digest)):
		return &RefusedError{q.err}
	}
	return nil
}

// Anticipate has the mirror asked what Admit will have to ask, and waits for
// nothing.
func (g *Gate) Anticipate(l catalog.Location, login mirror.Login, i store.Info) {
	if Private(i) && Found(i, l, login) && !g.Accepted(l, login, i.Digest) {
		g.question(g.lifetime, l, login, i)
	}
}

// question returns the request in progress about login's access to i at l, or
// begins one, which ends with lifetime.
func (g *Gate) question(lifetime context.Context, l catalog.Location, login mirror.Login, i store.Info) *question {
	m := g.accepted.mark(l, login, i.Digest)
	g.mu.Lock()
	defer g.mu.Unlock()
	if q := g.questions[m]; q != nil {
		return q
	}
	q := &question{done: make(chan struct{}), begun: time.Now()}
	if q.err = context.Cause(lifetime); q.err != nil {
		close(q.done)
		return q
	}
	g.questions[m] = q
	g.running.Go(func() {
		ctx, cancel := context.WithTimeout(lifetime, askTimeout)
		defer cancel()
		if q.same, q.err = g.ask(ctx, l, login, i); q.err == nil && q.same {
			g.Accept(l, login, i.Digest)
		}
		g.mu.Lock()
		delete(g.questions, m)
		g.mu.Unlock()
		close(q.done)
	})
	return q
}

// Accept notes that the mirror gave the file d at l to login, or said that it is
// the one there.
func (g *Gate) Accept(l catalog.Location, login mirror.Login, d digest.Digest) {
	if login == "" {
		return
	}
	now := acceptance{time.Now(), g.isBoxes(l, login)}
	g.accepted.note(l, login, d, now)
	if area, ok := areaOf(l); ok {
		g.accepted.note(area, login, digest.Digest{}, now)
	}
}

// isBoxes reports whether login is the box's own for l. The bytes that are held
// may have come with another, which opens more.
func (g *Gate) isBoxes(l catalog.Location, login mirror.Login) bool {
	return login != "" && login == g.mirror.LoginFor(l.URL())
}

// areaOf returns the directory whose files an archive has behind the same login
// as l. dists and pool are apart, since some archives (Ubuntu's ESM) have only
// their pool behind one. In a flat archive all may lie in one directory.
func areaOf(l catalog.Location) (area catalog.Location, ok bool) {
	if base, rel, ok := l.SplitPool(); ok {
		component, _, deeper := strings.Cut(rel, "/")
		return base.Join("pool/" + component), deeper
	}
	base, _, ok := l.SplitSuite()
	return base.Join("dists"), ok
}

// Accepted reports whether the mirror gave d at l to login within the TTL, or
// within a day to the box's.
func (g *Gate) Accepted(l catalog.Location, login mirror.Login, d digest.Digest) bool {
	within := g.ttl
	if g.isBoxes(l, login) {
		within = acceptedFor
	}
	return g.acceptedWithin(within, l, login, d)
}

// AcceptedLately is Accepted for a mirror that is unreachable.
func (g *Gate) AcceptedLately(l catalog.Location, login mirror.Login, d digest.Digest) bool {
	within := acceptedFor
	if g.isBoxes(l, login) {
		within = math.MaxInt64
	}
	if area, ok := areaOf(l); ok && g.acceptedWithin(within, area, login, digest.Digest{}) {
		return true
	}
	return g.acceptedWithin(within, l, login, d)
}

func (g *Gate) acceptedWithin(d time.Duration, l catalog.Location, login mirror.Login, file digest.Digest) bool {
	last := g.accepted.last(l, login, file)
	return login != "" && !last.IsZero() && time.Since(last) < d
}

// ask asks l's mirror with login for i, without taking it. same is false if the
// answer is about something else: a page to log in at, for instance.
func (g *Gate) ask(ctx context.Context, l catalog.Location, login mirror.Login, i store.Info) (same bool, err error) {
	r := mirror.Request{URL: l.URL(), Login: login, IfModifiedSince: i.Modified.UTC().Format(http.TimeFormat), Small: true}
	if i.Size > 0 {
		r.Length = 1 // in case it has no date
	}
	resp, err := g.Get(ctx, r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.Status == http.StatusNotModified || resp.Size == i.Size, nil
}

// Get sends r. With a login, a 304 that a redirect led to counts only for an
// ETag: the page to log in at may be older than the file. Then the file itself
// is requested.
func (g *Gate) Get(ctx context.Context, r mirror.Request) (*mirror.Response, error) {
	begun := time.Now()
	resp, err := g.mirror.Get(mirror.AtTurn(ctx, func() { begun = time.Now() }), r)
	if err == nil {
		g.answered(r, resp.Mirror, time.Since(begun))
	}
	doubtful := err == nil && resp.Status == http.StatusNotModified && r.Login != "" && r.IfNoneMatch == "" && resp.URL != r.URL
	if !doubtful {
		return resp, err
	}
	resp.Body.Close()
	r.IfModifiedSince = ""
	return g.mirror.Get(ctx, r)
}

// Sweep forgets what was accepted too long ago.
func (g *Gate) Sweep() error { return g.accepted.sweep(time.Now()) }
