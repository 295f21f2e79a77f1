package store

import (
	"slices"
	"sort"
)

// Range is the bytes from Off up to, not including, End.
type Range struct{ Off, End int64 }

// spans is a set of bytes as ascending Ranges that neither overlap nor touch.
// There are as many as writers leave holes, not as a file has blocks.
type spans []Range

// after returns the index of the first span that ends after off.
func (s spans) after(off int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].End > off })
}

// add puts the bytes [off, end) into the set.
func (s *spans) add(off, end int64) {
	if off >= end {
		return
	}
	first := s.after(off - 1) // touching counts
	last := first
	for ; last < len(*s) && (*s)[last].Off <= end; last++ {
		off, end = min(off, (*s)[last].Off), max(end, (*s)[last].End)
	}
	*s = slices.Replace(*s, first, last, Range{off, end})
}

// available returns how many bytes of the set follow from off on without a hole.
func (s spans) available(off int64) int64 {
	if i := s.after(off); i < len(s) && s[i].Off <= off {
		return s[i].End - off
	}
	return 0
}

// missing returns the holes in [off, end).
func (s spans) missing(off, end int64) (holes []Range) {
	for i := s.after(off); i < len(s) && s[i].Off < end; i++ {
		if off < s[i].Off {
			holes = append(holes, Range{off, s[i].Off})
		}
		off = s[i].End
	}
	if off < end {
		holes = append(holes, Range{off, end})
	}
	return holes
}

// remove takes the bytes [off, end) out of the set.
func (s *spans) remove(off, end int64) {
	var rest spans
	for _, r := range *s {
		rest.add(r.Off, min(r.End, off))
		rest.add(max(r.Off, end), r.End)
	}
	*s = rest
}

// within returns the bytes of the set in [off, end).
func (s spans) within(off, end int64) (in spans) {
	for i := s.after(off); i < len(s) && s[i].Off < end; i++ {
		in.add(max(s[i].Off, off), min(s[i].End, end))
	}
	return in
}

// common returns the bytes that both sets have.
func (s spans) common(other spans) (both spans) {
	for _, r := range s {
		for _, c := range other.within(r.Off, r.End) {
			both.add(c.Off, c.End)
		}
	}
	return both
}

// without returns the bytes of the set that other has not.
func (s spans) without(other spans) (rest spans) {
	for _, r := range s {
		for _, hole := range other.missing(r.Off, r.End) {
			rest.add(hole.Off, hole.End)
		}
	}
	return rest
}

// total returns how many bytes the set has.
func (s spans) total() (n int64) {
	for _, r := range s {
		n += r.End - r.Off
	}
	return n
}

// end returns the end of the last span.
func (s spans) end() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].End
}

// clip returns the bytes of the set that lie before end.
func (s spans) clip(end int64) spans {
	return s.within(0, end)
}
