package catalog

import (
	"iter"
	"slices"
)

// around yields the suites that may list l, by the path that they list it
// under: those of the archives above l, the nearest first.
func (s *state) around(l Location) iter.Seq2[string, []*suite] {
	return func(yield func(rel string, suites []*suite) bool) {
		var nearest Location // base of an archive
		for dir, rel := range l.parents {
			suites := s.archives[dir]
			if len(suites) > 0 && nearest == (Location{}) {
				nearest = dir
			}
			// Files of a flat archive may be relative to a directory above its
			// own, but not in another archive.
			for _, st := range s.above[dir] {
				if nearest == (Location{}) || st.dir == nearest {
					suites = append(slices.Clip(suites), st)
				}
			}
			if len(suites) > 0 && !yield(rel, suites) {
				return
			}
		}
	}
}

// pooled looks for a file that an index lists.
func (c *Catalog) pooled(s *state, l Location, pin pinFunc) (Entry, error) {
	for rel, suites := range s.around(l) {
		e, err := c.inArchive(s, suites, l, rel, pin)
		if err != nil || e.Kind != Unknown {
			return e, err
		}
	}
	return Entry{Location: l, Size: -1}, nil
}

// inArchive looks rel up in the indices of suites: those of the generations
// that the client has first, then of the current ones, then of earlier ones,
// and the signed before the others. A file that only a superseded index lists
// is returned too, since the mirror or the store may still have it.
func (c *Catalog) inArchive(s *state, suites []*suite, l Location, rel string, pin pinFunc) (Entry, error) {
	h := hashPath(rel)
	var few [8]ranked
	gens := few[:0]
	for _, st := range suites {
		pinned := pin(st.dir)
		for i, g := range st.gens {
			rank := 1 + i
			if g.ID == pinned {
				rank = 0
			}
			gens = append(gens, ranked{st, g, rank})
		}
	}
	slices.SortStableFunc(gens, ranked.compare)
	var fewIDs [64]tableID
	tried := fewIDs[:0]
	for _, r := range gens {
		for _, x := range r.gen.learned {
			t := x.table
			if t.kind == kindDiffIndex || slices.Contains(tried, t.id) {
				continue
			}
			tried = append(tried, t.id)
			f, ok, err := c.rows.get(t, rel, h)
			if err != nil {
				return Entry{}, err
			}
			if ok {
				r.suite.use(c.now().Unix())
				signed, err := c.signed(s, s.shown[t.id].signed, f.digest)
				return Entry{Location: l, Kind: Content, Digest: f.digest, Size: f.size, Signed: signed}, err
			}
		}
	}
	return Entry{}, nil
}

// ranked is a generation in the order of look-ups.
type ranked struct {
	suite *suite
	gen   *generation
	rank  int // 0: the client has it; 1: current; more: earlier
}

func (a ranked) compare(b ranked) int {
	aRank, bRank := min(a.rank, 2), min(b.rank, 2)
	switch {
	case aRank != bRank:
		return aRank - bRank
	case a.gen.Signed != b.gen.Signed:
		if a.gen.Signed {
			return -1
		}
		return 1
	}
	return a.rank - b.rank
}
