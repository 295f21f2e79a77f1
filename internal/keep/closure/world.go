// Package closure finds what a selection of packages needs to be installed: the
// packages that it depends on, as apt would take them.
//
// A World gathers the packages of one system, the suites that stand in one
// sources.list, from their Packages indices. Of the versions of a package for one
// architecture it keeps the highest, apt's candidate. Resolve then follows Pre-Depends,
// Depends and, since apt does so by default, Recommends. Where one of several
// alternatives was selected, that one is enough; else the first that can be had is
// taken, a real package before those that provide its name, and of these the one that
// apt prefers: the two that two versions of it prefer, where those differ. So the
// result does not depend on any order, and holds what apt takes for all of the
// selection at once, or for a part of it.
//
// Conflicts are not looked at: a mirror holds files, and two packages of a selection
// may exclude each other. What apt takes instead of an alternative that conflicts with
// something installed is missing then.
//
// Memory: some 400 bytes a package of the indices, most of them its dependencies, so 26 MB
// for Debian's main of one architecture; maxText bounds it.
package closure

import (
	"errors"
	"strings"

	"millpond/internal/deb"
	"millpond/internal/deb822"
	"millpond/internal/digest"
)

// Index says where a stanza stands.
type Index struct {
	Slice int    // the caller's number of the suite
	Arch  string // of the index; packages of all architectures stand in each one
	// Later marks a suite that apt takes packages of only when told to, as of
	// backports: its packages satisfy what no other satisfies.
	Later bool
}

type flags uint8

const (
	selected flags = 1 << iota // by the caller
	later
	foreign // Multi-Arch
	allowed // Multi-Arch
	essential
)

// pkg is a package in compact form.
type pkg struct {
	text   string // its fields, as far as they are texts
	digest digest.Digest
	size   int64
	next   int32 // the next of the same name, or none
	slice  uint16
	arch   uint8 // number in World.archs
	flags  flags
	rank   uint8 // of its priority
}

const none = -1

// The texts of a package, in the order in which they are joined.
const (
	textName = iota
	textVersion
	textDepends
	textRecommends
	textProvides
	textPath
	textSource
	texts
)

// separator cannot be in a text: the reader of stanzas splits at line ends.
const separator = "\n"

func (p *pkg) get(n int) string {
	s := p.text
	for ; n > 0; n-- {
		_, s, _ = strings.Cut(s, separator)
	}
	s, _, _ = strings.Cut(s, separator)
	return s
}

func (p *pkg) is(f flags) bool { return p.flags&f != 0 }

// maxText bounds the texts of a World, in bytes: some ten architectures of Debian.
const maxText = 256 << 20

// ErrTooLarge says that the indices of a system have more than fits into memory.
var ErrTooLarge = errors.New("the indices have too many packages to find dependencies in: keep fewer architectures, or all of the suite")

// World is the packages of one system. It is for one goroutine.
type World struct {
	pkgs  []pkg
	heads map[string]int32 // the first package of a name
	archs []string
	text  int // bytes
}

// NewWorld returns an empty World.
func NewWorld() *World { return &World{heads: make(map[string]int32)} }

// Len returns the number of packages.
func (w *World) Len() int { return len(w.pkgs) }

// Add adds a package, unless a higher version of it is there. isSelected says that it is
// a part of the selection; then the version that is kept is. The error is ErrTooLarge.
func (w *World) Add(p deb822.Package, at Index, isSelected bool) error {
	fresh := pack(p, at)
	fresh.arch = w.arch(at.Arch)
	if isSelected {
		fresh.flags |= selected
	}
	head, known := w.heads[p.Name]
	if !known {
		head = none
	}
	for i := head; i != none; i = w.pkgs[i].next {
		old := &w.pkgs[i]
		if old.arch != fresh.arch || old.is(later) != fresh.is(later) {
			continue
		}
		if deb.CompareVersions(p.Version, old.get(textVersion)) <= 0 {
			old.flags |= fresh.flags & selected
			return nil
		}
		fresh.flags |= old.flags & selected
		fresh.next = old.next
		w.text += len(fresh.text) - len(old.text)
		*old = fresh
		return nil
	}
	if w.text += len(fresh.text); w.text > maxText {
		return ErrTooLarge
	}
	fresh.next = head
	w.pkgs = append(w.pkgs, fresh)
	i := int32(len(w.pkgs) - 1)
	w.heads[w.pkgs[i].get(textName)] = i
	return nil
}

// arch returns the number of an architecture.
func (w *World) arch(name string) uint8 {
	for i, a := range w.archs {
		if a == name {
			return uint8(i)
		}
	}
	w.archs = append(w.archs, strings.Clone(name))
	return uint8(len(w.archs) - 1)
}

// pack is p in compact form.
func pack(p deb822.Package, at Index) pkg {
	fields := [texts]string{
		textName: p.Name, textVersion: p.Version, textDepends: join(p.PreDepends, p.Depends),
		textRecommends: p.Recommends, textProvides: p.Provides, textPath: p.Path, textSource: p.Source,
	}
	fresh := pkg{text: strings.Join(fields[:], separator), digest: p.Digest, size: p.Size, slice: uint16(at.Slice), rank: rank(p.Priority)}
	for f, set := range map[flags]bool{
		later: at.Later, foreign: p.MultiArch == "foreign", allowed: p.MultiArch == "allowed", essential: p.Essential,
	} {
		if set {
			fresh.flags |= f
		}
	}
	return fresh
}

// join joins two lists of dependencies.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// rank orders priorities as apt does, the most important first.
func rank(priority string) uint8 {
	for i, p := range []string{"required", "important", "standard", "optional", "extra"} {
		if strings.EqualFold(priority, p) {
			return uint8(i)
		}
	}
	return 5
}
