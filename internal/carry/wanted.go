package carry

import (
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Wants knows what a site uses.
type Wants struct {
	Store   Store
	Catalog Generations
	// Followed are the suites of the setting, each with the indices that it names.
	Followed []WantedSuite
	// Packages are those that clients use and the box does not hold.
	Packages []catalog.Entry
	// New are suites that clients asked for in vain.
	New []catalog.Location
}

// List is what is wanted from outside: at most maxWanted lines.
func (w *Wants) List() (*WantList, error) {
	list, seen := new(WantList), make(map[digest.Digest]bool)
	for _, s := range w.Catalog.Suites() {
		wanted := WantedSuite{Dir: s.Location, Release: s.Current.ID}
		for e, err := range w.Catalog.Listed(s.Location, s.Current.ID) {
			if err != nil {
				return nil, err
			}
			if _, err := w.Store.Stat(e.Digest); err == nil && e.Size > 0 {
				rel, _ := strings.CutPrefix(e.Location.Path, strings.TrimRight(s.Location.Path, "/")+"/")
				wanted.Indices = append(wanted.Indices, rel)
			}
		}
		list.suite(wanted)
	}
	for _, s := range w.Followed {
		list.suite(s)
	}
	for _, e := range w.Packages {
		w.file(list, seen, e)
	}
	for _, dir := range w.New {
		list.suite(WantedSuite{Dir: dir})
	}
	return list, nil
}

// suite adds a suite, or what is wanted beside of one that is there.
func (l *WantList) suite(s WantedSuite) {
	i := slices.IndexFunc(l.Suites, func(o WantedSuite) bool { return o.Dir == s.Dir })
	switch {
	case i < 0 && len(l.Suites) < maxSuites:
		l.Suites = append(l.Suites, s)
	case i < 0:
	case len(l.Suites[i].Indices) == 0:
		l.Suites[i].Indices = s.Indices
	}
}

// file adds a file that is not held.
func (w *Wants) file(l *WantList, seen map[digest.Digest]bool, e catalog.Entry) {
	_, err := w.Store.Stat(e.Digest)
	if err == nil || e.Size < 0 || seen[e.Digest] || len(l.Files) >= maxWanted/2 {
		return
	}
	seen[e.Digest] = true
	l.Files = append(l.Files, WantedFile{e.Digest, e.Size, e.Location})
}
