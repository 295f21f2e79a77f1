package prefetch

import (
	"context"
	"strings"
	"time"

	"millpond/internal/catalog"
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
		deb, ok := parseName(e.Location.Name())
		if !ok || s.held(e.Digest) {
			continue
		}
		used, ok, err := s.replaced(p, line, deb)
		if err != nil {
			return err
		}
		if ok {
			p.add(want{Entry: e, name: line + "/" + deb.pkg + deb.end, version: deb.version, used: used})
		}
	}
	return nil
}

// replaced reports whether deb is newer than all versions of its package that
// are held for clients of line, and when one of those was last used. It is of no
// use if none is held, or a newer one, from another suite.
func (s *Prefetcher) replaced(p *plan, line string, deb debName) (used time.Time, ok bool, err error) {
	for old, err := range s.store.Names(deb.pkg+"_", "") {
		if err != nil {
			return time.Time{}, false, err
		}
		name, ok := parseName(old.Name)
		if !ok || name.end != deb.end || name.version == deb.version {
			continue
		}
		if ours, err := s.belongs(p, line, old.Digest); err != nil {
			return time.Time{}, false, err
		} else if !ours {
			continue
		}
		if compareVersions(name.version, deb.version) > 0 {
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

// debName is the name of a package's file, in its parts.
type debName struct {
	pkg, version string
	end          string // "_amd64.deb"
}

// parseName takes NAME_VERSION_ARCH.deb, and .udeb, in which there is no epoch
// as a rule.
func parseName(file string) (debName, bool) {
	if !strings.HasSuffix(file, ".deb") && !strings.HasSuffix(file, ".udeb") {
		return debName{}, false
	}
	first, last := strings.IndexByte(file, '_'), strings.LastIndexByte(file, '_')
	if first <= 0 || first >= last {
		return debName{}, false
	}
	return debName{file[:first], file[first+1 : last], file[last:]}, true
}
