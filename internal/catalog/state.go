package catalog

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"millpond/internal/digest"
)

// maxEarlier is how many generations are kept beside the current one.
const maxEarlier = 2

// keepEarlier is how long an earlier generation is kept, unless there
// are more than maxEarlier: clients that updated their lists before the change
// still install from it.
const keepEarlier = time.Hour

// kind says how the file that a table was learned from is read.
type kind uint8

const (
	noIndex kind = iota
	kindRelease
	kindPackages
	kindSources
	kindDiffIndex
	kindPatch
)

// table is a set of rows that is complete on disk. A table is named by the
// content it was learned from, not by its place: archives and generations that
// list the same index share it. Tables never change.
type table struct {
	id     tableID
	kind   kind
	digest digest.Digest // of the file, compressed as it was
	rows   int64
	filter filter
}

// content identifies a table: no two have the same.
type content struct {
	digest digest.Digest
	kind   kind
}

// learned is an index of a generation whose rows are known.
type learned struct {
	path  string // relative to the suite's directory
	stem  string // path without the suffix of its compression
	flat  bool   // as an index of a flat archive
	table *table
}

// generation is one published state of a suite, with what was learned of it.
type generation struct {
	record
	learned []learned
}

// suite is a directory with a Release file.
type suite struct {
	dir   Location
	base  Location      // of the archive, as far as dir tells; dir itself if flat
	flat  bool          // has no dists above it; with one, the indices tell
	gens  []*generation // the current one first, then the one before it
	past  []*generation // kept for snapshots and rings, the latest first
	known *knownBases
	*uses
}

// place is where a table is shown: path of the index in a suite's generation.
type place struct {
	suite *suite
	gen   *generation
	path  string // "" for the generation's own Release
}

// shown is what look-ups need to know of a table.
type shown struct {
	*table
	signed bool    // in one of its places
	shared Sharing // the widest of them
	inUse  bool    // one of them is no past generation
	places []place
}

// state is everything that the catalog keeps in memory. The one that readers
// see is never changed; writers change a clone and publish it.
type state struct {
	suites map[Location]*suite
	tables map[tableID]*table

	// Derived from these by index.
	roots     map[Location]bool     // bases of archives
	archives  map[Location][]*suite // by what their files may be relative to
	above     map[Location][]*suite // flat suites, by their directory and each above it, if not in archives
	shown     map[tableID]*shown
	byContent map[content]*table
	rows      int64
	unsigned  int64 // of rows: those that no signed suite shows
	past      int   // past generations
	pastRows  int64 // of rows: those that only past generations show
}

func newSuite(dir Location, now time.Time) *suite {
	s := &suite{dir: dir, known: &knownBases{}, uses: &uses{first: now}}
	s.base, s.flat = archiveBase(dir)
	s.used.Store(now.Unix())
	return s
}

// clone returns a deep copy but for the tables, which never change.
func (s *state) clone() *state {
	c := &state{suites: make(map[Location]*suite, len(s.suites)), tables: maps.Clone(s.tables), byContent: s.byContent}
	for dir, old := range s.suites {
		st := *old
		st.gens, st.past = cloned(old.gens), cloned(old.past)
		c.suites[dir] = &st
	}
	return c
}

func cloned(gens []*generation) []*generation {
	all := make([]*generation, 0, len(gens)+1)
	for _, g := range gens {
		all = append(all, &generation{record: g.record, learned: slices.Clone(g.learned)})
	}
	return all
}

// index computes what is derived and returns the tables that no generation
// shows any more, which it takes out.
func (s *state) index() (gone []*table) {
	s.roots = make(map[Location]bool)
	s.archives = make(map[Location][]*suite)
	s.above = make(map[Location][]*suite)
	s.shown = make(map[tableID]*shown, len(s.tables))
	s.byContent = make(map[content]*table, len(s.tables))
	s.rows, s.unsigned, s.past, s.pastRows = 0, 0, 0, 0
	suites := slices.SortedFunc(maps.Values(s.suites), func(a, b *suite) int { return a.dir.compare(b.dir) })
	for _, st := range suites {
		s.place(st)
		s.past += len(st.past)
		for i, gens := range [][]*generation{st.gens, st.past} {
			for _, g := range gens {
				s.show(s.tables[g.Table], place{st, g, ""}, i == 0)
				for _, l := range g.learned {
					s.show(l.table, place{st, g, l.path}, i == 0)
				}
			}
		}
	}
	for id, t := range s.tables {
		if s.shown[id] == nil {
			gone = append(gone, t)
			delete(s.tables, id)
			continue
		}
		s.byContent[content{t.digest, t.kind}] = t
		s.rows += t.rows
		if !s.shown[id].signed {
			s.unsigned += t.rows
		}
		if !s.shown[id].inUse {
			s.pastRows += t.rows
		}
	}
	return gone
}

// place enters st under the directories that its files may be relative to.
func (s *state) place(st *suite) {
	bases := poolBases(st.dir)
	if st.flat {
		bases = []Location{st.dir}
	}
	s.roots[st.base] = true
	for _, dir := range bases {
		s.archives[dir] = append(s.archives[dir], st)
	}
	if !st.flat && !st.learnedFlat() {
		return
	}
	add := func(dir Location) {
		if !slices.Contains(bases, dir) {
			s.above[dir] = append(s.above[dir], st)
		}
	}
	add(st.dir)
	for dir := range st.dir.parents {
		add(dir)
	}
}

