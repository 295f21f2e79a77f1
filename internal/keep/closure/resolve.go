package closure

import (
	"cmp"
	"slices"
	"strings"

	"millpond/internal/deb"
	"millpond/internal/digest"
)

// File is the file of a package that was taken.
type File struct {
	Slice   int // as in Index
	Path    string
	Digest  digest.Digest
	Size    int64
	Source  string // the source package that it was built from, and its version
	Version string
}

// Lack is a dependency that nothing satisfies.
type Lack struct {
	Package string // with version and architecture
	Needs   string // the dependency as the package has it
}

const (
	// maxLacks bounds the Lacks that a Result names, and maxNeeds each dependency in
	// them, in bytes.
	maxLacks = 100
	maxNeeds = 300
)

// Result is what a selection needs.
type Result struct {
	Files []File // of the selection and of what it depends on, in the order of the indices
	Lacks []Lack // the first ones
	More  int    // Lacks beyond those
}

// group is a dependency of a package that is taken.
type group struct {
	of      int32   // the package
	options []int32 // what satisfies it, best first
	now     int     // the option taken; len(options) if all are broken
	hard    bool    // not a Recommends
}

// resolver follows dependencies. What it decides only grows: a package that is taken
// stays, and one that turns out to be broken stays so.
type resolver struct {
	w         *World
	providers map[string][]provider // by the name that is provided
	taken     []bool
	broken    []bool
	queue     []int32 // taken, and not yet followed
	groups    []group
	users     map[int32][]int32 // groups that take a package
	lacks     []Lack
	more      int
}

// provider is a package that provides a name.
type provider struct {
	pkg     int32
	version string // "" if it provides no version
}

// Resolve returns what the selection needs. missing is told of, by Lacks, like a
// dependency: the names of packages that were selected by name.
func (w *World) Resolve(missing []string) Result {
	r := &resolver{
		w: w, providers: w.provided(), taken: make([]bool, len(w.pkgs)), broken: make([]bool, len(w.pkgs)),
		users: make(map[int32][]int32),
	}
	for _, name := range missing {
		if _, ok := w.heads[name]; !ok {
			r.lack("the selection", name)
		}
	}
	for i := range w.pkgs {
		if w.pkgs[i].is(selected) {
			r.take(int32(i))
		}
	}
	for len(r.queue) > 0 {
		i := r.queue[len(r.queue)-1]
		r.queue = r.queue[:len(r.queue)-1]
		r.follow(i)
	}
	res := Result{Lacks: r.lacks, More: r.more}
	for i, taken := range r.taken {
		if taken {
			p := &w.pkgs[i]
			res.Files = append(res.Files, File{
				Slice: int(p.slice), Path: p.get(textPath), Digest: p.digest, Size: p.size,
				Source: cmp.Or(p.get(textSource), p.get(textName)), Version: p.get(textVersion),
			})
		}
	}
	return res
}

// provided returns the packages that provide a name.
func (w *World) provided() map[string][]provider {
	all := make(map[string][]provider)
	for i := range w.pkgs {
		provides := w.pkgs[i].get(textProvides)
		if provides == "" {
			continue
		}
		names, _ := deb.ParseDependencies(provides) // what is no name provides nothing
		for _, d := range names {
			version := ""
			if d[0].Op == "=" {
				version = d[0].Version
			}
			all[d[0].Package] = append(all[d[0].Package], provider{int32(i), version})
		}
	}
	return all
}

func (r *resolver) take(i int32) {
	if !r.taken[i] {
		r.taken[i] = true
		r.queue = append(r.queue, i)
	}
}

// follow takes what a package depends on.
func (r *resolver) follow(i int32) {
	p := &r.w.pkgs[i]
	r.followField(i, p.get(textDepends), true)
	r.followField(i, p.get(textRecommends), false)
}

func (r *resolver) followField(i int32, field string, hard bool) {
	if field == "" {
		return
	}
	all, err := deb.ParseDependencies(field)
	if err != nil && hard {
		r.lack(r.name(i), err.Error())
		r.fail(i)
	}
	for _, d := range all {
		options := r.options(i, d, byName)
		switch {
		case len(options) > 0:
			r.add(group{of: i, options: options, hard: hard})
		case hard:
			r.lack(r.name(i), d.String())
			r.fail(i)
		}
		if len(options) < 2 {
			continue
		}
		if other := r.options(i, d, byLast); other[0] != options[0] {
			r.add(group{of: i, options: other})
		}
	}
}

