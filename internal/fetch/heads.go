package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// maxHead bounds a Release file in memory. Debian's is 150 kB; the
	// largest known, of archives with many architectures and
	// components, are a few MB. Verifying many signatures over much more would
	// take seconds.
	maxHead = 8 << 20
	// headTimeout ends a check that no stall limit ended. It is below the
	// 60 s after which apt gives up on an answer.
	headTimeout = 45 * time.Second
)

// suite is what is kept of one suite's head, in both of its forms. Release
// and its signature are one thing in two files: they are fetched, checked and
// replaced together, so that a client gets a pair that fits.
type suite struct {
	InRelease cachedURL
	Release   cachedURL
	Signature cachedURL
}

// suiteKey is the suite's name in the table of names.
func suiteKey(l catalog.Location) string { return "suite/" + l.String() }

// check is one revalidation that its askers share.
type check struct {
	done chan struct{}
	// Written before done is closed.
	stale   string // the mirror could not be asked, why; what is held is served
	err     error
	fetched map[digest.Digest][]byte // what the mirror sent anew
	claimed atomic.Bool              // some client was credited with it
}

// body gives what the check fetched to those who waited for it, even where
// the store had no room. The first of them is the one it was fetched for; nil
// for anything else.
func (c *check) body(d digest.Digest) Body {
	if c == nil || c.fetched[d] == nil {
		return nil
	}
	b := headBody{bytes.NewReader(c.fetched[d]), ledger.FromStore}
	if c.claimed.CompareAndSwap(false, true) {
		b.origin = ledger.FromMirror
	}
	return b
}

// headBody is a head in memory.
type headBody struct {
	*bytes.Reader
	origin ledger.Origin
}

func (headBody) Close() error            { return nil }
func (b headBody) Origin() ledger.Origin { return b.origin }

// head serves InRelease, Release or Release.gpg: checked with the mirror once
// per TTL, and the last good one if the mirror is away.
func (f *Fetcher) head(ctx context.Context, e catalog.Entry) (*File, error) {
	s, c, err := f.checked(ctx, e)
	if err != nil {
		return nil, err
	}
	return f.serveHead(e, s, c)
}

// checked returns what is kept of e's suite, no older than the TTL, and the
// check that this took, if any.
func (f *Fetcher) checked(ctx context.Context, e catalog.Entry) (suite, *check, error) {
	s, err := load[suite](f.names, suiteKey(e.Suite))
	if err != nil {
		return s, nil, err
	}
	if v := s.form(e.Location.Name()); f.holdsVersion(*v) && time.Since(v.Checked) < f.ttl {
		return s, nil, nil
	}
	c := f.check(e)
	select {
	case <-c.done:
	case <-ctx.Done():
		return s, nil, context.Cause(ctx)
	}
	if c.err != nil {
		return s, nil, c.err
	}
	s, err = load[suite](f.names, suiteKey(e.Suite))
	return s, c, err
}

// holds reports whether v can be served: its bytes, or the mirror's refusal.
func (f *Fetcher) holdsVersion(v cachedURL) bool {
	if v.Digest.IsZero() {
		return v.Missing != 0
	}
	_, err := f.store.Stat(v.Digest)
	return err == nil
}

// form is the cachedURL that decides how fresh a head is: a signature is as
// fresh as its Release.
func (s *suite) form(name string) *cachedURL {
	if name == "InRelease" {
		return &s.InRelease
	}
	return &s.Release
}

// serveHead opens the held bytes of a head. A client that was given a Release
// gets the signature of that one, whatever is current by now. c is the check
// that the client waited for, if any.
func (f *Fetcher) serveHead(e catalog.Entry, s suite, c *check) (*File, error) {
	v, release := *s.form(e.Location.Name()), digest.Digest{}
	switch e.Location.Name() {
	case "Release.gpg":
		release = v.Digest
		checked := v.Checked
		v = s.Signature
		v.Checked = checked
		if g, ok := f.catalog.Generation(e.Suite, e.Release); ok && !e.Release.IsZero() && e.Release != release {
			release = g.ID
			v = cachedURL{Digest: g.Signature, Seen: g.Learned, Checked: checked}
		}
	default:
		release = v.Digest
	}
	if v.Digest.IsZero() {
		code := v.Missing
		if code == 0 {
			code = 404
		}
		return nil, &mirror.StatusError{URL: e.Location.String(), Code: code}
	}
	file := &File{Digest: v.Digest, Size: v.Size}
	if file.Body = c.body(v.Digest); file.Body == nil {
		var err error
		if file, err = f.stored(v.Digest); err != nil {
			return nil, fmt.Errorf("opening the held %s: %w", e.Location.Name(), err)
		}
	}
	file.Modified = v.modified()
	file.Release, file.Suite = release, e.Suite
	file.Age = time.Since(v.Checked)
	if c != nil && c.stale != "" {
		file.Stale = c.stale
		f.stats.stale.Add(1)
	}
	return file, nil
}

