package prefetch

import (
	"context"
	"hash/maphash"
	"path"
	"slices"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

const (
	// maxKnown bounds the names that are compared with, 20 MB of memory: Debian's main has
	// 63,000. In a release that has more nothing is new by its name.
	maxKnown = 512 << 10
	// maxFresh bounds the packages with new names, some MB of memory; a point release has
	// some hundred.
	maxFresh = 8192
	// freshFor is how long a name is new at least: what found no budget, or a mirror that
	// was away, is tried again while the next generation may have come.
	freshFor = 24 * time.Hour
)

// known are the names of packages that a line had before, as hashes.
type known struct {
	seed maphash.Seed
	has  map[uint64]struct{} // at most maxKnown, and one more for each suite
}

// add adds the names of packages, and reports whether there were any.
func (k *known) add(ctx context.Context, all func(func(catalog.Entry, error) bool)) (any bool, err error) {
	for e, err := range all {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return any, err
		}
		any = true
		if name, _, ok := strings.Cut(e.Location.Name(), "_"); ok {
			k.has[maphash.String(k.seed, name)] = struct{}{}
		}
		if len(k.has) > maxKnown {
			break
		}
	}
	return any, nil
}

// newNames returns the packages of the suites of a line that have changed whose names no
// suite of it listed before, and for each suite that has any the generation before. Of a
// suite that is new nothing is.
func (s *Prefetcher) newNames(ctx context.Context, p *plan, line string, changed []catalog.Location) (bases map[catalog.Location]digest.Digest, all []*fresh, err error) {
	k := known{maphash.MakeSeed(), make(map[uint64]struct{})}
	bases = make(map[catalog.Location]digest.Digest)
	for dir, l := range p.lines {
		if l != line {
			continue
		}
		if base, ok := s.base(dir); ok && slices.Contains(changed, dir) {
			any, err := k.add(ctx, s.catalog.PackagesOf(dir, base))
			if err != nil {
				return nil, nil, err
			}
			if any {
				bases[dir] = base
				continue
			}
		}
		if _, err := k.add(ctx, s.catalog.Packages(dir)); err != nil {
			return nil, nil, err
		}
	}
	if len(k.has) > maxKnown {
		s.log.Warn("packages with new names are not fetched ahead, since the release has too many packages", "release", line, "most", maxKnown)
		return nil, nil, nil
	}
	for dir := range bases {
		n := len(all)
		if all, err = s.addFresh(ctx, k, dir, all); err != nil {
			return nil, nil, err
		}
		if len(all) == n {
			delete(bases, dir)
		}
	}
	return bases, all, nil
}

// addFresh adds the packages of a suite whose names are not known.
func (s *Prefetcher) addFresh(ctx context.Context, k known, dir catalog.Location, all []*fresh) ([]*fresh, error) {
	for e, err := range s.catalog.Packages(dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(e.Location.Name(), "_")
		if _, old := k.has[maphash.String(k.seed, name)]; old {
			continue
		}
		if f, ok := deb.ParseFileName(e.Location.Name()); ok && isBinary(f) && e.Signed && len(all) < maxFresh {
			all = append(all, &fresh{entry: e, file: f})
		}
	}
	return all, nil
}

// base is the generation of a suite that the present one is compared with: that before
// it, or an earlier one that was in force within freshFor.
func (s *Prefetcher) base(dir catalog.Location) (id digest.Digest, ok bool) {
	for _, m := range s.catalog.Moments(dir) { // the newest first
		if m.Superseded.IsZero() {
			continue
		}
		if !ok || s.now().Sub(m.Superseded) < freshFor {
			id, ok = m.ID, true
		}
	}
	return id, ok
}

// changedIndices returns the Packages indices of a suite that were learned and that the
// generation base did not have.
func (s *Prefetcher) changedIndices(dir catalog.Location, base digest.Digest) (all []catalog.Entry, err error) {
	var info catalog.SuiteInfo
	for _, i := range s.catalog.Suites() {
		if i.Location == dir {
			info = i
		}
	}
	learned, before := make(map[catalog.Location]bool), make(map[digest.Digest]bool)
	for _, i := range info.Indices {
		if strings.HasPrefix(path.Base(i.Path), "Packages") {
			learned[dir.Join(i.Path)] = true
		}
	}
	for e, err := range s.catalog.Listed(dir, base) {
		if err != nil {
			return nil, err
		}
		before[e.Digest] = true
	}
	for e, err := range s.catalog.Listed(dir, info.Current.ID) {
		if err != nil {
			return nil, err
		}
		if learned[e.Location] && !before[e.Digest] {
			all = append(all, e)
		}
	}
	return all, nil
}
