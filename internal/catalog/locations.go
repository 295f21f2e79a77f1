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

// Shared returns with which boxes d may be shared, by the signed Releases that list
// it: one that is public is enough; and its size, -1 if no list has it.
func (c *Catalog) Shared(d digest.Digest) (size int64, with Sharing) {
	s := c.state.Load()
	size = -1
	err := c.rows.listed(d, maxListed, func(l listing) bool {
		sh := s.shown[l.table]
		if sh == nil || sh.shared == WithNobody {
			return true
		}
		if size < 0 || sh.shared > with && l.size >= 0 {
			size = l.size
		}
		with = max(with, sh.shared)
		return size < 0 || with < WithAll
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
		return -1, WithNobody
	}
	return size, with
}

// Describe is the inverse of Resolve: it returns an entry whose content is
// d, listed under a signed Release, for a peer's request that has a digest
// only; the one that is shared most widely. It never waits.
func (c *Catalog) Describe(d digest.Digest) (e Entry, ok bool) {
	s := c.state.Load()
	with := WithNobody // the archive of e
	err := c.rows.listed(d, maxListed, func(l listing) bool {
		sh := s.shown[l.table]
		if sh == nil || !sh.signed || ok && sh.shared <= with {
			return true
		}
		for _, p := range sh.places {
			if ok && p.gen.Sharing() <= with {
				continue
			}
			pin := func(Location) digest.Digest { return p.gen.ID }
			found := c.resolve(p.locate(sh.kind, l.path), pin)
			if found.Kind != Content || found.Digest != d || !found.Signed {
				continue
			}
			if e, ok, with = found, true, p.gen.Sharing(); with == WithAll {
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

// name is a location of some content, with whom its archive is shared, and whether
// a setting says so.
type name struct {
	Location
	shared Sharing
	listed bool
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
			n := name{p.locate(sh.kind, l.path), p.gen.Sharing(), p.gen.Signed && p.gen.Listed}
			i := slices.IndexFunc(found, func(o name) bool { return o.Location == n.Location })
			if i >= 0 {
				found[i].shared, found[i].listed = max(found[i].shared, n.shared), found[i].listed || n.listed
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

// Places lists the locations, 64 at most, at which lists say that d is, but for those by
// hash; all reports whether there are no others.
func (c *Catalog) Places(d digest.Digest) (places []Location, all bool) {
	more := false // than names looks at
	count := make(map[tableID]int)
	err := c.rows.listed(d, maxListed+1, func(l listing) bool {
		count[l.table]++
		more = count[l.table] > maxListed
		return !more
	})
	found := c.names(d)
	for _, n := range found {
		places = append(places, n.Location)
	}
	return places, err == nil && !more && len(found) < maxNames
}

// SharedAt lists locations of d, those by hash too, that a setting shares with all
// boxes whatever login they take.
func (c *Catalog) SharedAt(d digest.Digest) (all []Location) {
	for _, n := range c.names(d) {
		if n.listed {
			all = append(all, n.Location, n.Dir().Join(byHashName("", "SHA256", d.String())))
		}
	}
	return all
}

// SignedAt reports whether a Release that counts as signed lists the content d at l,
// or beside l if that is a name in by-hash, itself or in an index. Anybody can request
// any digest under any other name.
func (c *Catalog) SignedAt(d digest.Digest, l Location) (signed bool) {
	s := c.state.Load()
	dir, _, _, hashed := byHash(l)
	err := c.rows.listed(d, maxListed, func(f listing) bool {
		sh := s.shown[f.table]
		if sh == nil || !sh.signed {
			return true
		}
		for _, p := range sh.places {
			at := p.locate(sh.kind, f.path)
			signed = signed || p.gen.Signed && (at == l || hashed && at.Dir() == dir)
		}
		return !signed
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
	}
	return signed
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
		return e.Location.Scheme == "https" && n.Scheme != "https" || n.Host != e.Location.Host && n.shared == WithNobody
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
