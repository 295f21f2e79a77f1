package deb822

import (
	"fmt"
	"io"
	"iter"

	"millpond/internal/digest"
)

const stanzaFields = fFilename | fSize | fSHA256

// stanza gathers what is kept of one stanza of a Packages index. Its buffer
// is reused for all stanzas of an index.
type stanza struct {
	path   []byte
	size   int64
	digest digest.Digest
	valued bool // the present field has its value
	bad    bool // holds a value that is not usable
}

func (s *stanza) reset() {
	*s = stanza{path: s.path[:0], size: -1}
}

// set takes a line of a kept field. A value is one line: that of the name or, if
// nothing follows the name, a later one.
func (s *stanza) set(t token) {
	switch {
	case t.cut, t.folded && len(t.value) > 0 && s.valued:
		s.bad = true
		return
	case len(t.value) == 0:
		s.valued = s.valued && t.folded
		return
	}
	s.valued = true
	ok := true
	switch t.field {
	case fFilename:
		s.path = append(s.path[:0], cleanPath(t.value)...)
	case fSize:
		s.size, ok = parseSize(t.value)
	case fSHA256:
		s.digest, ok = parseDigest(t.value)
	}
	s.bad = s.bad || !ok
}

// file returns the file of the stanza, if it has one.
func (s *stanza) file() (File, bool) {
	if s.bad || len(s.path) == 0 || s.digest.IsZero() {
		return File{}, false
	}
	return File{Path: string(s.path), Size: s.size, Digest: s.digest}, true
}

// Packages yields the file of each stanza of a Packages index, uncompressed,
// that has a Filename and a SHA256, and leaves out those whose values it cannot
// use. It reads r once, and stops after the first error, which it yields with
// an empty File.
func Packages(r io.Reader) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		var s stanza
		s.reset()
		for t, err := range tokens(r, stanzaFields) {
			if err != nil {
				yield(File{}, fmt.Errorf("reading Packages: %w", err))
				return
			}
			if t.field != stanzaEnd {
				s.set(t)
				continue
			}
			f, ok := s.file()
			s.reset()
			if ok && !yield(f, nil) {
				return
			}
		}
	}
}
