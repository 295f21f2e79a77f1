package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/mirror"
)

// pairDelay is how long a mirror that was updated between the requests for
// Release and Release.gpg gets before both are requested once more.
const pairDelay = 300 * time.Millisecond

// pair is Release and its signature as the mirror has them.
type pair struct {
	files              catalog.ReleaseFiles
	news               bool // Release is not the held one
	release, signature record
}

// offerPair asks a mirror for Release and its signature, together: some archives
// sign a Release later than they write it, or anew with another key. A Release
// whose signature is over other bytes does not replace a signed one; where there
// is none, clients get both as the mirror has them.
func (c *Cache) offerPair(ctx context.Context, dir catalog.Location, k *check, to target) (offer, error) {
	p, checked, err := c.pullPair(ctx, dir, k, to)
	if p.news && errors.Is(err, keyring.ErrBadSignature) {
		select {
		case <-time.After(pairDelay):
		case <-ctx.Done():
			return offer{}, ctx.Err()
		}
		p, checked, err = c.pullPair(ctx, dir, k, to)
	}
	if errors.Is(err, keyring.ErrBadSignature) && p.files.Release != nil && !c.signed(dir, &k.suite) {
		checked, err = c.checkUnfit(dir, p.files)
	}
	return offer{checked: checked, files: p.files, decisive: p.release, signature: p.signature}, err
}

// pullPair requests both files and checks what is new of them; checked is nil
// if nothing is.
func (c *Cache) pullPair(ctx context.Context, dir catalog.Location, k *check, to target) (p pair, checked *catalog.CheckedRelease, err error) {
	s := &k.suite
	p.files.Private = k.login != ""
	if p.files.Release, p.release, err = c.pull(ctx, dir.Join("Release"), s.Release, to); err != nil {
		return p, nil, err
	}
	p.news, p.files.Reach = p.files.Release != nil, p.release.Reach
	held := s.Signature
	if p.news {
		held = record{} // another Release has another signature
		if _, err := c.checkRelease(dir, catalog.ReleaseFiles{Release: p.files.Release}); err != nil {
			return p, nil, err
		}
	}
	p.files.Signature, p.signature, err = c.pull(ctx, dir.Join("Release.gpg"), held, to)
	var status *mirror.StatusError
	switch {
	case errors.As(err, &status) && !mirror.IsUnreachable(err):
		p.signature = missing(status.Code)
	case err != nil:
		return p, nil, err
	case p.files.Signature != nil && !keyring.IsDetached(p.files.Signature):
		status = &mirror.StatusError{Code: http.StatusOK}
	}
	if p.files.Reach.Public && !p.signature.Digest.IsZero() {
		p.files.Reach = p.signature.Reach
	}
	switch {
	case !p.news && status != nil && c.signed(dir, s):
		return p, nil, fmt.Errorf("%w: the mirror answers %d for Release.gpg", errUnsigned, status.Code)
	case !p.news && p.files.Signature == nil:
		return p, nil, nil
	}
	if !p.news {
		if p.files.Release, err = c.read(s.Release); err != nil {
			return p, nil, fmt.Errorf("reading the held Release of %s: %w", dir, err)
		}
	}
	checked, err = c.checkRelease(dir, p.files)
	return p, checked, err
}

// signed reports whether the held Release is in force with the held signature.
func (c *Cache) signed(dir catalog.Location, s *suite) bool {
	g, ok := c.catalog.Generation(dir, s.Release.Digest)
	return ok && !s.Release.Digest.IsZero() && g.Signed && !g.Signature.IsZero() && g.Signature == s.Signature.Digest
}

// checkUnfit checks a Release of which the mirror's signature is over other
// bytes. It counts as unsigned.
func (c *Cache) checkUnfit(dir catalog.Location, r catalog.ReleaseFiles) (*catalog.CheckedRelease, error) {
	r.Signature, r.Unsigned = nil, "the signature in Release.gpg is over other bytes"
	return c.checkRelease(dir, r)
}

// keepAll keeps what is new of Release and its signature, or of InRelease.
func (c *Cache) keepAll(checked *catalog.CheckedRelease, r catalog.ReleaseFiles, old, new digest.Digest, k *check) error {
	files := map[string][]byte{"InRelease": r.InRelease, "Release": r.Release, "Release.gpg": r.Signature}
	if old == new {
		delete(files, "Release")
	}
	for name, body := range files {
		if body == nil {
			continue
		}
		if err := c.keep(checked.Suite().Join(name), checked.Generation.Signed, body, k); err != nil {
			return err
		}
	}
	return nil
}
