package catalog

import (
	"path"
	"slices"
	"strings"
	"sync/atomic"
)

// A line of sources.list has a URL and a suite. Of "deb URL suite component" apt
// looks for the Release in URL/dists/suite, of "deb URL directory/", a flat
// archive, in URL/directory; and it takes every Filename as relative to URL. So
// which part of a Release's location the URL is does not follow from that: any
// directory may be named dists. But the indices tell the two forms apart: apt
// asks for those of a flat archive beside the Release, for the others in the
// directories of components.

// archiveBase returns the base of the archive that has a suite in dir, as far
// as dir tells, and whether it is flat: without dists.
func archiveBase(dir Location) (base Location, flat bool) {
	base, _, ok := dir.SplitSuite()
	return base, !ok
}

// InArchiveOf reports whether l lies beneath the archive that has a suite in
// that directory.
func (l Location) InArchiveOf(suite Location) bool {
	base, _ := archiveBase(suite)
	_, ok := l.beneath(base)
	return ok
}

// poolBases returns the directories that what a suite in dir lists may be
// relative to, unless it is flat: those that have a dists above it, the nearest
// first.
func poolBases(dir Location) []Location {
	var all []Location
	for base, _, ok := dir.SplitSuite(); ok; base, _, ok = base.SplitSuite() {
		all = append(all, base)
	}
	return all
}

// besideRelease reports whether the index, by its path relative to the Release,
// is one of a flat archive.
func besideRelease(index string) bool {
	dir := path.Dir(index)
	if strings.HasSuffix(dir, ".diff") {
		dir = path.Dir(dir)
	}
	return dir == "."
}

// learnedFlat reports whether an index of a flat archive was learned of st.
func (st *suite) learnedFlat() bool {
	return slices.ContainsFunc(st.gens, func(g *generation) bool {
		return slices.ContainsFunc(g.learned, func(l learned) bool { return l.flat })
	})
}

// knownBases are what the files that a suite lists were last found relative to,
// when a client asked for one: its apt knows the URL.
type knownBases struct{ pool, flat atomic.Pointer[Location] }

func (k *knownBases) of(flat bool) *atomic.Pointer[Location] {
	if flat {
		return &k.flat
	}
	return &k.pool
}

// poolBase returns what rel, which an index lists, is relative to, as far as
// that is known. flat says whether it is an index of a flat archive.
func (st *suite) poolBase(flat bool, rel string) Location {
	flat = flat || st.flat
	if known := st.known.of(flat).Load(); known != nil {
		return *known
	}
	if !flat {
		return st.base
	}
	// A path that begins with the end of the index's own directory is
	// relative to the one above that end.
	for above, end := range st.dir.parents {
		if strings.HasPrefix(rel, end+"/") {
			return above
		}
	}
	return st.dir
}

// found notes that a client asked for rel, which l lists, relative to base.
func (st *suite) found(l learned, base Location, rel string) {
	if st.poolBase(l.flat, rel) != base {
		known := base // on the heap only if it is news
		st.known.of(l.flat || st.flat).Store(&known)
	}
}

// reach returns the topmost directory that the files which the index e lists
// may be relative to.
func reach(e Entry) Location {
	dir, _, _, hashed := byHash(e.Location)
	if !hashed {
		dir = e.Location.Dir()
	}
	if bases := poolBases(e.Suite); len(bases) > 0 && dir != e.Suite {
		return bases[len(bases)-1]
	}
	root := e.Suite
	root.Path = "/"
	return root
}
