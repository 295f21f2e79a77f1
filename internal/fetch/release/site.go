package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// Site is the boxes of this site. One poll serves all of them: they rank each other for
// each suite, and a box asks those that rank above it what the mirror has. They ask the
// mirror if they have not within the TTL. What they send is checked like a mirror's
// answer, and has to be signed besides. A peer.Swarm is one.
type Site interface {
	// Owners returns the boxes that rank above this one, highest first.
	Owners(digest.Digest) []peer.Peer
}

const (
	// ownEvery is how often this box asks the mirror itself for a suite that clients
	// want: no box can hide an update for longer.
	ownEvery = time.Hour
	// maxOwners bounds the boxes that are asked, a round trip each where they do not have
	// the suite; lookFor is how long is spent on those that have no answer.
	maxOwners = 4
	lookFor   = 100 * time.Millisecond
)

// errExpired says that a Release of another box is past its Valid-Until.
var errExpired = errors.New("the Release has expired")

// suiteName is what boxes name a suite by.
func suiteName(dir catalog.Location) digest.Digest { return digest.Of([]byte(dir.String())) }

// proved reports whether a key of the keyring signed g, at a time that has come.
func proved(g catalog.Generation) bool { return g.Signed && g.Signer != "" && !g.Early }

// shared returns the present generation of e's suite in e's form, if it is one that
// boxes of a site tell each other of.
func (c *Cache) shared(e Request, s *suite) (g catalog.Generation, ok bool) {
	g, ok = c.held(e, s)
	ok = ok && e.Login == "" && proved(g) && usable(g) && c.holds(*s.form(e.Location.Name()), "")
	if e.Location.Name() != "InRelease" {
		ok = ok && g.Signature == s.Signature.Digest && !g.Signature.IsZero() && c.holds(s.Signature, "")
	}
	return g, ok
}

// owners returns the boxes to ask for e; none if the mirror has to be asked.
func (c *Cache) owners(e Request, s *suite) (all []peer.Peer) {
	form := s.form(e.Location.Name())
	g, ok := c.shared(e, s)
	if c.site == nil || c.ttl == 0 || !ok || e.mirrorOnly() || form.Expired || !form.Asked.Fresh(ownEvery, false) {
		return nil
	}
	for _, p := range c.site.Owners(suiteName(e.Suite)) {
		kind := p.Standing().Kind
		if len(all) < maxOwners && kind > peer.Stranger && g.Sharing().Includes(kind) && !c.lags(e.Suite, p.ID()) {
			all = append(all, p)
		}
	}
	return all
}

// lags reports whether the mirror or box had an older Release of the suite lately.
func (c *Cache) lags(dir catalog.Location, from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lag(behind{dir, from}) > 0
}

// stalled is a box that said that it asks its mirror, and then nothing for so long.
type stalled struct {
	peer   peer.Peer
	waited time.Duration
}

// current brings k.suite up to date in e's form: by what a box of this site says, or
// else by what the mirror has.
func (c *Cache) current(ctx context.Context, e Request, k *check) error {
	silent, done := c.askSite(ctx, e, k)
	if done {
		return nil
	}
	begun := time.Now()
	err := c.refresh(ctx, e, k)
	form := k.suite.form(e.Location.Name())
	form.reject(err)
	if err != nil {
		return err
	}
	if silent.peer != nil && time.Since(begun) < silent.waited/2 {
		silent.peer.Report(peer.Outcome{Fault: peer.Stalled, Why: fmt.Sprintf("did not say what its mirror has of a suite within %v", silent.waited.Round(time.Millisecond))})
	}
	form.Asked = form.Check
	if g, ok := c.held(e, &k.suite); ok && proved(g) && e.Login == "" {
		c.noteNamed(e.Suite)
	}
	return nil
}