// check returns the revalidation under way of e's suite in e's form, or
// starts one under its own context.
func (f *Fetcher) check(e catalog.Entry) *check {
	key := e.Suite.String()
	if e.Location.Name() == "InRelease" {
		key += "/InRelease"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.checks[key]; c != nil {
		return c
	}
	c := &check{done: make(chan struct{}), fetched: make(map[digest.Digest][]byte)}
	if f.lifetime.Err() != nil {
		c.err = ErrClosed
		close(c.done)
		return c
	}
	f.checks[key] = c
	end := f.catalog.BeginLearning(e)
	f.running.Go(func() {
		defer end()
		ctx, cancel := context.WithTimeout(f.lifetime, headTimeout)
		defer cancel()
		c.stale, c.err = f.revalidate(ctx, e, c)
		f.mu.Lock()
		delete(f.checks, key)
		f.mu.Unlock()
		close(c.done)
	})
	return c
}

// revalidate asks the mirror for the suite's head and learns what is new. A
// non-empty stale says why the held one could not be checked.
func (f *Fetcher) revalidate(ctx context.Context, e catalog.Entry, c *check) (stale string, err error) {
	s, err := load[suite](f.names, suiteKey(e.Suite))
	if err != nil {
		return "", err
	}
	// A condition on bytes that are not held any more would be answered with
	// nothing to serve.
	for _, v := range []*cachedURL{&s.InRelease, &s.Release, &s.Signature} {
		if !f.holdsVersion(*v) {
			*v = cachedURL{}
		}
	}
	if e.Location.Name() == "InRelease" {
		err = f.refreshInRelease(ctx, e.Suite, &s, c)
	} else {
		err = f.refreshRelease(ctx, e.Suite, &s, c)
	}
	var status *mirror.StatusError
	switch {
	case err == nil:
	case errors.As(err, &status) && !isUnreachable(err):
		*s.form(e.Location.Name()) = cachedURL{Missing: status.Code, Checked: time.Now()}
	case isUnreachable(err) && !s.form(e.Location.Name()).Digest.IsZero():
		f.log.Warn("a suite could not be checked, serving the last good one",
			"suite", e.Suite.String(), "err", err)
		stale = err.Error()
		s.form(e.Location.Name()).Unchecked = stale
	default:
		return "", err
	}
	return stale, save(f.names, suiteKey(e.Suite), s)
}

// refreshInRelease brings s.InRelease up to date.
func (f *Fetcher) refreshInRelease(ctx context.Context, dir catalog.Location, s *suite, c *check) error {
	body, v, err := f.pull(ctx, dir.Join("InRelease"), s.InRelease)
	if err != nil {
		return err
	}
	if body != nil {
		if err := f.adopt(dir, catalog.ReleaseFiles{InRelease: body}, s.InRelease, v, c); err != nil {
			return err
		}
	}
	s.InRelease = v
	return nil
}

// refreshRelease brings s.Release and s.Signature up to date, together. The
// mirror may be updated between the two requests; then both are asked for
// once more.
func (f *Fetcher) refreshRelease(ctx context.Context, dir catalog.Location, s *suite, c *check) error {
	var err error
	for range 3 {
		var body, sig []byte
		var v, sv cachedURL
		if body, v, err = f.pull(ctx, dir.Join("Release"), s.Release); err != nil {
			return err
		}
		if body == nil {
			s.Release = v
			return nil
		}
		sig, sv, err = f.pull(ctx, dir.Join("Release.gpg"), cachedURL{})
		var status *mirror.StatusError
		if errors.As(err, &status) && !isUnreachable(err) {
			sv, err = cachedURL{Missing: status.Code, Checked: time.Now()}, nil
		}
		if err != nil {
			return err
		}
		if sig != nil {
			if err := f.keepHead(dir.Join("Release.gpg"), sv.Digest, sig, c); err != nil {
				return err
			}
		}
		err = f.adopt(dir, catalog.ReleaseFiles{Release: body, Signature: sig}, s.Release, v, c)
		if err == nil {
			f.release(dir, s.Signature.Digest, sv.Digest)
			s.Release, s.Signature = v, sv
			return nil
		}
		if !errors.Is(err, keyring.ErrBadSignature) {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return err
}

// pull asks the mirror for a head of which v is held. A nil body says that v
// is current; the cachedURL returned is in force then too.
func (f *Fetcher) pull(ctx context.Context, l catalog.Location, v cachedURL) ([]byte, cachedURL, error) {
	resp, err := f.mirror.Get(ctx, v.request(l))
	if err != nil {
		return nil, v, err
	}
	defer resp.Body.Close()
	now := time.Now()
	if resp.Status == 304 {
		v.Checked, v.Unchecked = now, ""
		return nil, v, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHead+1))
	if err != nil {
		return nil, v, err
	}
	if len(body) > maxHead {
		return nil, v, fmt.Errorf("%w: it is longer than %d bytes", ErrNotRelease, maxHead)
	}
	d := digest.Of(body)
	if d == v.Digest { // a mirror without validators sends it all each time
		v.Checked, v.Unchecked = now, ""
		return nil, v, nil
	}
	return body, cachedURL{
		Digest: d, Size: int64(len(body)), ETag: resp.ETag, LastModified: resp.LastModified, Seen: now, Checked: now,
	}, nil
}

// adopt keeps a new head and teaches the catalog. What is no Release, or has
// a known key's signature over other bytes, is refused: the last good one
// stays in force.
func (f *Fetcher) adopt(dir catalog.Location, r catalog.ReleaseFiles, old, new cachedURL, c *check) error {
	checked, err := f.catalog.CheckRelease(dir, r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRelease, err)
	}
	name, body := "InRelease", r.InRelease
	if body == nil {
		name, body = "Release", r.Release
	}
	if err := f.keepHead(dir.Join(name), new.Digest, body, c); err != nil {
		return err
	}
	g, err := f.catalog.Adopt(checked)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRelease, err)
	}
	f.release(dir, old.Digest, new.Digest)
	f.log.Info("a suite has a new generation", "suite", dir.String(), "date", g.Date, "signed", g.Signed, "why", g.Why)
	return nil
}

