package deb822

import (
	"fmt"
	"io"
	"iter"
)

// Package is a stanza of a Packages index: a binary package and its file.
type Package struct {
	File

	Name, Version, Architecture string
	// Source is the name of the source package, with a version in parentheses
	// where it differs; "" if it has the name and the version of the binary one.
	Source            string
	Section, Priority string
	// Dependencies, as written but for line ends.
	Depends, PreDepends, Recommends, Provides string
	MultiArch                                 string // "same", "foreign", "allowed", "no" or ""
	Essential                                 bool
	Cut                                       bool // a value is too long to be kept, and missing here
}

// SourcePackage is a stanza of a Sources index: a source package and its files.
type SourcePackage struct {
	Name, Version, Section, Priority string
	Files                            []File // valid until the next one
}

const (
	// nameFields are those that binary and source packages have.
	nameFields     = fPackage | fVersion | fSection | fPriority
	relationFields = fDepends | fPreDepends | fRecommends | fProvides
	packageFields  = stanzaFields | nameFields | relationFields | fArchitecture | fSource | fMultiArch | fEssential
)

// texts gathers the values of a stanza that are text. Lines of one value are
// joined by blanks.
type texts struct {
	values map[field][]byte
	cut    field // those of which a value is too long
}

func (s *texts) reset() {
	for f, v := range s.values {
		s.values[f] = v[:0]
	}
	s.cut = 0
}

// set takes a line. Of fields that are there several times the last counts, as in apt.
func (s *texts) set(t token) {
	v := s.values[t.field]
	if !t.folded {
		v = v[:0]
		s.cut &^= t.field
	}
	if t.cut || s.cut&t.field != 0 || len(v)+1+len(t.value) > maxLongLine {
		s.cut |= t.field
		s.values[t.field] = v[:0]
		return
	}
	if len(v) > 0 && len(t.value) > 0 {
		v = append(v, ' ')
	}
	s.values[t.field] = append(v, t.value...)
}

func (s *texts) get(f field) string { return string(s.values[f]) }

// PackageStanzas yields the stanzas of a Packages index, uncompressed, that have
// a usable file, as Packages does, and a name and a version.
func PackageStanzas(r io.Reader) iter.Seq2[Package, error] {
	return func(yield func(Package, error) bool) {
		var file stanza
		text := texts{values: make(map[field][]byte)}
		file.reset()
		for t, err := range tokensOf(newLines(r, maxLongLine), packageFields) {
			if err != nil {
				yield(Package{}, fmt.Errorf("reading Packages: %w", err))
				return
			}
			switch {
			case t.field&stanzaFields != 0:
				file.set(t)
				continue
			case t.field != stanzaEnd:
				text.set(t)
				continue
			}
			f, ok := file.file()
			p := text.binary(f)
			file.reset()
			text.reset()
			if ok && p.Name != "" && p.Version != "" && !yield(p, nil) {
				return
			}
		}
	}
}

// binary is the package that the stanza describes.
func (s *texts) binary(f File) Package {
	return Package{
		File: f,
		Name: s.get(fPackage), Version: s.get(fVersion), Architecture: s.get(fArchitecture), Source: s.get(fSource),
		Section: s.get(fSection), Priority: s.get(fPriority),
		Depends: s.get(fDepends), PreDepends: s.get(fPreDepends), Recommends: s.get(fRecommends), Provides: s.get(fProvides),
		MultiArch: s.get(fMultiArch), Essential: s.get(fEssential) == "yes", Cut: s.cut != 0,
	}
}

// SourceStanzas yields the stanzas of a Sources index, uncompressed, that have a
// name, a version and a usable file, as Sources does.
func SourceStanzas(r io.Reader) iter.Seq2[SourcePackage, error] {
	return func(yield func(SourcePackage, error) bool) {
		var s source
		var files []File
		text := texts{values: make(map[field][]byte)}
		for t, err := range tokens(r, sourceFields|nameFields) {
			if err != nil {
				yield(SourcePackage{}, fmt.Errorf("reading Sources: %w", err))
				return
			}
			switch {
			case t.field&sourceFields != 0:
				s.set(t)
				continue
			case t.field != stanzaEnd:
				text.set(t)
				continue
			}
			files = files[:0]
			s.each(func(f File, _ error) bool { files = append(files, f); return true })
			p := SourcePackage{
				Name: text.get(fPackage), Version: text.get(fVersion),
				Section: text.get(fSection), Priority: text.get(fPriority), Files: files,
			}
			s = source{files: s.files[:0], names: s.names[:0], path: s.path}
			text.reset()
			if len(files) > 0 && p.Name != "" && p.Version != "" && !yield(p, nil) {
				return
			}
		}
	}
}
