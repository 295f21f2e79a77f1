package catalog

import (
	"cmp"
	"path"
	"slices"

	"millpond/internal/digest"
)

// listOfPatches is the path of the list of patches (pdiffs) of the file at p, if its
// Release has one. apt asks for it where it has an earlier generation of that file.
func listOfPatches(p string) string {
	return path.Join(path.Dir(p), stem(path.Base(p))) + ".diff/Index"
}

// Patches returns the n newest patches of each list of patches that was learned of the
// generation with that id of the suite in that directory, by their names, which begin
// with their time.
func (c *Catalog) Patches(suite Location, id digest.Digest, n int) (all []Entry, err error) {
	s := c.state.Load()
	g := s.generation(suite, id)
	if g == nil {
		return nil, nil
	}
	for _, l := range g.learned {
		if l.table.kind != kindDiffIndex {
			continue
		}
		var newest []row
		err := c.rows.all(l.table.id, func(f row) bool {
			newest = append(newest, f)
			slices.SortFunc(newest, func(a, b row) int { return cmp.Compare(b.path, a.path) })
			newest = newest[:min(len(newest), n)]
			return true
		})
		if err != nil {
			return nil, err
		}
		dir := path.Dir(l.path)
		for _, f := range newest {
			f.path = path.Join(dir, f.path)
			e, err := c.entry(s, s.suites[suite], g, f)
			if err != nil {
				return nil, err
			}
			e.Index = isPatchDir(dir) && s.byContent[content{f.digest, kindPatch}] == nil
			all = append(all, e)
		}
	}
	return all, nil
}
