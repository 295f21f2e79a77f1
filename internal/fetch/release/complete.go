package release

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

const (
	// maxIndices bounds the indices that a mirror is asked for; clients of all
	// architectures together use some tens of a suite.
	maxIndices = 64
	// maxAsked is how many of them are asked for at once, as apt would.
	maxAsked = 4
	// slowAfter is how long clients wait for the answers. Then they go on with the
	// Release in force, and the check alone waits for the mirror, which may have to
	// fetch its files first.
	slowAfter = 5 * time.Second
	// askTimeout bounds the requests together; package mirror bounds each.
	askTimeout = 150 * time.Second
)

// errNotYet says that a new Release does not replace a better one for now.
var errNotYet = errors.New("what the mirror has is not complete")

// wait notes that a new Release is not complete, and reports whether it is to be
// waited for.
func (p *pending) wait() bool {
	age, _, ok := clock.Since(p.Since, p.By)
	if !ok {
		*p = pending{time.Now(), clock.Read()}
	}
	return age < patience
}

// complete returns errNotYet if the mirror lacks what a new Release, now, lists of
// the indices that clients have of the one in force, v: these go on with v then,
// which the box has whole as far as they use it. What a followed suite's lists is
// fetched first. After patience the mirror's word
// counts, and an expired Release is worth nothing.
func (c *Cache) complete(ctx context.Context, r *catalog.CheckedRelease, v *record, now record, k *check) error {
	dir := r.Suite()
	g, ok := c.catalog.Generation(dir, v.Digest)
	if !ok || v.Digest.IsZero() || expired(g) {
		return nil
	}
	used, err := c.used(r, v, k.login)
	if err != nil {
		return err
	}
	slow := time.AfterFunc(slowAfter, k.isSlow)
	waits := len(used) > 0 && c.waits(r, k)
	if waits {
		defer k.noteComing()()
	}
	err = c.allThere(ctx, used, now, k.login)
	slow.Stop()
	if err == nil && waits {
		return c.hold(ctx, r, v, k)
	}
	if err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !v.Pending.wait() {
		c.log.Warn("new Release taken without its indices", "suite", dir.String(), "since", v.Pending.Since, "err", err)
		return nil
	}
	return fmt.Errorf("%w: %s", errNotYet, err.Error()) // not wrapped: it is no answer for the Release
}

// used returns what r changes of the files that clients have got of the
// generation in force. Without the list of an index's patches apt gets the index
// whole.
func (c *Cache) used(r *catalog.CheckedRelease, v *record, login mirror.Login) ([]catalog.Change, error) {
	changes, err := c.catalog.Changes(v.Digest, r)
	if err != nil {
		return nil, err
	}
	var used []catalog.Change
	seen := make(map[digest.Digest]bool) // one place is enough: the others have the same bytes
	for _, n := range changes {
		if strings.HasSuffix(path.Dir(n.Now.Location.Path), ".diff") {
			continue
		}
		if c.holds(record{Copy: mirror.Copy{Digest: n.Before}}, login) && !seen[n.Now.Digest] && len(used) < maxIndices {
			seen[n.Now.Digest] = true
			used = append(used, n)
		}
	}
	return used, nil
}

// allThere asks the mirror for each of the files, where the new Release, now,
// came from first, and returns why one is not to be had.
func (c *Cache) allThere(ctx context.Context, files []catalog.Change, now record, login mirror.Login) error {
	limited, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	all, each := errgroup.WithContext(limited)
	all.SetLimit(maxAsked)
	for _, n := range files {
		all.Go(func() error {
			if n, ok := now.elsewhere(n); ok && c.available(each, n, login) == nil {
				return nil
			}
			return c.available(each, n, login)
		})
	}
	return all.Wait()
}
