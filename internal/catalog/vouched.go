package catalog

import "millpond/internal/digest"

// Vouched reports whether a Release that counts as signed lists the content d at l,
// or beside l if that is a name in by-hash, itself or in an index. Anybody can request
// any digest under any other name.
func (c *Catalog) Vouched(d digest.Digest, l Location) (vouched bool) {
	s := c.state.Load()
	dir, _, _, hashed := byHash(l)
	err := c.rows.listed(d, maxListed, func(f listing) bool {
		sh := s.shown[f.table]
		if sh == nil || !sh.signed {
			return true
		}
		for _, p := range sh.places {
			at := p.locate(sh.kind, f.path)
			vouched = vouched || p.gen.Signed && (at == l || hashed && at.Dir() == dir)
		}
		return !vouched
	})
	if err != nil {
		c.log.Error("catalog not readable", "digest", d, "err", err)
	}
	return vouched
}
