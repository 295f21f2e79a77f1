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

// add records bytes that came in. What follows the last span from the same
// origin makes it longer, which is all that a download in order does.
func (s *spans) add(n span) {
	i, _ := slices.BinarySearchFunc(*s, n.off, func(o span, off int64) int {
		if o.end <= off {
			return -1
		}
		return 1
	})
	if i > 0 && (*s)[i-1].end == n.off && (*s)[i-1].origin == n.origin {
		(*s)[i-1].end = n.end
		return
	}
	*s = slices.Insert(*s, i, n)
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
