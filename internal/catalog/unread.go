package catalog

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"millpond/internal/deb"
)

// Bounds of what one file or suite makes somebody read.
const (
	maxUnread = 64 // indices; Debian has 4 components, and a site some suites and architectures
	maxAround = 8  // suites
)

// sought is what the name and place of a file say of the index that lists it.
type sought struct {
	source    bool   // a file of a source package
	installer bool   // a .udeb
	arch      string // "" if the file is for all, or its name does not say
	path      string // below the pool; "" if there is none
}

// seek returns what is sought for l; ok is false for a file that no index
// lists.
func seek(l Location) (w sought, ok bool) {
	f, ok := deb.ParseFileName(l.Name())
	switch ext := path.Ext(l.Name()); {
	case ok && f.Architecture == deb.Source:
		w.source = true
	case ext == ".deb", ext == ".ddeb", ext == ".udeb":
		w.installer = ext == ".udeb"
		// Vendors name files as they like: what has the characters of a
		// version is no architecture.
		if f.Architecture != "all" && !strings.ContainsAny(f.Architecture, ".+~") {
			w.arch = f.Architecture
		}
	default:
		return sought{}, false
	}
	_, w.path, _ = l.SplitPool()
	return w, true
}

// Listable reports whether l has the name of a file that an index may list: of
// a package, binary or source.
func Listable(l Location) bool {
	_, ok := seek(l)
	return ok
}

// indexFile is an index that a Release lists.
type indexFile struct {
	stem      string
	kind      kind
	component string // "" where the archive is flat
	arch      string // "" of Sources, and where the archive is flat
	installer bool   // lists .udeb
	forms     []row  // its compressions, in the order in which apt tries them
}

// newIndexFile reads the path of an index without the suffix of its
// compression (apt's Acquire::IndexTargets has the common ones):
// main/binary-amd64/Packages, main/debian-installer/binary-amd64/Packages,
// main/source/Sources, Packages.
func newIndexFile(k kind, stem string) *indexFile {
	x := &indexFile{stem: stem, kind: k}
	dir, last := path.Split(path.Dir(stem))
	if k == kindPackages {
		arch, ok := strings.CutPrefix(last, "binary-")
		if !ok {
			return x
		}
		x.arch = arch
	} else if last != "source" {
		return x
	}
	x.component, x.installer = strings.CutSuffix(dir, "debian-installer/")
	x.component = strings.TrimSuffix(x.component, "/")
	return x
}

// indices returns the indices of packages that the Release of g lists.
func (c *Catalog) indices(g *generation) ([]*indexFile, error) {
	var all []*indexFile
	byStem := make(map[string]*indexFile)
	err := c.rows.all(g.Table, func(f row) bool {
		k, stem := indexKind(f.path)
		if k != kindPackages && k != kindSources {
			return true
		}
		x := byStem[stem]
		if x == nil {
			x = newIndexFile(k, stem)
			byStem[stem], all = x, append(all, x)
		}
		x.forms = append(x.forms, f)
		return true
	})
	order := func(f row) int { return slices.Index(compressions, path.Ext(f.path)) }
	for _, x := range all {
		slices.SortFunc(x.forms, func(a, b row) int { return order(a) - order(b) })
	}
	return all, err
}

// lists reports whether x may list what is sought, if it is for one of the
// architectures.
func (x *indexFile) lists(w sought, archs []string) bool {
	switch {
	case w.source != (x.kind == kindSources):
		return false
	case w.source || x.arch == "":
		return true
	}
	return w.installer == x.installer && slices.Contains(archs, x.arch)
}

// inComponent keeps the indices of the component that the path in the pool
// names, if it names one. Debian has pool/main/, its security archive
// pool/updates/main/.
func inComponent(all []*indexFile, p string) []*indexFile {
	named := func(x *indexFile) bool {
		return x.component != "" && strings.Contains("/"+p, "/"+x.component+"/")
	}
	if !slices.ContainsFunc(all, named) {
		return all
	}
	return slices.DeleteFunc(all, func(x *indexFile) bool { return !named(x) })
}

// Around returns the suites that may list l, at most eight: those of the
// nearest archive first, and of one archive the last used first.
func (c *Catalog) Around(l Location) []Location {
	var dirs []Location
	for _, st := range c.state.Load().suitesAround(l) {
		dirs = append(dirs, st.dir)
	}
	return dirs
}

func (s *state) suitesAround(l Location) []*suite {
	var found []*suite
	for n := range s.around(l) {
		for _, st := range lastUsedFirst(n.suites) {
			if len(found) < maxAround && !slices.Contains(found, st) {
				found = append(found, st)
			}
		}
	}
	return found
}

