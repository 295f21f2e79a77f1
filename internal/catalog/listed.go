package catalog

import "slices"

// Wanted are the indices that somebody wants of a suite: the Packages of the components
// and architectures, with those of packages of all architectures where clients read them
// apart, and the Sources of the components. A flat archive has its Packages and Sources
// without either.
type Wanted struct {
	Components, Architectures []string
	Sources                   bool
}

// has reports whether x, which the Release of g lists, is among them.
func (w Wanted) has(g *generation, x *indexFile) bool {
	switch {
	case x.installer || x.component != "" && !slices.Contains(w.Components, x.component):
		return false
	case x.kind == kindSources:
		return w.Sources
	}
	return len(w.Architectures) > 0 && (x.arch == "" || x.arch == "all" && g.BinaryAll || slices.Contains(w.Architectures, x.arch))
}

// Indices returns the indices that the current Release of the suite in that directory
// lists of those wanted, each in its compressions, the one that apt takes first. Index
// is set for those that were not read yet.
func (c *Catalog) Indices(suite Location, w Wanted) ([][]Entry, error) {
	s := c.state.Load()
	st := s.suites[suite]
	if st == nil {
		return nil, nil
	}
	g := st.current()
	listed, err := c.indices(g)
	if err != nil {
		return nil, err
	}
	var all [][]Entry
	for _, x := range listed {
		if !w.has(g, x) {
			continue
		}
		forms := make([]Entry, 0, len(x.forms))
		for _, f := range x.forms {
			e, err := c.entry(s, st, g, f)
			if err != nil {
				return nil, err
			}
			e.Index = !g.has(x.stem)
			forms = append(forms, e)
		}
		all = append(all, forms)
	}
	return all, nil
}
