package deb822

import (
	"fmt"
	"io"
	"iter"
	"strings"
)

const sourceFields = fDirectory | fChecksums

// maxStanzaFiles bounds the files of one source package. They are kept in memory
// until the stanza ends, since its Directory may come last. The largest in Debian have some 50.
const maxStanzaFiles = 4096

// source gathers one stanza of a Sources index.
type source struct {
	dir   string
	files []listed // their names are parts of names
	names []byte
	path  []byte // scratch
}

func (s *source) set(t token) {
	if t.cut {
		return
	}
	switch t.field {
	case fDirectory:
		if len(t.value) > 0 || !t.folded {
			s.dir = strings.Trim(string(t.value), "/")
		}
	case fChecksums:
		e, ok := parseListed(t.value)
		if !ok || len(e.name) > maxPath || len(s.files) == maxStanzaFiles {
			return
		}
		from := len(s.names)
		s.names = append(s.names, e.name...)
		e.name = s.names[from:] // remains valid when names is reallocated
		s.files = append(s.files, e)
	}
}

// each yields the files of the stanza and reports whether to go on.
func (s *source) each(yield func(File, error) bool) bool {
	for _, e := range s.files {
		if s.dir != "" { // else the archive's root, as in a flat archive
			s.path = append(s.path[:0], s.dir...)
			s.path = append(s.path, '/')
			s.path = append(s.path, e.name...)
			e.name = s.path
		}
		f, ok := e.file()
		if ok && !yield(f, nil) {
			return false
		}
	}
	return true
}

// Sources yields the files of each stanza of a Sources index, uncompressed:
// those of Checksums-Sha256, in the stanza's Directory. A file that is listed
// by other hashes alone is left out, and so are those of one stanza beyond the
// first 4,096. It reads r once and stops after the
// first error, which it yields with an empty File.
func Sources(r io.Reader) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		var s source
		for t, err := range tokens(r, sourceFields) {
			if err != nil {
				yield(File{}, fmt.Errorf("reading Sources: %w", err))
				return
			}
			if t.field != stanzaEnd {
				s.set(t)
				continue
			}
			if !s.each(yield) {
				return
			}
			s = source{files: s.files[:0], names: s.names[:0], path: s.path}
		}
	}
}
