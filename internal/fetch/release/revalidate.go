package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/party"
	"millpond/internal/store"
)

// revalidate asks the site or the mirror for the suite's Release, adopts what is new,
// and brings k.suite up to date.
func (c *Cache) revalidate(ctx context.Context, e Request, k *check) error {
	s, before := &k.suite, k.suite
	// A condition on bytes that are not held any more would be answered with
	// nothing to serve.
	for _, v := range []*record{&s.InRelease, &s.Release, &s.Signature} {
		if !c.holds(*v, k.login) {
			*v = record{Rejected: v.Rejected}
		}
	}
	if err := c.recall(e, s); err != nil {
		c.log.Warn("held Release not learned again", "suite", e.Suite.String(), "err", err)
	}
	err := c.current(ctx, e, k)
	if err != nil {
		err = c.settle(e, s, err)
	} else {
		c.access.Accept(e.decisive(), k.login, s.form(e.Location.Name()).Digest)
	}
	c.reportExpired(e, s)
	if *s == before && err != nil {
		return err
	}
	written := c.put(e.Suite, k.login != "", before, *s)
	if errors.Is(written, kv.ErrRefused) {
		c.log.Warn("suite's record not written, the next request checks it again", "suite", e.Suite.String(), "err", written)
		written = nil
	}
	return errors.Join(err, written)
}

// reportExpired tells where apt refuses what is held of e's suite.
func (c *Cache) reportExpired(e Request, s *suite) {
	if g, ok := c.held(e, s); ok && expired(g) {
		c.log.Warn("Release has expired, and apt refuses it: the mirror is not updated any more, or somebody keeps back what it has",
			"suite", e.Suite.String(), "err", fmt.Errorf("it was valid until %s", g.ValidUntil.UTC().Format(time.RFC3339)))
	}
}

// settle decides what a check that failed with err changes in s. The error it
// returns is for the callers; without one they get what s has.
func (c *Cache) settle(e Request, s *suite, err error) error {
	form := s.form(e.Location.Name())
	status := refused(err)
	switch {
	case keepsHeld(err):
		c.log.Warn("the mirror's Release is not taken, serving the last good one", "suite", e.Suite.String(), "since", form.Pending.Since, "err", err)
		form.unchanged(err)
		c.access.Accept(e.decisive(), e.Login, form.Digest)
		if form.Digest.IsZero() { // a better one is held in the other form
			return fmt.Errorf("%w: %w", ErrNotRelease, err)
		}
		return nil
	case e.Login != "" && !c.serves(e, *form, err):
		return err // the mirror's answer to this login is nobody else's
	case status != 0 && !c.refuse(e.Suite, form, status):
		c.log.Warn("suite refused by the mirror, serving the last good Release", "suite", e.Suite.String(), "since", form.Refusal.Since, "err", err)
		form.unchanged(err)
		return nil
	case status == http.StatusOK && !form.Digest.IsZero():
		c.drop(e, s)
		form.Confirm()
		form.Unchecked = err.Error()
		return err
	case status == http.StatusOK:
		return err
	case status != 0:
		c.drop(e, s)
		*form = missing(status)
		return nil
	case mirror.IsUnreachable(err) && !form.Digest.IsZero():
		c.log.Warn("suite not checked, serving the last good Release", "suite", e.Suite.String(), "err", err)
		form.Unchecked = err.Error()
		if errors.Is(err, keyring.ErrBadSignature) {
			form.unchanged(err)
		}
		return nil
	}
	return err
}

// serves reports whether a client with e's login gets v although its check
// failed with err: the mirror is away, and accepted the login lately.
func (c *Cache) serves(e Request, v record, err error) bool {
	return mirror.IsUnreachable(err) && !v.Digest.IsZero() && c.access.AcceptedLately(e.decisive(), e.Login, v.Digest)
}

// offer asks a mirror what it has of e's suite in its form.
func (c *Cache) offer(ctx context.Context, e Request, k *check, to target) (o offer, err error) {
	if e.Location.Name() != "InRelease" {
		return c.offerPair(ctx, e.Suite, k, to)
	}
	body, v, err := c.pull(ctx, e.Location, k.suite.InRelease, to)
	o = offer{decisive: v, files: catalog.ReleaseFiles{InRelease: body, Private: k.login != "", Reach: v.Reach}}
	if err == nil && body != nil {
		o.checked, err = c.checkRelease(e.Suite, o.files)
	}
	return o, err
}

