package catalog

import (
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"millpond/internal/digest"
)

// Packages yields the packages that the current generation of the suite in
// that directory lists, as far as its Packages indices were learned. Signed and Shared
// are as the suite has them; before one is fetched, Vouch has what other lists say, which
// takes a search for each. Packages of two indices come twice. It holds a page of rows in
// memory and no transaction between pages; an error is the last thing it
// yields.
func (c *Catalog) Packages(suite Location) iter.Seq2[Entry, error] {
	return c.listedBy(suite, digest.Digest{}, kindPackages)
}

// PackagesOf is Packages for any generation that is known, the current one for a zero id.
func (c *Catalog) PackagesOf(suite Location, id digest.Digest) iter.Seq2[Entry, error] {
	return c.listedBy(suite, id, kindPackages)
}

// Sources is Packages for the files of source packages. Those of one source package in
// one directory come one after the other.
func (c *Catalog) Sources(suite Location) iter.Seq2[Entry, error] {
	return c.listedBy(suite, digest.Digest{}, kindSources)
}

// listedBy yields what indices of a kind list, of the current generation for a zero id.
func (c *Catalog) listedBy(suite Location, id digest.Digest, k kind) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s := c.state.Load()
		st := s.suites[suite]
		if st == nil {
			return
		}
		g := st.current()
		if !id.IsZero() {
			g = st.find(id)
		}
		if g == nil {
			return
		}
		seen := make(map[string]bool) // stems: other compressions list the same
		for _, l := range g.learned {
			if l.table.kind != k || seen[l.stem] {
				continue
			}
			seen[l.stem] = true
			sh := s.shown[l.table.id]
			for f, err := range c.rows.pages(l.table.id) {
				e := Entry{
					Location: place{st, g, l.path}.locate(k, f.path), Kind: Content, Digest: f.digest, Size: f.size,
					Signed: sh.signed, Shared: sh.shared,
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// rowPage bounds the rows that pages holds in memory.
const rowPage = 256

// pages yields the rows of a table, reading some at a time.
func (r rows) pages(id tableID) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		page := make([]row, 0, rowPage)
		for from := []byte(nil); ; {
			page = page[:0]
			err := r.from(id, from, func(f row) bool {
				page = append(page, f)
				return len(page) < rowPage
			})
			if err != nil {
				yield(row{}, err)
				return
			}
			for _, f := range page {
				if !yield(f, nil) {
					return
				}
			}
			if len(page) < rowPage {
				return
			}
			from = append(pathKey(id, page[len(page)-1].path), 0) // the smallest key after it
		}
	}
}

// Successors returns the files that the current Release of the suite in that
// directory lists in place of those of earlier generations that were used
// here: Packages indices that were learned, and whatever is held; and the lists of
// patches to those, which clients with an earlier generation ask for. What is held
// of the current one already, and learned, is left out. Each content comes
// once.
func (c *Catalog) Successors(suite Location, held func(digest.Digest) bool) ([]Entry, error) {
	return c.SuccessorsIn(suite, digest.Digest{}, held)
}

// SuccessorsIn is Successors for the generation with that id, which may be one that is
// to come, beside all others; for a zero id it is the current one.
func (c *Catalog) SuccessorsIn(suite Location, id digest.Digest, held func(digest.Digest) bool) ([]Entry, error) {
	s := c.state.Load()
	st := s.suites[suite]
	if st == nil {
		return nil, nil
	}
	g := st.current()
	if !id.IsZero() {
		if g = st.find(id); g == nil {
			return nil, nil
		}
	}
	used, err := c.used(st, g, held)
	if err != nil {
		return nil, err
	}
	var all []Entry
	seen := make(map[digest.Digest]bool)
	for _, rel := range slices.Collect(maps.Keys(used)) {
		used[listOfPatches(rel)] = true
	}
	for _, rel := range slices.Sorted(maps.Keys(used)) {
		f, index, ok, err := c.inRelease(s, g, rel)
		if err != nil {
			return nil, err
		}
		if !ok || !index && held(f.digest) || seen[f.digest] {
			continue
		}
		seen[f.digest] = true
		e, err := c.entry(s, st, g, f)
		if err != nil {
			return nil, err
		}
		e.Index = index
		all = append(all, e)
	}
	return all, nil
}

// entry is the file f that the Release of a suite's generation lists.
func (c *Catalog) entry(s *state, st *suite, g *generation, f row) (Entry, error) {
	e := Entry{
		Location: st.dir.Join(f.path), Kind: Content, Digest: f.digest, Size: f.size,
		Suite: st.dir, Release: g.ID,
	}
	err := c.mark(s, &e, g.Signed, g.Sharing())
	return e, err
}

// emptySize is more than an empty index has in any compression; xz takes 32 bytes. All
// suites list some.
const emptySize = 64

// HeldOf is how many of the files that the current Release of the suite in that directory
// lists are held, but for empty ones. A file that is listed under several names counts
// once.
func (c *Catalog) HeldOf(suite Location, held func(digest.Digest) bool) (int, error) {
	s := c.state.Load()
	st := s.suites[suite]
	if st == nil {
		return 0, nil
	}
	found := make(map[digest.Digest]bool)
	err := c.rows.all(st.current().Table, func(f row) bool {
		if f.size > emptySize && held(f.digest) {
			found[f.digest] = true
		}
		return true
	})
	return len(found), err
}

// used returns the paths, relative to the suite, of files of its generations
// beside g that clients have used. Of an index that was learned and is not
// held any more, one compression is enough.
func (c *Catalog) used(st *suite, g *generation, held func(digest.Digest) bool) (map[string]bool, error) {
	others := slices.DeleteFunc(slices.Clone(st.gens), func(o *generation) bool { return o == g })
	paths, stems := make(map[string]bool), make(map[string]bool)
	for _, g := range others {
		err := c.rows.all(g.Table, func(f row) bool {
			if held(f.digest) && !strings.Contains(f.path, "by-hash/") {
				_, stem := indexKind(f.path)
				paths[f.path], stems[stem] = true, true
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	for _, g := range others {
		for _, l := range g.learned {
			if l.table.kind == kindPackages && !stems[l.stem] {
				paths[l.path], stems[l.stem] = true, true
			}
		}
	}
	return paths, nil
}

// Listers returns the suites that list d, in any generation kept.
func (c *Catalog) Listers(d digest.Digest) ([]Location, error) {
	s := c.state.Load()
	var found []Location
	err := c.rows.listed(d, 1, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil {
			for _, p := range sh.places {
				if !slices.Contains(found, p.suite.dir) {
					found = append(found, p.suite.dir)
				}
			}
		}
		return true
	})
	return found, err
}

// InForce reports whether the current generation of a suite lists d, as far as is known:
// one of which the index was not learned that listed d before may list it still.
func (c *Catalog) InForce(d digest.Digest) (bool, error) {
	s := c.state.Load()
	found := false
	err := c.rows.listed(d, maxListed, func(l listing) bool {
		if sh := s.shown[l.table]; sh != nil {
			found = slices.ContainsFunc(sh.places, place.mayStand)
		}
		return !found
	})
	return found, err
}

// mayStand reports whether what a table in p lists is in the current generation, or may
// be. What a patch has added may be gone since, which the whole index says.
func (p place) mayStand() bool {
	g := p.suite.current()
	if dir := path.Dir(p.path); isPatchDir(dir) {
		return !g.has(strings.TrimSuffix(dir, ".diff"))
	}
	_, stem := indexKind(p.path)
	return g == p.gen || p.path != "" && !g.has(stem)
}