func (r *resolver) add(g group) {
	r.groups = append(r.groups, g)
	r.settle(int32(len(r.groups) - 1))
}

// settle takes the best option of a group that is not broken.
func (r *resolver) settle(n int32) {
	g := &r.groups[n]
	for g.now < len(g.options) && r.broken[g.options[g.now]] {
		g.now++
	}
	if g.now < len(g.options) {
		i := g.options[g.now]
		r.users[i] = append(r.users[i], n)
		r.take(i)
	} else if g.hard {
		r.fail(g.of)
	}
}

// fail notes that a package cannot be installed, and has those that took it take
// another one beside it.
func (r *resolver) fail(i int32) {
	if r.broken[i] {
		return
	}
	r.broken[i] = true
	users := r.users[i]
	delete(r.users, i)
	for _, n := range users {
		r.settle(n)
	}
}

func (r *resolver) lack(name, needs string) {
	if len(r.lacks) == maxLacks {
		r.more++
		return
	}
	r.lacks = append(r.lacks, Lack{shorten(name), shorten(needs)})
}

func shorten(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxNeeds)], "") }

// name is how a package is shown.
func (r *resolver) name(i int32) string {
	p := &r.w.pkgs[i]
	return p.get(textName) + " " + p.get(textVersion) + " (" + r.w.archs[p.arch] + ")"
}

// options returns what satisfies a dependency of package i: what is selected first,
// then by the order of the alternatives.
func (r *resolver) options(i int32, d deb.Dependency, last tie) []int32 {
	var all []int32
	for _, relation := range d {
		named := r.named(i, relation)
		for _, o := range append(named, r.providing(i, relation, last)...) {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b int32) int {
		return cmp.Compare(r.w.pkgs[b].flags&selected, r.w.pkgs[a].flags&selected)
	})
	return all
}

// named returns the packages of that very name, best first.
func (r *resolver) named(i int32, want deb.Relation) (all []int32) {
	o, ok := r.w.heads[want.Package]
	if !ok {
		return nil
	}
	for ; o != none; o = r.w.pkgs[o].next {
		if r.reaches(i, o, want.Arch) && want.Allows(r.w.pkgs[o].get(textVersion)) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b int32) int { return r.compare(i, a, b) })
	return all
}

// tie decides between packages that provide a name and that nothing else puts in order.
type tie func(r *resolver, a, b int32) int

// byName is how apt decides since version 2.7, and byLast about how it did before:
// there the package counts that it met last, in the indices or in a dependency.
func byName(r *resolver, a, b int32) int {
	return cmp.Or(strings.Compare(r.w.pkgs[a].get(textName), r.w.pkgs[b].get(textName)), cmp.Compare(a, b))
}

func byLast(_ *resolver, a, b int32) int { return cmp.Compare(b, a) }

// providing returns the packages that provide a name, as apt prefers them.
func (r *resolver) providing(i int32, want deb.Relation, last tie) (all []int32) {
	for _, p := range r.providers[want.Package] {
		if want.Op != "" && (p.version == "" || !want.Allows(p.version)) {
			continue
		}
		if r.reaches(i, p.pkg, want.Arch) {
			all = append(all, p.pkg)
		}
	}
	slices.SortFunc(all, func(a, b int32) int { return cmp.Or(r.compare(i, a, b), last(r, a, b)) })
	return all
}

// compare orders what satisfies a dependency of package i alike: apt would not take a
// later suite's by itself, and orders the others so (pkgDepCache's CompareProviders).
func (r *resolver) compare(i, a, b int32) int {
	x, y, arch := &r.w.pkgs[a], &r.w.pkgs[b], r.w.pkgs[i].arch
	return cmp.Or(
		cmp.Compare(x.flags&later, y.flags&later),
		cmp.Compare(y.flags&essential, x.flags&essential),
		compareBool(x.arch != arch, y.arch != arch),
		cmp.Compare(x.rank, y.rank),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// reaches reports whether a dependency of package i may be satisfied by package o, as
// far as architectures go: by one of its own, by a foreign one of another, by any that
// allows it.
func (r *resolver) reaches(i, o int32, qualifier string) bool {
	p, to := &r.w.pkgs[i], &r.w.pkgs[o]
	switch qualifier {
	case "":
		return p.arch == to.arch || to.is(foreign)
	case "any":
		return p.arch == to.arch || to.is(allowed)
	case "native":
		return p.arch == to.arch
	}
	return r.w.archs[to.arch] == qualifier
}
