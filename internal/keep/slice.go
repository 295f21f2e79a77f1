package keep

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

// Slice is what is to be kept of a suite: packages of those components and
// architectures that any of the lists names, with what they depend on, or all.
type Slice struct {
	Suite         catalog.Location // its directory
	Components    []string         // none for a flat archive
	Architectures []string         // deb.Source for source packages, of what is selected of the others too
	All           bool
	Sections      []string // admin stands for contrib/admin, too
	Priorities    []string
	Packages      []string // by name
}

// selects reports whether a package is a part of the selection.
func (s *Slice) selects(name, section, priority string) bool {
	if _, found := slices.BinarySearch(s.Packages, name); found {
		return true
	}
	last := section[strings.LastIndexByte(section, '/')+1:]
	return slices.Contains(s.Sections, section) && section != "" || slices.Contains(s.Sections, last) && last != "" ||
		slices.Contains(s.Priorities, priority) && priority != ""
}

// suite is all that is kept of one suite.
type suite struct {
	dir    catalog.Location
	slices []Slice
	spec   digest.Digest // of what is to be kept, to notice when the setting changes
	owner  string        // of the pins

	// Of Run's goroutine.
	record  record // as it is in the table
	audited time.Time
	whole   bool  // all was held when it was looked at last
	again   retry // of the system
	asked   retry // for a generation

	lost    atomic.Bool // a file vanished
	changed atomic.Bool // Changed was called
}

// maxOwner bounds the owner of a pin, which the store would shorten.
const maxOwner = 200

// suitesOf joins the slices of the same suite.
func suitesOf(all []Slice) []*suite {
	byDir := make(map[catalog.Location]*suite)
	for _, s := range all {
		s.Packages = slices.Sorted(slices.Values(s.Packages))
		if byDir[s.Suite] == nil {
			owner := ownerPrefix + s.Suite.String()
			if len(owner) > maxOwner {
				owner = ownerPrefix + digest.Of([]byte(owner)).String()
			}
			byDir[s.Suite] = &suite{dir: s.Suite, owner: owner}
		}
		byDir[s.Suite].slices = append(byDir[s.Suite].slices, s)
	}
	suites := slices.SortedFunc(maps.Values(byDir), func(a, b *suite) int { return cmp.Compare(a.dir.String(), b.dir.String()) })
	for _, s := range suites {
		text, err := json.Marshal(s.slices)
		if err != nil {
			panic(err) // it has strings and a bool
		}
		s.spec = digest.Of(text)
	}
	return suites
}

// names are the packages that were selected by name.
func (s *suite) names() (all []string) {
	for _, sl := range s.slices {
		if !slices.Equal(sl.Architectures, []string{deb.Source}) {
			all = append(all, sl.Packages...)
		}
	}
	return all
}

// index is one index of a suite, and the slices that it is read for.
type index struct {
	path     string   // relative to the suite's directory, without the suffix of a compression
	archs    []string // that clients read it for
	optional bool     // not every suite has it
	slices   []*Slice
}

func (x *index) source() bool { return x.archs[0] == deb.Source }

// all reports whether all that the index lists is kept.
func (x *index) all() bool {
	return slices.ContainsFunc(x.slices, func(s *Slice) bool { return s.All })
}

func (x *index) selects(name, section, priority string) bool {
	return slices.ContainsFunc(x.slices, func(s *Slice) bool { return s.selects(name, section, priority) })
}

// indices returns the indices of packages that the slices of a suite are chosen from.
func (s *suite) indices() (all []*index) {
	add := func(of *Slice, path, arch string, optional bool) {
		i := slices.IndexFunc(all, func(x *index) bool { return x.path == path })
		if i < 0 {
			all = append(all, &index{path: path, optional: optional})
			i = len(all) - 1
		}
		if x := all[i]; !slices.Contains(x.archs, arch) {
			x.archs = append(x.archs, arch)
		}
		if x := all[i]; !slices.Contains(x.slices, of) {
			x.slices = append(x.slices, of)
		}
	}
	for i := range s.slices {
		sl := &s.slices[i]
		for _, arch := range sl.Architectures {
			switch {
			case len(sl.Components) == 0 && arch == deb.Source:
				add(sl, "Sources", arch, false)
			case len(sl.Components) == 0:
				add(sl, "Packages", arch, false)
			}
			for _, c := range sl.Components {
				if arch == deb.Source {
					add(sl, c+"/source/Sources", arch, false)
					continue
				}
				add(sl, c+"/binary-"+arch+"/Packages", arch, false)
				// Some archives have packages of all architectures there alone.
				add(sl, c+"/binary-all/Packages", arch, true)
			}
		}
	}
	return all
}

// beside are further files that apt asks for when it updates its lists, as far as the
// Release lists them: the English descriptions, which it reads in every language.
func (s *suite) beside() (paths []string) {
	for _, sl := range s.slices {
		for _, c := range sl.Components {
			if p := c + "/i18n/Translation-en"; !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
	}
	return paths
}
