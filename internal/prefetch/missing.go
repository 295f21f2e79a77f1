package prefetch

import (
	"context"
	"errors"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// Missing returns what a prefetch of all that clients use would fetch, had it no budget:
// the packages that clients use in newer versions than are held.
func (s *Prefetcher) Missing(ctx context.Context) ([]catalog.Entry, error) {
	p := newPlan(s.catalog.Suites())
	var faults []error
	var dirs []catalog.Location
	for dir, line := range p.lines {
		faults = append(faults, s.survey(ctx, p, dir))
		if line != "" {
			dirs = append(dirs, dir)
			faults = append(faults, s.addNews(ctx, p, dir))
		}
	}
	faults = append(faults, s.addNewDepends(ctx, p, dirs), s.confirm(p))
	var all []catalog.Entry
	seen := make(map[digest.Digest]bool)
	for _, w := range p.wants {
		for _, e := range w.files {
			if !seen[e.Digest] && !s.held(e.Digest) {
				seen[e.Digest] = true
				all = append(all, e)
			}
		}
	}
	return all, errors.Join(faults...)
}
