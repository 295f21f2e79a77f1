package prefetch

import (
	"context"

	"millpond/internal/catalog"
)

// Note notes what clients have got so far, as Run does each second. It and Wave are for
// replaying a trace, in which a week takes no time, and take the place of Run there.
func (s *Prefetcher) Note() { s.writeBooks() }

// Wave fetches the update wave of suites that have changed, as Run does for Changed, and
// returns what it did when it has ended.
func (s *Prefetcher) Wave(ctx context.Context, suites ...catalog.Location) State {
	s.writeBooks()
	t, _, _ := s.wave(ctx, suites)
	return t
}
