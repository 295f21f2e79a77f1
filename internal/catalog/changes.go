package catalog

import (
	"fmt"

	"millpond/internal/digest"
)

// Change is a file that two Releases of a suite list under one name, each with
// another digest.
type Change struct {
	Before digest.Digest
	Size   int64 // of Before, in bytes
	// Now is the file as the newer Release lists it, signed and shared as that is. It
	// belongs to no generation before that is adopted.
	Now    Entry
	ByHash Location // of Now; zero if its Release does not offer that
}

// Changes returns the files that r lists differently from the generation before
// of its suite: none if that is not known.
func (c *Catalog) Changes(before digest.Digest, r *CheckedRelease) ([]Change, error) {
	s := c.state.Load()
	st := s.suites[r.dir]
	if st == nil {
		return nil, nil
	}
	g := st.find(before)
	if g == nil {
		return nil, nil
	}
	var changes []Change
	for _, f := range r.files {
		was, ok, err := c.rows.get(s.tables[g.Table], f.Path, hashPath(f.Path))
		if err != nil {
			return nil, fmt.Errorf("comparing the Releases of %s: %w", r.dir, err)
		}
		if !ok || was.digest == f.Digest {
			continue
		}
		l := r.dir.Join(f.Path)
		change := Change{
			Before: was.digest, Size: was.size,
			Now: Entry{
				Location: l, Kind: Content, Digest: f.Digest, Size: f.Size, Suite: r.dir,
				Signed: r.Generation.Signed, Shared: r.Generation.Sharing(),
			},
		}
		if r.record.ByHash {
			change.ByHash = l.Dir().Join(byHashName("", "SHA256", f.Digest.String()))
		}
		changes = append(changes, change)
	}
	return changes, nil
}
