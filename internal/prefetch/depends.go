package prefetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/deb822"
	"millpond/internal/digest"
	"millpond/internal/prefetch/uses"
)

// fresh is a package whose name is new to its line.
type fresh struct {
	entry   catalog.Entry
	file    deb.File
	version string // with its epoch
	needs   []deb.Dependency
	wanted  bool
}

// need is a dependency that names a fresh package.
type need struct {
	on     deb.Dependency
	arch   string  // of the package that has it
	weight float64 // of its requests
}

// newDepends finds out which fresh packages of a line its clients are about to request:
// those that what they use depends on now, and what those depend on. A kernel comes so,
// as the package that clients keep depends on another one with each update. Of
// alternatives the first one counts, where no other is in use or provided by something
// that is: apt prefers it, too.
type newDepends struct {
	uses     *uses.Table
	line     string
	byName   map[string][]*fresh
	byDigest map[digest.Digest]*fresh
	needs    []need
	used     map[string]bool // packages in use, and what they provide
	archs    map[string]bool // architectures of packages in use, but for all
}

// addNewDepends adds what is new by its name in suites that have changed, and needed by
// what clients use.
func (s *Prefetcher) addNewDepends(ctx context.Context, p *plan, dirs []catalog.Location) error {
	lines := make(map[string][]catalog.Location)
	for _, dir := range dirs {
		if l := p.lines[dir]; l != "" {
			lines[l] = append(lines[l], dir)
		}
	}
	for line, changed := range lines {
		bases, found, err := s.newNames(ctx, p, line, changed)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		d := newDepends{s.uses, line, make(map[string][]*fresh), make(map[digest.Digest]*fresh), nil, make(map[string]bool), make(map[string]bool)}
		for _, f := range found {
			d.byName[f.file.Package], d.byDigest[f.entry.Digest] = append(d.byName[f.file.Package], f), f
		}
		for dir, base := range bases {
			if err := s.readIndices(ctx, &d, dir, base); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		d.plan(p)
	}
	return nil
}

// readIndices reads the Packages indices of a suite that were not in the generation base.
// One that is not held, as clients have patches to it alone, is left out.
func (s *Prefetcher) readIndices(ctx context.Context, d *newDepends, dir catalog.Location, base digest.Digest) error {
	indices, err := s.changedIndices(dir, base)
	if err != nil {
		return err
	}
	for _, e := range indices {
		err := s.readIndex(ctx, d, e.Digest)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", e.Location, err)
		}
	}
	return nil
}

func (s *Prefetcher) readIndex(ctx context.Context, d *newDepends, index digest.Digest) error {
	blob, err := s.store.OpenVerified(ctx, index)
	if err != nil {
		return err
	}
	defer blob.Close()
	text, done, err := catalog.IndexText(blob)
	if err != nil {
		return err
	}
	defer done()
	for p, err := range deb822.PackageStanzas(text) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		d.read(p)
	}
	return nil
}

// read takes a stanza. Of a field that cannot be read in part the rest counts.
func (d *newDepends) read(p deb822.Package) {
	if f := d.byDigest[p.Digest]; f != nil {
		f.version = p.Version
		f.needs = append(d.relevant(p.PreDepends), d.relevant(p.Depends)...)
	}
	file, ok := deb.ParseFileName(path.Base(p.Path))
	if !ok || !isBinary(file) {
		return
	}
	weight, ok := d.uses.Used(uses.Key{Line: d.line, Package: file.Package, Architecture: file.Architecture, Type: file.Type}, file.Version)
	if !ok {
		return
	}
	d.used[file.Package] = true
	provides, _ := deb.ParseDependencies(p.Provides)
	for _, r := range provides {
		d.used[r[0].Package] = true
	}
	if file.Architecture != "all" {
		d.archs[file.Architecture] = true
	}
	for _, on := range append(d.relevant(p.PreDepends), d.relevant(p.Depends)...) {
		d.needs = append(d.needs, need{on, file.Architecture, weight})
	}
}

// relevant returns the dependencies of a field whose first alternative is fresh.
func (d *newDepends) relevant(field string) []deb.Dependency {
	all, _ := deb.ParseDependencies(field)
	return slices.DeleteFunc(all, func(on deb.Dependency) bool { return d.byName[on[0].Package] == nil })
}

// plan adds what is needed, and what that needs in turn: each fresh package once.
func (d *newDepends) plan(p *plan) {
	slices.SortStableFunc(d.needs, func(a, b need) int { return cmp.Compare(b.weight, a.weight) })
	for queue := d.needs; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		if slices.ContainsFunc(n.on, func(r deb.Relation) bool { return d.used[r.Package] }) {
			continue
		}
		for _, f := range d.chosen(n.on[0], n.arch) {
			f.wanted = true
			p.add(want{
				key:     uses.Key{Line: d.line, Package: f.file.Package, Architecture: f.file.Architecture, Type: f.file.Type},
				version: f.file.Version, rank: n.weight, files: []catalog.Entry{f.entry}, fresh: true,
			})
			for _, on := range f.needs {
				queue = append(queue, need{on, f.file.Architecture, n.weight})
			}
		}
	}
}

// chosen returns what satisfies a relation of a package of an architecture: the newest
// version, unless it is wanted already. What depends on it for all architectures is used
// with those that the site has.
func (d *newDepends) chosen(r deb.Relation, arch string) (all []*fresh) {
	best := make(map[string]*fresh)
	for _, f := range d.byName[r.Package] {
		a := f.file.Architecture
		fits := a == "all" || a == arch || arch == "all" && d.archs[a]
		if r.Arch != "" && r.Arch != "any" && r.Arch != "native" {
			fits = a == r.Arch
		}
		if !fits || !r.Allows(f.version) {
			continue
		}
		if o := best[a]; o == nil || deb.CompareVersions(f.version, o.version) > 0 {
			best[a] = f
		}
	}
	for _, f := range best {
		if !f.wanted {
			all = append(all, f)
		}
	}
	return all
}
