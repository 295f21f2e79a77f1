package inventory

import (
	"encoding/binary"
	"slices"

	"millpond/internal/digest"
)

// prefixOf returns the entry for a digest in an inventory: its first 8 bytes. Among
// 200,000 a collision occurs in one of 10⁹ boxes; a request then gets a 404.
func prefixOf(d digest.Digest) uint64 { return binary.BigEndian.Uint64(d[:8]) }

// prefixSet is a set of prefixes at 8 bytes each and little more: a sorted
// slice, and a small map of what changed since it was made. The zero value is
// empty.
type prefixSet struct {
	sorted  []uint64        // never written to: others may hold it
	changed map[uint64]bool // true: added, false: removed
}

// minMerge is how many changes there are at least before they are merged into
// the slice.
const minMerge = 1024

func (s *prefixSet) has(x uint64) bool {
	if len(s.changed) > 0 {
		if in, ok := s.changed[x]; ok {
			return in
		}
	}
	_, ok := slices.BinarySearch(s.sorted, x)
	return ok
}

// set adds or removes x and reports whether that changed anything.
func (s *prefixSet) set(x uint64, in bool) bool {
	if s.has(x) == in {
		return false
	}
	if _, ok := s.changed[x]; ok {
		delete(s.changed, x) // back to what the slice says
		return true
	}
	if s.changed == nil {
		s.changed = make(map[uint64]bool)
	}
	s.changed[x] = in
	if len(s.changed) > max(minMerge, len(s.sorted)/16) {
		s.list()
	}
	return true
}

// list returns all members in order. The slice must not be written to.
func (s *prefixSet) list() []uint64 {
	if len(s.changed) == 0 {
		return s.sorted
	}
	var came []uint64
	for x, in := range s.changed {
		if in {
			came = append(came, x)
		}
	}
	slices.Sort(came)
	merged := make([]uint64, 0, len(s.sorted)+len(came))
	for _, x := range s.sorted {
		for len(came) > 0 && came[0] < x {
			merged, came = append(merged, came[0]), came[1:]
		}
		if _, went := s.changed[x]; !went {
			merged = append(merged, x)
		}
	}
	s.sorted, s.changed = append(merged, came...), nil
	return s.sorted
}
