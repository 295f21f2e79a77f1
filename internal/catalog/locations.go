package catalog

import (
	"path"
	"slices"

	"millpond/internal/digest"
)

// maxNames bounds how many names of one digest are returned: a package is listed
// in some suites of some mirrors, an empty index everywhere.
const maxNames = 64

// maxListed bounds how many of them come from one list.
const maxListed = 8

// maxMirrors bounds the locations that Mirrors returns.
const maxMirrors = 8

// Shared reports whether d is listed under a signed Release that needs no login,
// and so may be uploaded to peers and downloaded from them; and its size, -1 if
// no list has it.
func (c *Catalog) Shared(d digest.Digest) (size int64, ok bool) {
	size, ok, err := c.shared(c.state.Load(), d)
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
		return -1, false
	}
	return size, ok
}

func (c *Catalog) shared(s *state, d digest.Digest) (size int64, ok bool, err error) {
	size = -1
	err = c.rows.listed(d, maxListed, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil && sh.shared {
			size, ok = l.size, true
		}
		return size < 0
	})
	return size, ok, err
}

// Describe is the inverse of Resolve: it returns an entry whose content is
// d, listed under a signed Release, for a peer's request that has a digest
// only; one that is shared, if there is one. It never waits.
func (c *Catalog) Describe(d digest.Digest) (e Entry, ok bool) {
	s := c.state.Load()
	err := c.rows.listed(d, maxListed, func(l listing) bool {
		sh := s.shown[l.table]
		if sh == nil || !sh.signed || ok && !sh.shared {
			return true
		}
		for _, p := range sh.places {
			if ok && p.gen.Private {
				continue
			}
			pin := func(Location) digest.Digest { return p.gen.ID }
			found := c.resolve(p.locate(sh.kind, l.path), pin)
			if found.Kind != Content || found.Digest != d || !found.Signed {
				continue
			}
			if e, ok = found, true; p.gen.shared() {
				return false
			}
		}
		return true
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
	}
	return e, ok
}

// name is a location of some content, and whether its archive is shared.
type name struct {
	Location
	shared bool
}

func (c *Catalog) names(d digest.Digest) []name {
	s := c.state.Load()
	var found []name
	err := c.rows.listed(d, maxListed, func(l listing) bool {
		sh := s.shown[l.table]
		if sh == nil {
			return true
		}
		for _, p := range sh.places {
			n := name{p.locate(sh.kind, l.path), p.gen.shared()}
			i := slices.IndexFunc(found, func(o name) bool { return o.Location == n.Location })
			if i >= 0 {
				found[i].shared = found[i].shared || n.shared
			} else if len(found) < maxNames {
				found = append(found, n)
			}
		}
		return len(found) < maxNames
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
	}
	return found
}

// locate returns where the file is that a table of kind k, shown in p, lists
// under rel.
func (p place) locate(k kind, rel string) Location {
	switch k {
	case kindRelease:
		return p.suite.dir.Join(rel)
	case kindDiffIndex:
		return p.suite.dir.Join(path.Join(path.Dir(p.path), rel))
	}
	return p.suite.poolBase(besideRelease(p.path), rel).Join(rel)
}

// Mirrors lists the locations that may have the content e, at most eight, best
// first: e.Location if it is a name in by-hash; by-hash beside it if its Release
// offers that, since it outlives the next generation; e.Location itself; then
// other names of the same digest on the same host and, as far as their archives
// are shared, on others. Content requested over https is never fetched over
// http.
func (c *Catalog) Mirrors(e Entry) []Location {
	var all []Location
	add := func(l Location) {
		if len(all) < maxMirrors && !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	dir, _, _, hashed := byHash(e.Location)
	if hashed {
		add(e.Location)
	} else {
		dir = e.Location.Dir()
	}
	if st := c.state.Load().suites[e.Suite]; st != nil && e.Kind == Content {
		if g := st.find(e.Release); g != nil && g.ByHash {
			add(dir.Join(byHashName("", "SHA256", e.Digest.String())))
		}
	}
	add(e.Location)
	if e.Kind != Content {
		return all
	}
	names := slices.DeleteFunc(c.names(e.Digest), func(n name) bool {
		return e.Location.Scheme == "https" && n.Scheme != "https" || n.Host != e.Location.Host && !n.shared
	})
	for _, here := range []bool{true, false} {
		for _, n := range names {
			if here == (n.Host == e.Location.Host) {
				add(n.Location)
			}
		}
	}
	return all
}
