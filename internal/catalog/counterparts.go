package catalog

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// maxLooks bounds how many tables Counterparts looks into, each for some 10 µs.
const maxLooks = 256

// Counterparts returns the directories, at most eight, in which l's archive
// would have its suites if it were another mirror of one that is known: the
// names are those of the suites in whose indices a file stands in the same
// directory of the pool, the last used first.
func (c *Catalog) Counterparts(l Location) ([]Location, error) {
	base, _, ok := l.SplitPool()
	if !ok {
		return nil, nil
	}
	// Some archives have a pool for each suite, in dists/SUITE/pool.
	base, _, _ = base.SplitSuite()
	rel, ok := l.beneath(base)
	if !ok {
		return nil, nil
	}
	s := c.state.Load()
	tables := looks{c.rows, path.Dir(rel) + "/", make(map[tableID]bool)}
	var found []Location
	for _, st := range lastUsedFirst(slices.SortedFunc(maps.Values(s.suites), func(a, b *suite) int { return a.dir.compare(b.dir) })) {
		_, name, ok := st.dir.SplitSuite()
		there := base.Join("dists/" + name)
		if !ok || s.suites[there] != nil || slices.Contains(found, there) {
			continue
		}
		yes, err := tables.into(st)
		if err != nil {
			return nil, err
		}
		if yes {
			found = append(found, there)
		}
		if len(found) == maxAround {
			break
		}
	}
	return found, nil
}

// looks searches tables, each once, for files in a directory.
type looks struct {
	rows rows
	dir  string
	seen map[tableID]bool // what was found
}

// into reports whether an index of the suite's current generation lists a file
// in the directory.
func (k looks) into(st *suite) (bool, error) {
	for _, x := range st.current().learned {
		found, seen := k.seen[x.table.id]
		if !seen && x.table.kind != kindDiffIndex && len(k.seen) < maxLooks {
			var err error
			if found, err = k.rows.hasBelow(x.table.id, k.dir); err != nil {
				return false, err
			}
			k.seen[x.table.id] = found
		}
		if found {
			return true, nil
		}
	}
	return false, nil
}

// hasBelow reports whether a table has a path that begins with dir.
func (r rows) hasBelow(id tableID, dir string) (found bool, err error) {
	err = r.from(id, pathKey(id, dir), func(f row) bool {
		found = strings.HasPrefix(f.path, dir)
		return false
	})
	return found, err
}
