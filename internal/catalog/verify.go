package catalog

import (
	"slices"

	"millpond/internal/digest"
)

// Verify verifies the Release files of a known generation again: keys and the
// clock may have changed since. It returns the generation as it is then, and
// whether that differs. Unlike Adopt, it leaves what is current. A generation
// that is not known is the zero one. Errors are CheckRelease's.
func (c *Catalog) Verify(dir Location, files ReleaseFiles) (g Generation, changed bool, err error) {
	r, err := c.CheckRelease(dir, files)
	if err != nil {
		return Generation{}, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.state.Load()
	known := now.generation(dir, r.record.ID)
	if known == nil {
		return Generation{}, false, nil
	}
	rec := c.renewed(known, r)
	if known.same(rec) {
		return known.Generation, false, nil
	}
	next := now.clone()
	next.generation(dir, rec.ID).record = rec
	if err := c.commit(next, dir); err != nil {
		return Generation{}, false, err
	}
	return rec.Generation, true, nil
}

// KeysChanged makes unsigned what a key signed that has left the keyring, also
// where the Release files are not held any more. Verify finds what is signed by
// another key, or by one that has come.
func (c *Catalog) KeysChanged() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.Load().clone()
	var changed []Location
	for dir, st := range next.suites {
		for g := range st.all {
			rec := g.record
			c.decideSigned(dir, &rec)
			if !g.same(rec) {
				g.record = rec
				changed = append(changed, dir)
			}
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return c.commit(next, changed...)
}

// generation returns a kept generation of the suite in dir, or nil.
func (s *state) generation(dir Location, id digest.Digest) *generation {
	if st := s.suites[dir]; st != nil {
		return st.find(id)
	}
	return nil
}

// renewed is what is known of g with what r, the same Release, says of its
// signature now.
func (c *Catalog) renewed(g *generation, r *CheckedRelease) record {
	rec := r.record
	rec.Learned, rec.Table, rec.Named, rec.Private, rec.Reach, rec.Superseded, rec.Coming = g.Learned, g.Table, g.Named, g.Private, g.Reach, g.Superseded, g.Coming
	if r.unsigned {
		rec.Signature, rec.Signer, rec.Fault, rec.Missing, rec.Where, rec.Early = g.Signature, g.Signer, g.Fault, g.Missing, g.Where, g.Early
		c.decideSigned(r.dir, &rec)
	}
	return rec
}

// same reports whether rec says no more of g than is known.
func (g *generation) same(rec record) bool {
	return g.Signed == rec.Signed && g.Signature == rec.Signature && g.Signer == rec.Signer && g.Private == rec.Private && g.Reach == rec.Reach && g.Listed == rec.Listed &&
		g.Fault == rec.Fault && g.Early == rec.Early && slices.Equal(g.Missing, rec.Missing) &&
		slices.Equal(g.SignedBy, rec.SignedBy) && slices.Equal(g.Where, rec.Where)
}
