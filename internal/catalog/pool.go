package catalog

import (
	"iter"
	"slices"

	"millpond/internal/digest"
)

// around yields the suites that may list l, by what the path that they list it
// under is relative to: those of the archives above l, the nearest first.
func (s *state) around(l Location) iter.Seq[listers] {
	return func(yield func(listers) bool) {
		var nearest Location // base of an archive
		for dir, rel := range l.parents {
			suites := s.archives[dir]
			if len(suites) > 0 && nearest == (Location{}) && s.roots[dir] {
				nearest = dir
			}
			// Files of a flat archive may be relative to a directory above its
			// own, but not in another archive.
			for _, st := range s.above[dir] {
				if nearest == (Location{}) || st.base == nearest {
					suites = append(slices.Clip(suites), st)
				}
			}
			if len(suites) > 0 && !yield(listers{dir, rel, suites}) {
				return
			}
		}
	}
}

// listers are suites whose files may be relative to dir; rel is the path
// that they would list the file in question under.
type listers struct {
	dir    Location
	rel    string
	suites []*suite
}

// pooled looks for a file that an index lists.
func (c *Catalog) pooled(s *state, l Location, pin pinFunc) (Entry, error) {
	for n := range s.around(l) {
		e, ok, err := c.inArchive(s, n.suites, n.dir, n.rel, pin)
		if err != nil || ok {
			e.Location = l
			return e, err
		}
	}
	for n := range s.around(l) {
		e, ok, err := c.inPast(s, n.suites, n.rel)
		if err != nil || ok {
			e.Location = l
			return e, err
		}
	}
	return Entry{Location: l, Size: -1}, nil
}

// maxOneOf bounds the digests of one path that are told. With more the path
// says nothing of the content.
const maxOneOf = 8

// inArchive looks rel up in the indices of suites: those of the generations
// that the client has first, then of the current ones, then of earlier ones,
// and the signed before the others. A file that only a superseded index lists
// is returned too, since the mirror or the store may still have it. Where
// indices that count the same differ, one of them is wrong about the mirror, and
// which one is not known. rel is relative to dir.
func (c *Catalog) inArchive(s *state, suites []*suite, dir Location, rel string, pin pinFunc) (e Entry, ok bool, err error) {
	h := hashPath(rel)
	var few [64]ranked
	gens := inOrder(few[:0], suites, pin)
	var fewIDs [64]tableID
	tried := fewIDs[:0]
	var first ranked
	for _, r := range gens {
		if ok && !r.equals(first) {
			break
		}
		for _, x := range r.gen.learned {
			t := x.table
			if t.kind == kindDiffIndex || slices.Contains(tried, t.id) || !r.counts(dir, rel) {
				continue
			}
			tried = append(tried, t.id)
			if !t.filter.has(h) {
				continue
			}
			f, has, err := c.rows.get(t, rel, h)
			if err != nil {
				return Entry{}, false, err
			}
			if !has || ok && f.digest == e.Digest {
				continue
			}
			if ok {
				e.add(f.digest)
				continue
			}
			ok, first = true, r
			r.suite.hit(c.now().Unix())
			r.suite.found(x, dir, rel)
			sh := s.shown[t.id]
			e = Entry{Kind: Content, Digest: f.digest, Size: f.size, Signed: sh.signed, Shared: sh.shared}
		}
	}
	switch {
	case !ok:
		return Entry{}, false, nil
	case len(e.OneOf) > maxOneOf:
		return Entry{Size: -1}, true, nil
	case len(e.OneOf) > 0:
		return Entry{Size: -1, OneOf: e.OneOf}, true, nil
	}
	err = c.mark(s, &e, e.Signed, e.Shared)
	return e, true, err
}

// add makes d one more digest that the file may have.
func (e *Entry) add(d digest.Digest) {
	if e.OneOf == nil {
		e.OneOf = []digest.Digest{e.Digest}
	}
	if len(e.OneOf) <= maxOneOf && !slices.Contains(e.OneOf, d) {
		e.OneOf = append(e.OneOf, d)
	}
}

// ranked is a generation in the order of look-ups.
type ranked struct {
	suite *suite
	gen   *generation
	rank  int // 0: the client has it; 1: current; more: earlier
}

// inOrder appends the generations of suites to gens, in the order of look-ups.
func inOrder(gens []ranked, suites []*suite, pin pinFunc) []ranked {
	for _, st := range suites {
		pinned := pin(st.dir)
		for i, g := range st.gens {
			rank := 1 + i
			if g.ID == pinned {
				rank = 0
			}
			gens = append(gens, ranked{st, g, rank})
		}
		if i := slices.IndexFunc(st.past, func(g *generation) bool { return g.ID == pinned }); i >= 0 {
			gens = append(gens, ranked{st, st.past[i], 0})
		}
	}
	slices.SortStableFunc(gens, ranked.compare)
	return gens
}

// counts reports whether what r lists counts for the file rel of dir. An unsigned flat
// archive may list files outside of its own directory, of another archive that
// is not known yet for instance: that is for those clients only who have it.
func (r ranked) counts(dir Location, rel string) bool {
	if r.gen.Signed || r.rank == 0 {
		return true
	}
	l := dir.Join(rel)
	for _, dir := range append(poolBases(r.suite.dir), r.suite.dir) {
		if _, ok := l.beneath(dir); ok {
			return true
		}
	}
	return false
}

// standing is 0 for what the client has, 1 for what is in force, 2 for the rest.
func (r ranked) standing() int { return min(r.rank, 2) }

// equals reports whether what a lists counts as much as what b does. Of suites
// that the client was not given, an unsigned one counts nothing beside a signed
// one.
func (a ranked) equals(b ranked) bool {
	return a.rank == 0 && b.rank == 0 || a.rank == 1 && b.rank == 1 && a.gen.Signed == b.gen.Signed
}

func (a ranked) compare(b ranked) int {
	switch {
	case a.standing() != b.standing():
		return a.standing() - b.standing()
	case a.gen.Signed != b.gen.Signed:
		if a.gen.Signed {
			return -1
		}
		return 1
	}
	return a.rank - b.rank
}
