package fetch

import (
	"slices"

	"millpond/internal/ledger"
)

// span says that the bytes from off to end came from origin.
type span struct {
	off, end int64
	origin   ledger.Origin
}

// spans says of a growing file where each byte came from; ascending.
type spans []span

// add records bytes that came in. A byte that is there stays what it is, as in
// the store: two sources may send the same piece, or what an earlier attempt
// left of one.
func (s *spans) add(n span) {
	i, _ := slices.BinarySearchFunc(*s, n.off, func(o span, off int64) int {
		if o.end <= off {
			return -1
		}
		return 1
	})
	for ; n.off < n.end; i++ {
		next := span{off: n.end}
		if i < len(*s) {
			next = (*s)[i]
		}
		if end := min(n.end, next.off); end > n.off && !s.grow(i, end, n) {
			*s = slices.Insert(*s, i, span{n.off, end, n.origin})
			i++
		}
		n.off = max(n.off, next.end)
		if next.end == 0 {
			return
		}
	}
}

// grow makes the span before i longer if n goes on where it ends, from the
// same origin: all that a download in order does.
func (s spans) grow(i int, end int64, n span) bool {
	if i == 0 || s[i-1].end != n.off || s[i-1].origin != n.origin {
		return false
	}
	s[i-1].end = end
	return true
}

// at returns the span that has the byte at off.
func (s spans) at(off int64) (span, bool) {
	for _, o := range s {
		if off >= o.off && off < o.end {
			return o, true
		}
	}
	return span{}, false
}
