package prefetch

import (
	"context"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

// survey adds the packages of a suite that clients are about to request.
func (s *Prefetcher) survey(ctx context.Context, p *plan, dir catalog.Location) error {
	line := p.lines[dir]
	for e, err := range s.catalog.Packages(dir) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		file, ok := deb.ParseFileName(e.Location.Name())
		if !ok || !isBinary(file) || s.held(e.Digest) {
			continue
		}
		used, ok, err := s.replaced(p, line, file)
		if err != nil {
			return err
		}
		if ok {
			p.add(want{Entry: e, name: line + "/" + file.Package + "_" + file.Architecture + "." + file.Type, version: file.Version, used: used})
		}
	}
	return nil
}

// replaced reports whether f is newer than all versions of its package that
// are held for clients of line, and when one of those was last used. It is of
// no use if none is held, or a newer one, from another suite.
func (s *Prefetcher) replaced(p *plan, line string, f deb.File) (used time.Time, ok bool, err error) {
	for old, err := range s.store.Names(f.Package+"_", "") {
		if err != nil {
			return time.Time{}, false, err
		}
		held, ok := deb.ParseFileName(old.Name)
		if !ok || !isBinary(held) || !sameKind(held, f) {
			continue
		}
		if ours, err := s.belongs(p, line, old.Digest); err != nil {
			return time.Time{}, false, err
		} else if !ours {
			continue
		}
		if deb.CompareVersions(held.Version, f.Version) > 0 {
			return time.Time{}, false, nil
		}
		if info, err := s.store.Stat(old.Digest); err == nil && info.Used.After(used) {
			used = info.Used
		}
	}
	return used, !used.IsZero(), nil
}

// belongs reports whether clients of line have the package d: a suite of it
// lists d, or none does any more.
func (s *Prefetcher) belongs(p *plan, line string, d digest.Digest) (bool, error) {
	suites, err := s.catalog.Listers(d)
	for _, dir := range suites {
		if p.lines[dir] == line {
			return true, err
		}
	}
	return len(suites) == 0, err
}

// sameKind reports whether two files are versions of the same binary package.
func sameKind(a, b deb.File) bool {
	return a.Package == b.Package && a.Architecture == b.Architecture && a.Type == b.Type && a.Version != b.Version
}

// isBinary accepts files of binary packages that have a version in their name.
func isBinary(f deb.File) bool { return f.Type != "" && f.Version != "" }
