package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
)

// Bring puts in force the Release of the suite in dir that somebody brought on a medium:
// files that anybody may have made. It has to be signed by a key of the keyring, to be of
// that suite, and as good as the one in force. The catalog expects it while take takes its
// indices from the medium, which must have those that clients have of the one in force.
// The mirror is asked for the suite as before.
func (c *Cache) Bring(ctx context.Context, dir catalog.Location, files catalog.ReleaseFiles, take func(release digest.Digest) error) (catalog.Generation, error) {
	e := requestFor(dir, "InRelease")
	body := files.InRelease
	if body == nil {
		e, body = requestFor(dir, "Release"), files.Release
	}
	checked, err := c.checkRelease(dir, files)
	if err != nil {
		return catalog.Generation{}, err
	}
	g := checked.Generation
	if err := ofSuite(dir, g); err != nil {
		return g, err
	}
	s, _, err := c.load(dir, "")
	if err != nil {
		return g, err
	}
	o := offer{checked: checked, files: files, decisive: s.form(e.Location.Name()).brought(body), signature: s.Signature.brought(files.Signature)}
	if err := c.compareBrought(e, &s, &o); err != nil {
		return g, err
	}
	if err := c.catalog.Expect(checked); err != nil {
		return g, err
	}
	if err := take(g.ID); err != nil {
		return g, err
	}
	return g, c.takeBrought(ctx, e, &o)
}

// ofSuite returns why a Release from a medium is not that of the suite in dir.
func ofSuite(dir catalog.Location, g catalog.Generation) error {
	_, _, named := dir.SplitSuite()
	switch {
	case !proved(g):
		return fmt.Errorf("%w: %s", errUnsigned, g.Why)
	case named && !g.Names(dir):
		return fmt.Errorf("%w: it has Suite %q and Codename %q", errForeign, g.Suite, g.Codename)
	}
	return nil
}

// compareBrought returns why what was brought is worse than what is in force.
func (c *Cache) compareBrought(e Request, s *suite, o *offer) error {
	p := poll{c: c, e: e, k: &check{suite: *s}}
	return p.compare(o)
}

// brought is the record of a file that came on a medium instead of v: no mirror has said
// anything about it.
func (v record) brought(body []byte) record {
	if body == nil {
		return record{}
	}
	if d := digest.Of(body); d == v.Digest {
		return v
	}
	n := v.given(body, 0, "")
	n.Check = mirror.Check{}
	return n
}

// takeBrought puts in force what was brought, as a check of e's suite.
func (c *Cache) takeBrought(ctx context.Context, e Request, o *offer) error {
	k, err := c.checkAlone(ctx, e)
	if err != nil {
		return err
	}
	k.err = func() error {
		s, _, err := c.load(e.Suite, "")
		if err != nil {
			return err
		}
		k.suite = s
		before := s
		if err := c.compareBrought(e, &k.suite, o); err != nil {
			return err
		}
		if err := c.lacks(e, k, o); err != nil {
			return err
		}
		k.brought = true
		if err := c.take(ctx, e, k, *o); err != nil {
			return err
		}
		return c.put(e.Suite, false, before, k.suite)
	}()
	c.endCheck(e, k)
	if errors.Is(k.err, kv.ErrRefused) {
		return fmt.Errorf("the disk is full: %w", k.err)
	}
	return k.err
}

// lacks returns which of the indices that clients have of the Release in force are not
// held of the one that was brought.
func (c *Cache) lacks(e Request, k *check, o *offer) error {
	used, err := c.used(o.checked, k.suite.form(e.Location.Name()), "")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(used, func(n catalog.Change) bool {
		_, err := c.store.Stat(n.Now.Digest)
		return errors.Is(err, fs.ErrNotExist)
	})
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%w: %s, which clients use, is missing", errNotYet, used[i].Now.Location)
}

// checkAlone waits until no check of e's suite is in progress, and begins one, which the
// caller ends with endCheck.
func (c *Cache) checkAlone(ctx context.Context, e Request) (*check, error) {
	for {
		c.mu.Lock()
		other := c.checks[checkKey(e)]
		if other == nil {
			k := c.newCheck(e, suite{})
			k.learned = func() {}
			k.isSlow() // clients go on with what they can be served
			c.checks[checkKey(e)] = k
			c.mu.Unlock()
			return k, nil
		}
		c.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// endCheck ends a check, for all who wait for it.
func (c *Cache) endCheck(e Request, k *check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.checks, checkKey(e))
	c.ended++
	close(k.done)
}