func (s *state) show(t *table, p place, inUse bool) {
	sh := s.shown[t.id]
	if sh == nil {
		sh = &shown{table: t}
		s.shown[t.id] = sh
	}
	sh.signed, sh.shared = sh.signed || p.gen.Signed, max(sh.shared, p.gen.Sharing())
	sh.inUse = sh.inUse || inUse
	sh.places = append(sh.places, p)
}

// shares reports whether every table is shared in o as far as in s.
func (s *state) shares(o *state) bool {
	for id, sh := range s.shown {
		if sh.shared > WithNobody && (o.shown[id] == nil || o.shown[id].shared < sh.shared) {
			return false
		}
	}
	return true
}

// current returns the generation in force.
func (st *suite) current() *generation { return st.gens[0] }

// find returns a kept generation, or nil.
func (st *suite) find(id digest.Digest) *generation {
	for g := range st.all {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// supersede makes g the current generation, and past ones of the earlier ones over the
// bound.
func (st *suite) supersede(g *generation, now time.Time) {
	if len(st.gens) > 0 && st.current().ID != g.ID {
		st.current().Superseded = now
	}
	g.Superseded, g.Coming = time.Time{}, false
	same := func(o *generation) bool { return o.ID == g.ID }
	st.gens = slices.DeleteFunc(st.gens, func(o *generation) bool { return same(o) || o.Coming })
	st.past = slices.DeleteFunc(st.past, same)
	st.gens = slices.Insert(st.gens, 0, g)
	if len(st.gens) <= 1+maxEarlier {
		return
	}
	victim := len(st.gens) - 1
	for i := victim; i > 0; i-- {
		if st.covered(i) {
			victim = i
			break
		}
	}
	st.retire(st.gens[victim])
	st.gens = slices.Delete(st.gens, victim, victim+1)
}

// await enters g, which is to come, behind the current generation. It is kept as long as
// one that was superseded now, and in place of another one that was to come. One that is
// current or earlier stays where it is.
func (st *suite) await(g *generation, now time.Time) {
	switch {
	case len(st.gens) == 0:
		st.supersede(g, now)
	case st.find(g.ID) == nil:
		g.Superseded, g.Coming = now, true
		st.gens = slices.DeleteFunc(st.gens, func(o *generation) bool { return o.Coming })
		st.gens = slices.Insert(st.gens, 1, g)
	}
}

// expire makes past ones of the earlier generations that are old enough.
func (st *suite) expire(now time.Time) (changed bool) {
	for i := len(st.gens) - 1; i > 0; i-- {
		if now.Sub(st.gens[i].Superseded) >= keepEarlier && st.covered(i) {
			st.retire(st.gens[i])
			st.gens = slices.Delete(st.gens, i, i+1)
			changed = true
		}
	}
	return changed
}

// covered reports whether each package index learned in generation i was
// learned in a newer one too. Where clients take patches or no client has updated
// yet, only an earlier generation describes the pool.
func (st *suite) covered(i int) bool {
	for _, l := range st.gens[i].learned {
		if l.table.kind != kindPackages && l.table.kind != kindSources {
			continue
		}
		newer := slices.ContainsFunc(st.gens[:i], func(g *generation) bool { return g.has(l.stem) })
		if !newer {
			return false
		}
	}
	return true
}

// has reports whether the index was learned, in any compression.
func (g *generation) has(stem string) bool {
	return slices.ContainsFunc(g.learned, func(l learned) bool { return l.stem == stem })
}

// byRelease returns the generations by the table of their Release.
func (s *state) byRelease() map[tableID][]place {
	places := make(map[tableID][]place)
	for _, st := range s.suites {
		for g := range st.all {
			places[g.Table] = append(places[g.Table], place{st, g, ""})
		}
	}
	return places
}

// add records that the index at p, relative to the suite, was learned.
func (g *generation) add(p string, t *table) {
	for _, l := range g.learned {
		if l.path == p {
			return
		}
	}
	_, stem := indexKind(p)
	g.learned = append(g.learned, learned{path: p, stem: stem, flat: besideRelease(p), table: t})
}

// compressions are the suffixes of those that the catalog reads, in the order in
// which apt tries them (Acquire::CompressionTypes).
var compressions = []string{".xz", ".bz2", ".gz", ".zst", ""}

// Compressed returns the paths that an index may have whose path is stem without a
// compression's suffix, in the order in which apt tries them.
func Compressed(stem string) []string {
	all := make([]string, len(compressions))
	for i, suffix := range compressions {
		all[i] = stem + suffix
	}
	return all
}

// indexKind reports from the path of a file that a Release lists whether it is
// an index that the catalog reads, and its path without the compression's
// suffix.
func indexKind(p string) (k kind, stem string) {
	stem = p
	if ext := path.Ext(p); slices.Contains(compressions, ext) {
		stem = strings.TrimSuffix(p, ext)
	}
	switch path.Base(stem) {
	case "Packages":
		return kindPackages, stem
	case "Sources":
		return kindSources, stem
	case "Index":
		if stem == p && strings.HasSuffix(path.Dir(p), ".diff") {
			return kindDiffIndex, stem
		}
	}
	return noIndex, p
}

// isPatchDir reports whether the patches in dir are such of Packages, which
// name the files that they add. Patches of Contents and Translation do not.
func isPatchDir(dir string) bool { return path.Base(dir) == "Packages.diff" }
