package catalog

import (
	"fmt"
	"path"
	"time"

	"millpond/internal/deb822"
)

// Adopt makes r the current generation of its suite. Adopting the current or
// an earlier one again writes no rows; what was known of its signature is
// renewed. Of Releases of one suite that are adopted at the same time, the one
// whose Adopt returns last is current.
func (c *Catalog) Adopt(r *CheckedRelease) (Generation, error) {
	g, err := c.adopt(r)
	if err != nil {
		return Generation{}, fmt.Errorf("learning the Release of %s: %w", r.dir, err)
	}
	return g, nil
}

// Expect makes r known as a generation that is to come: what it lists can be looked up,
// fetched and learned as what any generation lists, and the current one stays in force.
// Adopt brings it into force. One that does not come is dropped like an earlier one.
func (c *Catalog) Expect(r *CheckedRelease) error {
	if _, err := c.take(r, (*suite).await); err != nil {
		return fmt.Errorf("learning the Release of %s that is to come: %w", r.dir, err)
	}
	return nil
}

func (c *Catalog) adopt(r *CheckedRelease) (Generation, error) { return c.take(r, (*suite).supersede) }

// take writes what r lists and enters its generation into its suite.
func (c *Catalog) take(r *CheckedRelease, enter func(*suite, *generation, time.Time)) (Generation, error) {
	var written *table // what r lists, if no table has all of it yet
	for {
		if written == nil && c.state.Load().complete(r) == nil {
			var err error
			if written, err = c.writeRelease(r); err != nil {
				return Generation{}, err
			}
		}
		g, done, err := c.publishRelease(r, written, enter)
		if done || err != nil {
			return g, err
		}
		// The table found above has been dropped since.
	}
}

// complete returns the table with all that r lists, nil if there is none.
func (s *state) complete(r *CheckedRelease) *table {
	t := s.byContent[r.content()]
	if t == nil || len(r.hashes) == 0 {
		return t
	}
	for _, p := range s.shown[t.id].places {
		if p.gen.Named {
			return t
		}
	}
	return nil
}

// content names the table of what r lists. Suites with the very same Release
// share it.
func (r *CheckedRelease) content() content { return content{r.record.ID, kindRelease} }

// writeRelease writes the rows of what a Release lists. It may take a while and
// is done without a lock.
func (c *Catalog) writeRelease(r *CheckedRelease) (t *table, err error) {
	w, err := c.rows.writer()
	if err != nil {
		return nil, err
	}
	defer w.cancel()
	for _, f := range r.files {
		if err = w.put(row{f.Path, f.Digest, f.Size}); err != nil {
			break
		}
	}
	if err == nil {
		err = w.putHashes(r.files, r.hashes)
	}
	if err == nil {
		t, err = w.finish(kindRelease, r.record.ID)
	}
	if err != nil {
		c.discard(w.id)
	}
	return t, err
}

// publishRelease enters r, as enter does, which makes it current or not. Its table is the visible one
// of that content or else written, if that is not nil; without either it is not
// done. A written table that is not needed is discarded.
func (c *Catalog) publishRelease(r *CheckedRelease, written *table, enter func(*suite, *generation, time.Time)) (g Generation, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.state.Load()
	next := old.clone()
	changed := []Location{r.dir}
	t := old.complete(r)
	switch {
	case t == nil && written == nil:
		return Generation{}, false, nil
	case t == nil:
		t = written
		changed = append(changed, next.replace(old.byContent[r.content()], t)...)
	case written != nil:
		c.discard(written.id)
		written = nil
	}
	gen, news, err := c.enter(next, r, t, enter)
	if err == nil && (news || len(changed) > 1) {
		err = c.commit(next, changed...)
	}
	if err != nil {
		if written != nil {
			c.discard(written.id)
		}
		return Generation{}, false, err
	}
	return gen.Generation, true, nil
}

// replace puts the complete table t in the place of one that lacks names, if
// that is not nil, and returns the suites that it was shown in.
func (s *state) replace(lacking, t *table) (changed []Location) {
	for dir, st := range s.suites {
		for g := range st.all {
			if lacking != nil && g.Table == lacking.id {
				g.Table, g.Named = t.id, true
				s.tables[t.id] = t
				changed = append(changed, dir)
			}
		}
	}
	return changed
}

// enter enters r, which lists what t does, into its suite in s, by means of into.
// changed says whether it was not so before.
func (c *Catalog) enter(s *state, r *CheckedRelease, t *table, into func(*suite, *generation, time.Time)) (g *generation, changed bool, err error) {
	now := c.now()
	st := s.suites[r.dir]
	if st == nil {
		st = newSuite(r.dir, now)
		s.suites[r.dir] = st
	}
	st.used.Store(now.Unix())
	if g = st.find(r.record.ID); g == nil {
		rec := r.record
		s.tables[t.id] = t
		rec.Table, rec.Named = t.id, len(r.hashes) > 0
		g = &generation{record: rec}
		if err := c.inherit(s, g, r.files); err != nil {
			return nil, false, err
		}
		into(st, g, now)
		return g, true, nil
	}
	rec := c.renewed(g, r)
	rec.Private, rec.Reach = r.record.Private && g.Private, g.Reach.with(r.record.Reach)
	if g.Private && !rec.Private {
		rec.Reach = r.record.Reach // a login is not what it takes
	}
	if g == st.current() && g.same(rec) {
		return g, false, nil
	}
	g.record = rec
	into(st, g, now)
	return g, true, nil
}

// inherit gives a new generation the indices that were learned before, in
// another generation or another archive.
func (c *Catalog) inherit(s *state, g *generation, files []deb822.File) error {
	for _, f := range files {
		k, _ := indexKind(f.Path)
		t := s.byContent[content{f.Digest, k}]
		if k == noIndex || t == nil {
			continue
		}
		g.add(f.Path, t)
		dir := path.Dir(f.Path)
		if k != kindDiffIndex || !isPatchDir(dir) {
			continue
		}
		err := c.rows.all(t.id, func(p row) bool {
			if t := s.byContent[content{p.digest, kindPatch}]; t != nil {
				g.add(path.Join(dir, p.path), t)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}
