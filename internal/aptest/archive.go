// Package aptest makes a signed Debian archive in memory and serves it from an
// HTTP mirror that can misbehave. It is for tests, and what it makes is real:
// apt, dpkg and dpkg-source of a Debian machine accept it.
//
// A Generation is one state of all suites of an archive, a plain map from path
// to bytes; the same one can be published at several bases and mirrors, and
// the next one over the former: a mirror goes on serving the pool and by-hash
// files of the former. Names, versions and sizes decide the bytes: given the
// same calls and times, two runs make the same archive, signatures included.
// A wrong argument panics, as a fault of the test.
//
// An archive has what Debian's has, that is to say also what a cache trips
// over: index files beside those of packages (Contents, dep11, cnf, installer
// images, a file named Release beneath main/binary-amd64), files that Release
// lists and the mirror lacks, pdiffs, .udeb files, and each suite under its
// codename a second time.
package aptest

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Suite describes one suite of an archive. The zero value is complete.
type Suite struct {
	Name          string   // "stable" if empty; may have slashes, as in "stable/updates"
	Codename      string   // Name+"-codename" if empty; published under this name too
	Components    []string // "main" if none
	Architectures []string // "amd64" if none; "all" is always there
	// Compressions of index files, by extension and with "" for plain; nil for
	// "", gz, xz, bz2 and zst. Release lists the plain form in any case, as
	// Debian's does.
	Compressions []string
	ValidFor     time.Duration // until Valid-Until; none if 0

	// Hashes are the lists of Release, and the sums in Packages, of MD5Sum, SHA1,
	// SHA256 and SHA512; the first three if none. apt refuses MD5Sum and SHA1
	// alone.
	Hashes []string
	// ByHash are the by-hash directories, of Hashes; SHA256 if none and listed.
	ByHash     []string
	NoByHash   bool // no by-hash directories
	ByHashOnly bool // index files have no other names

	NoRelease   bool // no Release file of any kind: for [trusted=yes]
	NoInRelease bool // Release and Release.gpg only
	NoPDiffs    bool // no Packages.diff
	// EditRelease changes the Release text before it is signed, if set.
	EditRelease func(string) string

	// Flat makes a repository without dists and pool, all of it in the
	// directory Name (the archive's base if empty), for sources.list lines as
	// "deb URL ./". It has Packages and Sources only, and by-hash only if ByHash
	// is set.
	Flat bool
	// Pool is the directory of packages, relative to the archive's base: "pool",
	// or of a flat repository its own, if empty.
	Pool string
	// Filename is how Packages writes the path of a package, as it is if nil.
	Filename func(path string) string
}

// File is a file of an archive, by its path relative to the archive's base.
type File struct {
	Path string
	Data []byte
}

// Archive is a Debian archive that generations are published from. It may be
// used by several goroutines.
type Archive struct {
	mu     sync.Mutex
	keys   []*Key   // guarded by mu
	suites []*suite // guarded by mu, the slice's elements too
	last   *Generation
}

type suite struct {
	Suite
	binaries []binary
	sources  []source
	extra    []File            // relative to the suite's directory
	diffs    map[string]*diffs // by Packages file
}

type binary struct {
	Package
	File
}

// NewArchive returns an empty archive with the given suites, or with one
// default suite. Without a key it is unsigned: Release alone.
func NewArchive(key *Key, suites ...Suite) *Archive {
	a := &Archive{}
	if key != nil {
		a.keys = []*Key{key}
	}
	if len(suites) == 0 {
		suites = []Suite{{}}
	}
	for _, s := range suites {
		a.suites = append(a.suites, &suite{Suite: s.withDefaults(), diffs: map[string]*diffs{}})
	}
	return a
}

func (s Suite) withDefaults() Suite {
	if len(s.Hashes) == 0 {
		s.Hashes = []string{"MD5Sum", "SHA1", "SHA256"}
	}
	if s.Filename == nil {
		s.Filename = func(path string) string { return path }
	}
	if s.Flat {
		setDefault(&s.Pool, path.Clean(s.Name))
		if s.Compressions == nil {
			s.Compressions = []string{"", "gz"}
		}
		return s
	}
	if len(s.ByHash) == 0 && slices.Contains(s.Hashes, "SHA256") {
		s.ByHash = []string{"SHA256"}
	}
	setDefault(&s.Pool, "pool")
	setDefault(&s.Name, "stable")
	setDefault(&s.Codename, strings.ReplaceAll(s.Name, "/", "-")+"-codename")
	if len(s.Components) == 0 {
		s.Components = []string{"main"}
	}
	if len(s.Architectures) == 0 {
		s.Architectures = []string{"amd64"}
	}
	if s.Compressions == nil {
		s.Compressions = []string{"", "gz", "xz", "bz2", "zst"}
	}
	return s
}

