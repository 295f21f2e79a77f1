package rings

import (
	"cmp"
	"context"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

// maxChanges bounds the packages that are told, of those that are counted.
const maxChanges = 5000

// Changes is what a promotion brings of a suite.
type Changes struct {
	From, To                 Generation
	Added, Removed, Replaced int
	Security                 int      // of Added and Replaced
	Packages                 []Change // sorted, the first 5,000
	Unread                   bool     // not all indices of both are known, so that there may be more
}

// Change is one package of an architecture.
type Change struct {
	Package, Architecture string
	Old, New              string // versions; "" for none
	Security              bool   // New is one of a suite whose name says security
}

// Changes compares what a ring has of a suite with what a promotion would bring. Both
// lists are in memory meanwhile, so one comparison runs at a time.
func (r *Rings) Changes(ctx context.Context, name string, suite catalog.Location) (Changes, error) {
	select {
	case r.comparing <- struct{}{}:
		defer func() { <-r.comparing }()
	case <-ctx.Done():
		return Changes{}, context.Cause(ctx)
	}
	from, to, err := r.ends(name, suite)
	if err != nil {
		return Changes{}, err
	}
	c := Changes{From: shown(from), To: shown(to)}
	if from.same(to) {
		return c, nil
	}
	old, err := r.newest(ctx, suite, from.Generation)
	if err != nil {
		return c, err
	}
	fresh, err := r.newest(ctx, suite, to.Generation)
	if err != nil {
		return c, err
	}
	c.Unread = len(old) == 0 || len(fresh) == 0
	of := r.securityOf(suite)
	for key, n := range fresh {
		o, had := old[key]
		delete(old, key)
		if had && o.version == n.version {
			continue
		}
		security := of(n.digest)
		if security {
			c.Security++
		}
		if had {
			c.Replaced++
		} else {
			c.Added++
		}
		c.Packages = append(c.Packages, Change{key.name, key.arch, o.version, n.version, security})
	}
	for key, o := range old {
		c.Removed++
		c.Packages = append(c.Packages, Change{key.name, key.arch, o.version, "", false})
	}
	slices.SortFunc(c.Packages, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Architecture, b.Architecture))
	})
	c.Packages = c.Packages[:min(len(c.Packages), maxChanges)]
	return c, nil
}

// ends returns what a ring has of a suite, and what its parent has.
func (r *Rings) ends(name string, suite catalog.Location) (from, to step, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, err := r.ring(name)
	if err != nil {
		return step{}, step{}, err
	}
	l := of.lanes[suite]
	parent, _ := r.parent(of, suite)
	if l == nil || parent == nil {
		return step{}, step{}, ErrNoLane
	}
	return l.present(), parent.present(), nil
}

// packageKey is what one version of a package replaces another one of.
type packageKey struct{ name, arch string }

type version struct {
	version string
	digest  digest.Digest
}

// newest returns the newest version of each package that a generation lists.
func (r *Rings) newest(ctx context.Context, suite catalog.Location, id digest.Digest) (map[packageKey]version, error) {
	all := make(map[packageKey]version)
	for e, err := range r.catalog.PackagesOf(suite, id) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		f, ok := deb.ParseFileName(e.Location.Name())
		if !ok {
			continue
		}
		key := packageKey{f.Package, f.Architecture}
		if o, had := all[key]; !had || deb.CompareVersions(o.version, f.Version) < 0 {
			all[key] = version{f.Version, e.Digest}
		}
	}
	return all, nil
}

// securityOf reports of files of a suite whether a suite lists them whose name says
// security.
func (r *Rings) securityOf(suite catalog.Location) func(digest.Digest) bool {
	known := make(map[catalog.Location]bool)
	is := func(l catalog.Location) bool {
		if _, asked := known[l]; !asked {
			g, _ := r.catalog.Generation(l, digest.Digest{})
			known[l] = isSecurity(l, g)
		}
		return known[l]
	}
	return func(d digest.Digest) (security bool) {
		if is(suite) {
			return true
		}
		err := r.catalog.ListedBy(d, func(l catalog.Location, _ digest.Digest) bool {
			security = security || is(l)
			return !security
		})
		if err != nil {
			r.log.Warn("catalog not readable", "digest", d, "err", err)
		}
		return security
	}
}
