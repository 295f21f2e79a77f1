package prefetch

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/prefetch/uses"
)

// prefetchChanged fetches the update wave of the suites that have changed: the new
// versions of what clients requested from their releases.
func (s *Prefetcher) prefetchChanged(ctx context.Context) {
	due := s.changes.due()
	if len(due) == 0 {
		return
	}
	dirs := slices.SortedFunc(maps.Keys(due), func(a, b catalog.Location) int { return strings.Compare(a.String(), b.String()) })
	if t, later, ok := s.wave(ctx, dirs); ok { // else Start has just begun another one; keepBooks calls again
		s.logEnd(ctx, t)
		s.changes.done(due, later)
	}
}

// wave fetches the update wave of suites, unless another prefetch is running. What is left
// may be fetched later, or not.
func (s *Prefetcher) wave(ctx context.Context, dirs []catalog.Location) (t State, later, ok bool) {
	state := State{Automatic: true}
	if len(dirs) == 1 {
		state.Suite = dirs[0].String()
	}
	if t, ok = s.begin(state); !ok {
		return t, false, false
	}
	r := newRun(false, dirs)
	plan, err := s.planNews(ctx, dirs)
	r.faults.add(err)
	r.faults.add(s.fetchPlan(ctx, r, plan))
	t = s.end(ctx, r)
	return t, r.later, true
}

// planNews collects what is new of the lines that some suites belong to: of all suites of
// a line, as another one may have a newer version.
func (s *Prefetcher) planNews(ctx context.Context, dirs []catalog.Location) (*plan, error) {
	p := newPlan(s.catalog.Suites())
	changed := make(map[string]bool)
	for _, dir := range dirs {
		changed[p.lines[dir]] = true
	}
	for dir, line := range p.lines {
		if line == "" || !changed[line] {
			continue
		}
		if err := s.addNews(ctx, p, dir); err != nil {
			return p, fmt.Errorf("%s: %w", dir, err)
		}
	}
	return p, s.addNewDepends(ctx, p, dirs)
}

// addNews adds the packages of a suite that are new to its clients.
func (s *Prefetcher) addNews(ctx context.Context, p *plan, dir catalog.Location) error {
	for e, err := range s.catalog.Packages(dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if f, ok := deb.ParseFileName(e.Location.Name()); ok && isBinary(f) && e.Signed {
			k := uses.Key{Line: p.lines[dir], Package: f.Package, Architecture: f.Architecture, Type: f.Type}
			s.addIfNew(p, k, f.Version, e)
		}
	}
	var group []catalog.Entry // files of one source package in one directory
	for e, err := range s.catalog.Sources(dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		f, ok := deb.ParseFileName(e.Location.Name())
		if !ok || f.Architecture != deb.Source || !e.Signed {
			continue
		}
		if len(group) > 0 && !sameSource(group[0], e, f.Package) {
			s.addSources(p, p.lines[dir], group)
			group = group[:0]
		}
		if len(group) < maxSame {
			group = append(group, e)
		}
	}
	s.addSources(p, p.lines[dir], group)
	return nil
}

func (s *Prefetcher) addIfNew(p *plan, k uses.Key, version string, files ...catalog.Entry) {
	if weight, ok := s.uses.News(k, version); ok {
		p.add(want{key: k, version: version, rank: weight, files: files})
	}
}

// sameSource reports whether two files, the second one of a package, are of the same
// source package in the same directory.
func sameSource(a, b catalog.Entry, pkg string) bool {
	return strings.HasPrefix(a.Location.Name(), pkg+"_") && a.Location.Dir() == b.Location.Dir()
}

// addSources adds the versions of a source package that are new to clients.
func (s *Prefetcher) addSources(p *plan, line string, group []catalog.Entry) {
	for _, e := range group {
		name := e.Location.Name()
		if path.Ext(name) != ".dsc" {
			continue
		}
		k, version, ok := packageOf(name)
		if !ok {
			continue
		}
		k.Line = line
		if _, ok := s.uses.News(k, version); !ok {
			continue
		}
		s.addIfNew(p, k, version, slices.DeleteFunc(slices.Clone(group), func(f catalog.Entry) bool { return !isPartOf(f.Location.Name(), version) })...)
	}
}

// isPartOf reports whether a file of a source package is a part of that version.
func isPartOf(name, version string) bool {
	v, whole := deb.SourceVersion(name)
	return whole && v == version || !whole && v == upstreamOf(version)
}

// upstreamOf returns a version without its revision.
func upstreamOf(version string) string {
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		return version[:i]
	}
	return version
}