// askSite asks the boxes of this site. done says that one of them had an answer.
func (c *Cache) askSite(ctx context.Context, e Request, k *check) (silent stalled, done bool) {
	owners := c.owners(e, &k.suite)
	if len(owners) == 0 {
		return stalled{}, false
	}
	begun := time.Now()
	asking, cancel := context.WithTimeout(ctx, c.patience(e.decisive()))
	defer cancel()
	form := k.suite.form(e.Location.Name())
	q := peer.ReleaseQuery{Suite: suiteName(e.Suite), Held: form.Digest}
	if e.Location.Name() != "InRelease" {
		q.Pair, q.Signature = true, k.suite.Signature.Digest
	}
	for _, p := range owners {
		sent := time.Now()
		a, err := p.Release(asking, q)
		if err == nil {
			err = c.believe(ctx, e, k, p, a)
		}
		switch {
		case err == nil:
			return stalled{}, true
		case errors.Is(err, peer.ErrStalled):
			return stalled{p, time.Since(sent)}, false
		case errors.Is(err, peer.ErrSilent):
			p.Report(peer.Outcome{Fault: peer.Slow, Why: "gave no sign when it was asked for a Release"})
		}
		c.log.Debug("box of this site has no answer for a suite", "suite", e.Suite.String(), "peer", p, "err", err)
		if time.Since(begun) >= lookFor {
			break
		}
	}
	return stalled{}, false
}

// errStale says that what another box knows is older than the TTL.
var errStale = errors.New("not confirmed by its mirror within the TTL")

// believe brings k.suite to what the box p says of it, unless that is not to be taken.
func (c *Cache) believe(ctx context.Context, e Request, k *check, p peer.Peer, a peer.ReleaseAnswer) error {
	form := k.suite.form(e.Location.Name())
	if a.Age >= c.ttl {
		return errStale
	}
	if a.Release == nil {
		*form = form.vouched(a.Age, p.ID())
		return nil
	}
	began := time.Now()
	err := c.takeFrom(ctx, e, k, p, a)
	fault := peer.None
	switch {
	case err == nil:
		p.Report(peer.Outcome{Bytes: int64(len(a.Release) + len(a.Signature)), Took: time.Since(began)})
		return nil
	case errors.Is(err, keyring.ErrBadSignature):
		fault = peer.Lied
	case errors.Is(err, ErrNotRelease):
		fault = peer.Failed
	case outcomeOf(err) == incomplete || !keepsHeld(err) && !errors.Is(err, errExpired):
		return err
	}
	c.noteBehind(e.Suite, p.ID())
	if fault != peer.None { // the others may be its mirror's
		p.Report(peer.Outcome{Fault: fault, Why: err.Error()})
	}
	return err
}

// takeFrom takes the Release that the box p sent, if it is one that would be taken from a
// mirror and is signed.
func (c *Cache) takeFrom(ctx context.Context, e Request, k *check, p peer.Peer, a peer.ReleaseAnswer) error {
	form := k.suite.form(e.Location.Name())
	o := offer{files: catalog.ReleaseFiles{Reach: form.Reach}}
	if e.Location.Name() == "InRelease" {
		o.files.InRelease = a.Release
	} else {
		o.files.Release, o.files.Signature = a.Release, a.Signature
		o.signature = k.suite.Signature.given(a.Signature, a.Age, p.ID())
	}
	o.decisive = form.given(a.Release, a.Age, p.ID())
	var err error
	if o.checked, err = c.checkRelease(e.Suite, o.files); err != nil {
		return err
	}
	g := o.checked.Generation
	switch {
	case !proved(g):
		return fmt.Errorf("%w: %s", errUnsigned, g.Why)
	case !usable(g):
		return fmt.Errorf("%w: it was valid until %s", errExpired, g.ValidUntil.UTC().Format(time.RFC3339))
	}
	once := poll{c: c, e: e, k: k}
	if err := once.compare(&o); err != nil {
		return err
	}
	k.from = p.ID()
	err = c.take(ctx, e, k, o)
	if err != nil {
		k.from = "" // the mirror is asked
	}
	return err
}

// vouched is v after the box by has said that its mirror confirmed it so long ago.
func (v record) vouched(age time.Duration, by string) record {
	n := v.confirmed()
	n.Check = mirror.CheckedBefore(age)
	n.Vouched, n.Asked, n.Rejected, n.Pending, n.Refusal = by, v.Asked, v.Rejected, v.Pending, v.Refusal
	return n
}

// given is the record of what the box by has sent instead of v. What tells whether the
// first answer of the mirror was of another archive is kept.
func (v record) given(body []byte, age time.Duration, by string) record {
	n := record{Copy: mirror.Copy{Digest: digest.Of(body), Size: int64(len(body)), Check: mirror.CheckedBefore(age)}}
	n.Seen, n.SeenBy = time.Now(), clock.Read()
	n.Vouched, n.Asked, n.Sole, n.Reach = by, v.Asked, v.Sole, v.Reach
	return n
}
