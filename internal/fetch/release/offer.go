package release

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

// maxNamed bounds the suites that other boxes may ask for. They are proved by a key of
// the keyring, so nobody can make up many.
const maxNamed = 1024

// noteNamed has Offer answer for the suite in dir.
func (c *Cache) noteNamed(dir catalog.Location) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := suiteName(dir)
	if _, ok := c.named[name]; !ok && len(c.named) >= maxNamed { // those forgotten cost a request
		clear(c.named)
	}
	c.named[name] = dir
}

// Offered is what another box is told of a suite.
type Offered struct {
	Age time.Duration // since this box's mirror confirmed it
	// Release is the InRelease or the Release, Signature the Release.gpg, or zero with
	// InRelease. Both are zero if they are those that the query names.
	Release, Signature digest.Digest
	// Coming has their bytes if they wait for their indices and are not in the store yet.
	Coming map[digest.Digest][]byte
}

// Offer answers a query of another box of this site by what the mirror has confirmed to
// this one within the TTL. Otherwise it calls asking, and asks the mirror, and no other
// box: by has asked those that rank higher. The error is fs.ErrNotExist if there is
// nothing that by may be told.
func (c *Cache) Offer(ctx context.Context, by peer.Asker, q peer.ReleaseQuery, asking func()) (Offered, error) {
	c.mu.Lock()
	dir, ok := c.named[q.Suite]
	c.mu.Unlock()
	absent := fmt.Errorf("the suite %s: %w", q.Suite.Short(), fs.ErrNotExist)
	if !ok {
		return Offered{}, absent
	}
	e := requestFor(dir, "InRelease")
	if q.Pair {
		e = requestFor(dir, "Release")
	}
	e.Own = true
	s, _, err := c.load(dir, "")
	if err != nil {
		return Offered{}, err
	}
	if c.access.Login(e.Location, "") != "" || !c.offers(e, &s, by.Kind) {
		return Offered{}, absent
	}
	if !c.fresh(&s, e) {
		asking()
		k, err := c.announced(ctx, e)
		if err != nil {
			return Offered{}, absent
		}
		if k != nil {
			return k.offered(q, by.Kind, absent)
		}
		if s, _, err = c.load(dir, ""); err != nil || !c.offers(e, &s, by.Kind) {
			return Offered{}, absent
		}
	}
	form := s.form(e.Location.Name())
	if form.Unchecked != "" || form.Vouched != "" {
		return Offered{}, absent
	}
	o := Offered{Age: form.Age()}
	if form.Digest != q.Held || q.Pair && s.Signature.Digest != q.Signature {
		o.Release = form.Digest
		if q.Pair {
			o.Signature = s.Signature.Digest
		}
	}
	return o, nil
}

// announced waits for a check of e's suite. It returns the check if that has a Release
// which waits for its indices, and nil when it has ended.
func (c *Cache) announced(ctx context.Context, e Request) (*check, error) {
	for {
		s, ended, err := c.load(e.Suite, "")
		if err != nil || c.fresh(&s, e) {
			return nil, err
		}
		k := c.check(e, s, ended)
		if k == nil {
			continue // one has ended since
		}
		select {
		case <-k.done:
			return nil, k.err
		case <-k.announced:
			return k, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// offered is what boxes of a kind are told of the Release that waits for its indices. Like
// one in force it is told of only if this box has it from the mirror.
func (k *check) offered(q peer.ReleaseQuery, to peer.Kind, absent error) (Offered, error) {
	g := k.release.Generation
	if k.from != "" || to <= peer.Stranger || !proved(g) || !usable(g) || !g.Sharing().Includes(to) {
		return Offered{}, absent
	}
	o := Offered{Age: time.Since(k.begun), Coming: make(map[digest.Digest][]byte)}
	if !q.Pair {
		o.Release = digest.Of(k.files.InRelease)
		o.Coming[o.Release] = k.files.InRelease
		return o, nil
	}
	o.Release, o.Signature = digest.Of(k.files.Release), digest.Of(k.files.Signature)
	o.Coming[o.Release], o.Coming[o.Signature] = k.files.Release, k.files.Signature
	return o, nil
}

// offers reports whether boxes of that kind may be told of e's suite.
func (c *Cache) offers(e Request, s *suite, to peer.Kind) bool {
	g, ok := c.shared(e, s)
	return ok && to > peer.Stranger && g.Sharing().Includes(to)
}

// requestFor is the box's own request for the file of that name of the suite in dir.
func requestFor(dir catalog.Location, name string) Request {
	return Request{Entry: catalog.Entry{Location: dir.Join(name), Kind: catalog.ReleaseFile, Size: -1, Suite: dir}}
}
