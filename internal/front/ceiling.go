package front

import "time"

// Limits of what a refusal leads to.
const (
	// minCeiling is how many places are left whatever is refused: a refusal may be
	// about one file.
	minCeiling = 8
	// ceilingFor is how long a refusal counts. Then one more is tried, which costs a
	// request.
	ceilingFor = time.Minute
)

// ceiling is how many places all pools may have together, for a while. The zero value
// is none.
type ceiling struct {
	places int
	until  time.Time
}

// Refused notes that the other side refused what p is for, as it has enough: for a
// minute there are no more places than the others that are taken, and 8 at least, a
// quarter of them for small work.
func (p *Place) Refused() {
	s := p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	others := s.common.taken + s.reserve.taken
	if !p.left {
		others--
	}
	switch {
	case others < minCeiling:
	case now.Before(s.ceiling.until) && s.ceiling.places <= others:
	default:
		s.ceiling = ceiling{others, now.Add(ceilingFor)}
	}
}

// limit is how many places a pool may have at now. mu is held.
func (s *Shares) limit(in *pool, now time.Time) int {
	limit := in.limit(now)
	if !now.Before(s.ceiling.until) {
		return limit
	}
	if in == &s.reserve {
		return min(limit, s.reserved(), max(s.ceiling.places-s.common.taken, 0))
	}
	return min(limit, s.ceiling.places-s.reserved())
}

// reserved is how many of the places under the ceiling are the reserve's. mu is held.
func (s *Shares) reserved() int { return min(s.ceiling.places/4, s.reserve.room.Places) }

// isTaken reports whether common places are taken under the ceiling that are the
// reserve's, from before there was one. mu is held.
func (s *Shares) isTaken(now time.Time) bool {
	return now.Before(s.ceiling.until) && s.reserve.taken < s.reserved() && s.common.taken > s.ceiling.places-s.reserved()
}
