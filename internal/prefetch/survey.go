package prefetch

import (
	"context"
	"slices"
	"strings"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/prefetch/uses"
)

const (
	// maxPart bounds the packages that are compared with what is held at once, some
	// 20 MB of memory: for each part the names of all held files are read.
	maxPart = 64 << 10
	// maxSame bounds the held files of one package that are looked at: versions for
	// each architecture.
	maxSame = 4096
	// maxOlder bounds those that a plan remembers of each package.
	maxOlder = 8
)

// listed is a binary package that a suite lists.
type listed struct {
	catalog.Entry
	file  deb.File
	group string // what the names of all files of the package begin with
}

// survey adds the packages of a suite of which an older version is held. To look for
// each by itself would take a search in the database for the package, one for each
// version held, and one for its last use, which is 200 µs for each package. The names of
// all held files in order take less than 2 µs each.
func (s *Prefetcher) survey(ctx context.Context, p *plan, dir catalog.Location) error {
	var part []listed
	for e, err := range s.catalog.Packages(dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name := e.Location.Name()
		if file, ok := deb.ParseFileName(name); ok && isBinary(file) {
			part = append(part, listed{e, file, name[:len(file.Package)+1]})
		}
		if len(part) == maxPart {
			if err := s.compare(p, p.lines[dir], part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	return s.compare(p, p.lines[dir], part)
}

// heldFile is a held file of a package.
type heldFile struct {
	deb.File
	digest digest.Digest
}

// compare adds those of the packages that replace what is held for clients of a line.
func (s *Prefetcher) compare(p *plan, line string, part []listed) error {
	if len(part) == 0 {
		return nil
	}
	slices.SortFunc(part, func(a, b listed) int { return strings.Compare(a.group, b.group) })
	var held []heldFile
	for name, err := range s.store.Names("", part[0].group) {
		if err != nil {
			return err
		}
		file, ok := deb.ParseFileName(name.Name)
		if !ok || !isBinary(file) {
			continue
		}
		group := name.Name[:len(file.Package)+1]
		if len(held) > 0 && held[0].Package != file.Package {
			if part, err = s.compareGroup(p, line, part, held); err != nil {
				return err
			}
			held = held[:0]
		}
		for len(part) > 0 && part[0].group < group {
			part = part[1:]
		}
		if len(part) == 0 {
			return nil
		}
		if part[0].group == group && len(held) < maxSame {
			held = append(held, heldFile{file, name.Digest})
		}
	}
	if len(held) > 0 {
		_, err := s.compareGroup(p, line, part, held)
		return err
	}
	return nil
}

// compareGroup compares the first packages of part, all versions of one, with what is
// held of it, and returns the others.
func (s *Prefetcher) compareGroup(p *plan, line string, part []listed, held []heldFile) (rest []listed, err error) {
	slices.SortFunc(held, func(a, b heldFile) int { return deb.CompareVersions(b.Version, a.Version) })
	for rest = part; len(rest) > 0 && rest[0].group == part[0].group; rest = rest[1:] {
		if err := s.compareOne(p, line, rest[0], held); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// compareOne adds a package if it is newer than all versions that are held for clients of
// a line. It is of no use if none is held, or a newer one, from another suite. The use of
// the newest one decides when its turn comes. For whom older ones are held takes a search
// for each, and is found out for what is planned only (confirm).
func (s *Prefetcher) compareOne(p *plan, line string, l listed, held []heldFile) error {
	if slices.ContainsFunc(held, func(h heldFile) bool { return h.digest == l.Digest }) {
		return nil
	}
	var older []digest.Digest
	for _, h := range held { // the newest first
		if !sameKind(h.File, l.file) {
			continue
		}
		if deb.CompareVersions(h.Version, l.file.Version) < 0 {
			if len(older) < maxOlder {
				older = append(older, h.digest)
			}
			continue
		}
		if ours, err := s.belongs(p, line, h.digest); err != nil || ours {
			return err
		}
	}
	if len(older) == 0 {
		return nil
	}
	if info, err := s.store.Stat(older[0]); err == nil { // else it was evicted since
		p.add(want{
			key:     uses.Key{Line: line, Package: l.file.Package, Architecture: l.file.Architecture, Type: l.file.Type},
			version: l.file.Version, rank: float64(info.Used.UnixNano()), files: []catalog.Entry{l.Entry}, older: older,
		})
	}
	return nil
}

// confirm leaves of a plan what replaces a file that is held for clients of its line.
func (s *Prefetcher) confirm(p *plan) error {
	p.trim()
	var fault error
	p.wants = slices.DeleteFunc(p.wants, func(w want) bool {
		for _, d := range w.older {
			ours, err := s.belongs(p, w.key.Line, d)
			if err != nil {
				fault = err
			}
			if ours {
				return false
			}
		}
		return len(w.older) > 0
	})
	return fault
}

// belongs reports whether clients of line have the package d: a suite of it
// lists d, or none does any more.
func (s *Prefetcher) belongs(p *plan, line string, d digest.Digest) (bool, error) {
	suites, err := s.catalog.Listers(d)
	for _, dir := range suites {
		if p.lines[dir] == line {
			return true, err
		}
	}
	return len(suites) == 0, err
}

// sameKind reports whether two files are versions of the same binary package.
func sameKind(a, b deb.File) bool {
	return a.Package == b.Package && a.Architecture == b.Architecture && a.Type == b.Type && a.Version != b.Version
}

// isBinary accepts files of binary packages that have a version in their name.
func isBinary(f deb.File) bool { return f.Type != "" && f.Version != "" }