func lastUsedFirst(suites []*suite) []*suite {
	return slices.SortedStableFunc(slices.Values(suites), func(a, b *suite) int {
		return cmp.Compare(b.used.Load(), a.used.Load())
	})
}

// Unread returns the indices that may list l and were not read yet, of the
// suites around l, each in its compressions, the one that apt takes first. The
// file's architecture and component decide. For a file for all architectures
// those count that clients have used; where their indices are read already,
// which mostly list such files too, that of all.
func (c *Catalog) Unread(l Location) ([][]Entry, error) {
	w, ok := seek(l)
	if !ok {
		return nil, nil
	}
	s := c.state.Load()
	var all [][]Entry
	for _, st := range s.suitesAround(l) {
		archs := []string{w.arch}
		if w.arch == "" {
			archs = s.architectures(st)
		}
		listed, err := c.indices(st.current())
		if err != nil {
			return nil, err
		}
		found, err := c.unreadAmong(s, st, inComponent(thatList(listed, w, archs), w.path))
		if err == nil && len(found) == 0 && w.arch == "" {
			found, err = c.unreadAmong(s, st, inComponent(thatList(listed, w, []string{"all"}), w.path))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all[:min(len(all), maxUnread)], nil
}

// thatList returns those of the indices that may list what is sought, for one of
// the architectures.
func thatList(all []*indexFile, w sought, archs []string) (chosen []*indexFile) {
	for _, x := range all {
		if x.lists(w, archs) {
			chosen = append(chosen, x)
		}
	}
	return chosen
}

// unreadAmong returns those of the current generation's indices that were not
// read yet.
func (c *Catalog) unreadAmong(s *state, st *suite, listed []*indexFile) ([][]Entry, error) {
	g := st.current()
	var all [][]Entry
	for _, x := range listed {
		if g.has(x.stem) {
			continue
		}
		var forms []Entry
		for _, f := range x.forms {
			e, err := c.entry(s, st, g, f)
			if err != nil {
				return nil, err
			}
			e.Index = true
			forms = append(forms, e)
		}
		all = append(all, forms)
	}
	return all, nil
}

// architectures returns those whose packages clients have used: in the
// suite's archive, else in any; else this machine's own.
func (s *state) architectures(st *suite) []string {
	var here, anywhere []string
	for _, o := range s.suites {
		for stem := range o.packages {
			arch := newIndexFile(kindPackages, stem).arch
			if arch == "" || arch == "all" {
				continue
			}
			if anywhere = append(anywhere, arch); o.base == st.base {
				here = append(here, arch)
			}
		}
	}
	switch {
	case len(here) > 0:
		return here
	case len(anywhere) > 0:
		return anywhere
	}
	return []string{deb.Machine()}
}

// packages yields the Packages indices that were learned in any generation of
// the suite, without the suffix of their compression.
func (st *suite) packages(yield func(stem string) bool) {
	for _, g := range st.gens {
		for _, l := range g.learned {
			if l.table.kind == kindPackages && !yield(l.stem) {
				return
			}
		}
	}
}

func (st *suite) hasPackages() bool {
	for range st.packages {
		return true
	}
	return false
}

// AllUnread returns all indices of the suite in that directory that were not read yet,
// each in its compressions.
func (c *Catalog) AllUnread(suite Location) ([][]Entry, error) {
	s := c.state.Load()
	st := s.suites[suite]
	if st == nil {
		return nil, nil
	}
	listed, err := c.indices(st.current())
	if err != nil {
		return nil, err
	}
	return c.unreadAmong(s, st, listed)
}

// UnreadOf returns the indices of the suite in that directory that its clients
// have, as far as can be told, where no Packages of it was read: those that were
// read of its archive's other suites, or else all components for the
// architectures that clients have used. Each comes in its compressions,
// the one that apt takes first.
func (c *Catalog) UnreadOf(suite Location) ([][]Entry, error) {
	s := c.state.Load()
	st := s.suites[suite]
	if st == nil {
		return nil, nil
	}
	if st.hasPackages() {
		return nil, nil
	}
	elsewhere := make(map[string]bool)
	for _, o := range s.archives[st.base] {
		for stem := range o.packages {
			elsewhere[stem] = true
		}
	}
	listed, err := c.indices(st.current())
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(listed), func(x *indexFile) bool { return !elsewhere[x.stem] })
	if len(chosen) == 0 {
		chosen = thatList(listed, sought{}, s.architectures(st))
	}
	if len(chosen) == 0 {
		chosen = thatList(listed, sought{}, []string{"all"})
	}
	all, err := c.unreadAmong(s, st, chosen)
	return all[:min(len(all), maxUnread)], err
}
