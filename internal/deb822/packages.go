package deb822

import (
	"fmt"
	"io"
	"iter"

	"millpond/internal/digest"
)

const stanzaFields = fPackage | fVersion | fArchitecture | fFilename | fSize | fSHA256

// stanza gathers what is kept of one stanza of a Packages index. Its buffers
// serve all stanzas of an index.
type stanza struct {
	path, pkg, version, arch []byte
	size                     int64
	digest                   digest.Digest
	bad                      bool // holds a value that is not usable
	text                     []byte
}

func (s *stanza) reset() {
	*s = stanza{
		path: s.path[:0], pkg: s.pkg[:0], version: s.version[:0], arch: s.arch[:0],
		size: -1, text: s.text[:0],
	}
}

func (s *stanza) set(t token) {
	if t.folded { // none of the kept fields may be
		s.bad = true
		return
	}
	ok := true
	switch t.field {
	case fPackage:
		s.pkg = append(s.pkg[:0], printable(t.value)...)
	case fVersion:
		s.version = append(s.version[:0], printable(t.value)...)
	case fArchitecture:
		s.arch = append(s.arch[:0], printable(t.value)...)
	case fFilename:
		s.path = append(s.path[:0], cleanPath(t.value)...)
	case fSize:
		s.size, ok = parseSize(t.value)
	case fSHA256:
		s.digest, ok = parseDigest(t.value)
	}
	s.bad = s.bad || !ok
}

// file returns the file of the stanza, if it has one. All its strings are
// parts of one: the allocations of an index are one for each file.
func (s *stanza) file() (File, bool) {
	if s.bad || len(s.path) == 0 || s.digest.IsZero() {
		return File{}, false
	}
	s.text = append(s.text[:0], s.path...)
	s.text = append(s.text, s.pkg...)
	s.text = append(s.text, s.version...)
	s.text = append(s.text, s.arch...)
	rest := string(s.text)
	next := func(n int) (part string) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	f := File{Size: s.size, Digest: s.digest}
	f.Path = next(len(s.path))
	f.Package = next(len(s.pkg))
	f.Version = next(len(s.version))
	f.Architecture = next(len(s.arch))
	return f, true
}

// Packages yields the file of each stanza of a Packages index, uncompressed,
// that has a Filename and a SHA256. It reads r once, and stops after the
// first error, which it yields with an empty File.
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
