package main

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

// stanza is what a Packages file says of a package.
type stanza struct {
	name, version, arch, source string
	size                        int64
	priority                    string
	depends                     []string // names
	renamed                     bool     // it follows a package of another name, and name is that
}

// readPackages reads a Packages file.
func readPackages(r io.Reader) ([]stanza, error) {
	var all []stanza
	var s stanza
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "Package":
			s.name = value
		case "Version":
			s.version = value
		case "Architecture":
			s.arch = value
		case "Filename":
			s.source = path.Base(path.Dir(value)) // pool/main/l/linux/linux-image-…
		case "Size":
			s.size = parseSize(value)
		case "Priority":
			s.priority = value
		case "Depends", "Pre-Depends", "Recommends":
			for _, d := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == '|' }) {
				name, _, _ := strings.Cut(strings.TrimSpace(d), " ")
				s.depends = append(s.depends, name)
			}
		case "":
			if s.name != "" {
				all = append(all, s)
			}
			s = stanza{}
		}
	}
	if s.name != "" {
		all = append(all, s)
	}
	return all, lines.Err()
}

func parseSize(s string) (n int64) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// pkg is a binary package of an architecture.
type pkg struct {
	source     string
	name, arch string   // in the first generation
	sizes      [2]int64 // in the two generations, scaled
	every      int      // weeks between two updates; 0: there are none
	phase      int      // the week of the first
	// renamed: each update is a package of a new name, as with the kernel, which clients get
	// since what they have depends on it.
	renamed bool
}

// version returns how often p has been updated by the end of a week.
func (p *pkg) version(week int) int {
	if p.every == 0 || week < p.phase {
		return 0
	}
	return 1 + (week-p.phase)/p.every
}

// changes reports whether p is updated at the beginning of a week.
func (p *pkg) changes(week int) bool { return week > 0 && p.version(week) > p.version(week-1) }

// file is a version of a package.
type file struct{ pkg, version int }

// archive is what clients install from.
type archive struct {
	pkgs []pkg
	// ranked are the packages of each architecture, the most popular first. Those for all
	// architectures are the same in each.
	ranked [][]int
}

// slowest is how many weeks lie between the two generations: what changed has done so once
// at least.
const slowest = 20

// slower returns a where nothing changes more often than every slowest weeks.
func (a *archive) slower() *archive {
	b := *a
	b.pkgs = slices.Clone(a.pkgs)
	for i := range b.pkgs {
		if p := &b.pkgs[i]; p.every > 0 && p.every < slowest {
			p.phase, p.every = 1+(p.phase-1)*slowest/p.every, slowest
		}
	}
	return &b
}

// size is that of the first generation up to the first update, and that of the second
// from then on.
func (a *archive) size(f file) int64 { return a.pkgs[f.pkg].sizes[min(f.version, 1)] }

// scale is by how much files are smaller than in the archive.
const scale = 1000

const (
	// quick is how many weeks there are between two updates of what follows its upstream:
	// browsers and kernels have one every four weeks.
	quick = 4
	// lifetime is that of Debian 12 up to the second generation, in weeks: a version that
	// ends in deb12u5 is the fifth in it.
	lifetime = 177
)

// newArchive makes an archive of two generations, of the same architectures each.
func newArchive(before, after [][]stanza) *archive {
	a := new(archive)
	common := make(map[string]int) // of Architecture: all
	for arch := range before {
		newer := make(map[string]stanza)
		for _, s := range after[arch] {
			newer[s.name] = s
		}
		var order []int
		for _, s := range byPopularity(before[arch]) {
			i, known := common[s.name]
			if s.arch != "all" || !known {
				i = len(a.pkgs)
				a.pkgs = append(a.pkgs, pairOf(s, newer[s.name]))
			}
			if s.arch == "all" {
				common[s.name] = i
			}
			order = append(order, i)
		}
		a.ranked = append(a.ranked, order)
	}
	return a
}

// pairOf makes a package of its stanzas in both generations; the second has no name if
// the package did not change.
func pairOf(s, next stanza) pkg {
	p := pkg{source: s.source, name: s.name, arch: s.arch, sizes: [2]int64{scaled(s.size), scaled(s.size)}}
	if next.name == "" || next.version == s.version {
		return p
	}
	p.sizes[1], p.renamed = scaled(next.size), next.renamed
	p.every = quick
	if !p.renamed && upstream(next.version) == upstream(s.version) {
		p.every = max(quick, lifetime/max(1, updates(next.version)))
	}
	p.phase = 1 + int(chance(s.source, "phase")*float64(p.every))
	return p
}

func scaled(n int64) int64 { return max(64, n/scale) }

// upstream is the part of a version before the Debian revision.
func upstream(version string) string {
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		return version[:i]
	}
	version, _, _ = strings.Cut(version, "+deb")
	version, _, _ = strings.Cut(version, "~deb")
	return version
}

// updates is N of a version that ends in debXuN, or 1.
func updates(version string) int {
	i := strings.LastIndex(version, "deb")
	if i < 0 {
		return 1
	}
	_, n, _ := strings.Cut(version[i:], "u")
	return max(1, int(parseSize(n)))
}

// byPopularity orders packages as popularity-contest might: what every system has, the
// kernel among it, then
// by how many packages want it, each twofold step of that being worth as much as
// chance is, so that programs which nothing depends on are among the popular ones too.
func byPopularity(all []stanza) []stanza {
	wanted, kernel := make(map[string]int), make(map[string]bool)
	for _, s := range all {
		for _, d := range s.depends {
			wanted[d]++
			kernel[d] = kernel[d] || s.name == "linux-image-"+s.arch
		}
	}
	score := make(map[string]float64, len(all))
	for _, s := range all {
		score[s.name] = math.Log2(1+float64(wanted[s.name])) - 3*math.Log2(chance(s.name, "popularity"))
		needed := s.priority == "required" || s.priority == "important" || s.priority == "standard"
		if needed || kernel[s.name] {
			score[s.name] += 1000
		}
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(x, y stanza) int {
		return cmp.Or(cmp.Compare(score[y.name], score[x.name]), strings.Compare(x.name, y.name))
	})
	return slices.CompactFunc(all, func(x, y stanza) bool { return x.name == y.name })
}

// chance returns a number above 0 and up to 1 that depends on what it is for alone.
func chance(of, what string) float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, what+"\x00"+of)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.Sum64())
	h.Write(b[:]) // the last bytes of a name reach the high bits only so
	return float64(h.Sum64()>>11+1) / (1 << 53)
}