// SignWith makes the next generations signed by all the keys, or by none.
func (a *Archive) SignWith(keys ...*Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = slices.Clone(keys)
}

// Add puts a package in the archive and returns its file. Another package of
// the same name, version, architecture and suite is replaced; other versions
// stay.
func (a *Archive) Add(p Package) File {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.suite(p.Suite)
	p = p.withDefaults()
	dir := s.poolDir(&p.Component, p.Source)
	b := binary{p, File{path.Join(dir, p.fileName()), p.deb()}}
	s.binaries = slices.DeleteFunc(s.binaries, func(o binary) bool { return o.Path == b.Path })
	s.binaries = append(s.binaries, b)
	slices.SortFunc(s.binaries, func(x, y binary) int { return strings.Compare(x.Path, y.Path) })
	return b.File
}

// AddFile puts a file in a suite's directory (of the first suite if suite is
// empty), listed in Release under name: "main/dep11/icons-48x48.tar.gz".
func (a *Archive) AddFile(suite, name string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.suite(suite)
	s.extra = slices.DeleteFunc(s.extra, func(f File) bool { return f.Path == name })
	s.extra = append(s.extra, File{name, data})
}

// Remove takes all packages and sources of that name out of all suites.
func (a *Archive) Remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.suites {
		s.binaries = slices.DeleteFunc(s.binaries, func(b binary) bool { return b.Name == name })
		s.sources = slices.DeleteFunc(s.sources, func(o source) bool { return o.Name == name })
	}
}

func (a *Archive) suite(name string) *suite {
	for _, s := range a.suites {
		if name == "" || s.Name == name {
			return s
		}
	}
	panic("aptest: no suite named " + name)
}

// poolDir is where files of a source package are kept; it sets an empty
// component to the suite's first.
func (s *suite) poolDir(component *string, source string) string {
	if s.Flat {
		return s.Pool
	}
	setDefault(component, s.Components[0])
	if !slices.Contains(s.Components, *component) {
		panic(fmt.Sprintf("aptest: suite %s has no component %s", s.Name, *component))
	}
	prefix := source[:1]
	if strings.HasPrefix(source, "lib") && len(source) > 3 {
		prefix = source[:4]
	}
	return path.Join(s.Pool, *component, prefix, source)
}

// Generation is one published state of an archive. It never changes.
type Generation struct {
	Time  time.Time
	files map[string]stamped
}

type stamped struct {
	data     []byte
	modified time.Time
}

// Publish makes a generation of the archive as it is now. Its Release files are
// dated t, to the second, or a second after the former generation if that is
// later: two InRelease files of one second have the same Last-Modified, and apt
// would take the new one for the old. (apt refuses a date over 10 s ahead.)
func (a *Archive) Publish(t time.Time) *Generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &Generation{Time: t.UTC().Truncate(time.Second), files: map[string]stamped{}}
	if a.last != nil && !g.Time.After(a.last.Time) {
		g.Time = a.last.Time.Add(time.Second)
	}
	for _, s := range a.suites {
		put := func(name string, data []byte) { g.put(name, data, a.last) }
		for _, b := range s.binaries {
			put(b.Path, b.Data)
		}
		for _, src := range s.sources {
			for _, f := range src.files {
				put(f.Path, f.Data)
			}
		}
		for _, f := range s.publish(g.Time, a.keys) {
			for _, dir := range s.directories() {
				put(path.Join(dir, f.Path), f.Data)
			}
		}
	}
	a.last = g
	return g
}

// directories are the suite's names: the second is a symbolic link on a real
// mirror.
func (s *suite) directories() []string {
	if s.Flat {
		return []string{s.Name}
	}
	return []string{path.Join("dists", s.Name), path.Join("dists", s.Codename)}
}

// put adds a file, with the time it had in the former generation if it is the
// same.
func (g *Generation) put(name string, data []byte, former *Generation) {
	modified := g.Time
	if former != nil {
		if f, ok := former.files[name]; ok && bytes.Equal(f.data, data) {
			modified = f.modified
		}
	}
	g.files[name] = stamped{data, modified}
}

// Files returns all files by path relative to the archive's base. The bytes
// are shared: do not change them.
func (g *Generation) Files() map[string][]byte {
	files := make(map[string][]byte, len(g.files))
	for name, f := range g.files {
		files[name] = f.data
	}
	return files
}

// Paths returns the paths of all files, sorted.
func (g *Generation) Paths() []string { return slices.Sorted(maps.Keys(g.files)) }

// File returns the bytes of one file, and panics if there is none.
func (g *Generation) File(name string) []byte {
	f, ok := g.files[name]
	if !ok {
		panic("aptest: no file " + name + " in this generation")
	}
	return f.data
}