// take brings e's form of the suite to what a mirror has.
func (c *Cache) take(ctx context.Context, e Request, k *check, o offer) error {
	s, form := &k.suite, k.suite.form(e.Location.Name())
	if o.checked != nil {
		if err := c.adopt(ctx, o.checked, o.files, form, o.decisive, k); err != nil {
			return err
		}
		if g := o.checked.Generation; g.Proved() && g.Names(e.Suite) {
			o.decisive.Dated, o.signature.Dated = g.Date, g.Date
		}
	} else if err := c.catalog.Reached(e.Suite, o.decisive.Digest, o.files.Reach); err != nil && !errors.Is(err, kv.ErrRefused) {
		return err
	}
	*form = o.decisive
	c.inForceNow(e.Suite, form.Digest)
	if form == &s.Release {
		c.unpin(e.Suite, k.login != "", s.Signature.Digest, o.signature.Digest)
		s.Signature = o.signature
	}
	return nil
}

// checkRelease parses and verifies what the mirror sent.
func (c *Cache) checkRelease(dir catalog.Location, r catalog.ReleaseFiles) (*catalog.CheckedRelease, error) {
	checked, err := c.catalog.CheckRelease(dir, r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRelease, err)
	}
	return checked, nil
}

// adopt keeps a new Release, and its signature, and makes the catalog learn it,
// unless the one in force, old, is better for now.
func (c *Cache) adopt(ctx context.Context, checked *catalog.CheckedRelease, r catalog.ReleaseFiles, old *record, new record, k *check) error {
	dir := checked.Suite()
	k.files = r
	if !k.brought {
		if err := c.complete(ctx, checked, old, new, k); err != nil {
			return err
		}
	}
	if err := c.keepAll(checked, r, old.Digest, new.Digest, k); err != nil {
		return err
	}
	if g, _ := c.catalog.Generation(dir, digest.Digest{}); g.Proved() && !checked.Generation.Proved() && g.Text == checked.Generation.Text {
		return nil // the same, from InRelease: it stays signed
	}
	g, err := c.catalog.Adopt(checked)
	if errors.Is(err, kv.ErrRefused) {
		c.log.Warn("new generation of a suite passes through, what it lists is not known", "suite", dir.String(), "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRelease, err)
	}
	c.unpin(dir, k.login != "", old.Digest, new.Digest)
	c.log.Info("new generation of a suite", "suite", dir.String(), "date", g.Date, "signed", g.Signed, "why", g.Why)
	return nil
}

// keep stores a Release file and pins it: it is what is served while the mirror
// is away. Without room those who wait for k get it all the same, and the next
// client's request fetches it again.
func (c *Cache) keep(l catalog.Location, signed bool, body []byte, k *check) error {
	d := digest.Of(body)
	k.fetched[d] = body
	m := store.Meta{Name: l.Name(), From: []store.Provenance{{Name: l.Host}}, Pin: pinOwner(l.Dir(), k.login != "")}
	switch {
	case k.brought:
		m.From = nil
	case k.from != "":
		m.From = []store.Provenance{{Peer: true, Name: k.from}}
	}
	if !k.brought {
		c.fetched(d, k.from != "")
	}
	if !signed {
		m.Party = party.Of(l.Host)
	}
	if k.login != "" {
		m.Private = c.access.Place(l)
	}
	err := c.store.Put(d, int64(len(body)), bytes.NewReader(body), m)
	if store.Unkept(err) {
		c.log.Warn("store full or failed, Release file cannot be served while the mirror is unreachable", "suite", l.Dir().String(), "err", err)
		return nil
	}
	if errors.Is(err, store.ErrTooManyPins) { // held, and pinned by others
		c.log.Debug("Release file not pinned", "suite", l.Dir().String(), "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("keeping a Release file: %w", err)
	}
	return nil
}

// pinOwner is the owner of the pins of a suite's Release files.
func pinOwner(suite catalog.Location, private bool) string {
	if private {
		return "private release " + suite.String()
	}
	return "release " + suite.String()
}

// unpin lets old be evicted, which new has replaced. It is still there for
// clients in the middle of an update.
func (c *Cache) unpin(suite catalog.Location, private bool, old, new digest.Digest) {
	if old.IsZero() || old == new {
		return
	}
	if err := c.store.Unpin(old, pinOwner(suite, private)); err != nil {
		c.log.Debug("replaced Release file not held any more", "digest", old, "err", err)
	}
}