// keepHead stores a head and keeps it from eviction: it is what is served
// while the mirror is away. Without room those who wait for c get it all the
// same, and the next client's request fetches it again.
func (f *Fetcher) keepHead(l catalog.Location, d digest.Digest, body []byte, c *check) error {
	c.fetched[d] = body
	err := f.store.Put(d, int64(len(body)), bytes.NewReader(body), store.Meta{
		Name: l.Name(), From: []store.Provenance{{Name: l.Host}}, Pin: pinOwner(l.Dir()),
	})
	if errors.Is(err, store.ErrNoSpace) {
		f.log.Warn("no room for a Release file; it cannot be served while the mirror is away", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("keeping a Release file: %w", err)
	}
	return nil
}

// pinOwner is the owner of the pins of a suite's Release files.
func pinOwner(suite catalog.Location) string { return "release " + suite.String() }

// release lets go of a head that another has replaced. Clients in the middle
// of an update may still ask for it; it is only evictable now, not gone.
func (f *Fetcher) release(suite catalog.Location, old, new digest.Digest) {
	if old.IsZero() || old == new {
		return
	}
	if err := f.store.Unpin(old, pinOwner(suite)); err != nil {
		f.log.Debug("a replaced Release file was not held any more", "digest", old, "err", err)
	}
}

// expire makes the next request for the suite's head ask the mirror.
func (f *Fetcher) expire(dir catalog.Location) {
	s, err := load[suite](f.names, suiteKey(dir))
	if err != nil {
		return // the next check meets and tells the same error
	}
	s.InRelease.Checked, s.Release.Checked = time.Time{}, time.Time{}
	if err := save(f.names, suiteKey(dir), s); err != nil {
		f.log.Warn("a suite's record could not be written", "suite", dir.String(), "err", err)
	}
}
