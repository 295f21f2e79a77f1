package apt

import (
	"regexp"
	"strings"
	"time"

	"millpond/internal/aptest"
)

// allShapes are the rows of the table.
func allShapes() []shape {
	all := suiteShapes()
	all = append(all, nameShapes()...)
	all = append(all, signatureShapes()...)
	all = append(all, servedShapes()...)
	all = append(all, requestShapes()...)
	return append(all, toolShapes()...)
}

// published is when archives were. Each further generation is a second younger,
// and none may be of the future.
var published = time.Now().Add(-time.Hour)

// simple is a signed archive of one suite and two packages.
func (b builder) simple(suite aptest.Suite, sources ...string) *place {
	return b.at("/debian", aptest.NewArchive(trusted, suite), sources...)
}

// at puts two packages in an archive and publishes it under base.
func (b builder) at(base string, a *aptest.Archive, sources ...string) *place {
	b.Helper()
	b.add(a, aptest.Package{Name: "one", Version: "1.0-1", Size: 2000})
	b.add(a, aptest.Package{Name: "two", Version: "1:2.0-1", Size: 3000})
	m := b.mirror(aptest.MirrorOptions{})
	m.Publish(base, a.Publish(published))
	if len(sources) == 0 {
		sources = []string{"deb MIRROR" + base + " stable main"}
	}
	return &place{mirrors: []*aptest.Mirror{m}, sources: sources, install: []string{"one", "two"}, signed: true}
}

// unsigned says that the boxes have no key of the archive, or none that counts.
func (p *place) unsigned() *place {
	p.signed = false
	return p
}

// suiteShapes are about directories and indices.
func suiteShapes() []shape {
	return []shape{
		{"signed", func(b builder) *place { return b.simple(aptest.Suite{}) }},
		{"suite with slashes", func(b builder) *place {
			return b.simple(aptest.Suite{Name: "stable/updates"}, "deb MIRROR/debian stable/updates main")
		}},
		{"component with a slash", func(b builder) *place {
			return b.simple(aptest.Suite{Components: []string{"updates/main"}}, "deb MIRROR/debian stable updates/main")
		}},
		{"components and architectures", components},
		{"flat", func(b builder) *place { return b.simple(aptest.Suite{Flat: true}, "deb MIRROR/debian ./") }},
		{"flat, with sources", flatSources},
		{"flat beside its directory", func(b builder) *place {
			return b.simple(aptest.Suite{Flat: true, Name: "apt/stable", Pool: "files"}, "deb MIRROR/debian apt/stable/")
		}},
		{"flat below dists", func(b builder) *place {
			return b.simple(aptest.Suite{Flat: true, Name: "dists/lab"}, "deb MIRROR/debian dists/lab/")
		}},
		{"flat, by hash", func(b builder) *place {
			return b.simple(aptest.Suite{Flat: true, ByHash: []string{"SHA256"}, ByHashOnly: true}, "deb MIRROR/debian ./")
		}},
		{"dists inside the path", func(b builder) *place { return b.at("/dists/repo", aptest.NewArchive(trusted)) }},
		{"pool of another name", func(b builder) *place { return b.simple(aptest.Suite{Pool: "packages"}) }},
		{"by hash, SHA512 the strongest", func(b builder) *place {
			all := []string{"MD5Sum", "SHA1", "SHA256", "SHA512"}
			return b.simple(aptest.Suite{Hashes: all, ByHash: all, ByHashOnly: true})
		}},
		{"SHA512 listed, by hash SHA256 alone", func(b builder) *place {
			p := b.simple(aptest.Suite{Hashes: []string{"SHA256", "SHA512"}})
			p.spares = true
			return p
		}},
		{"SHA512 alone", func(b builder) *place { return b.simple(aptest.Suite{Hashes: []string{"SHA512"}}).unsigned() }},
		{"pdiffs", patches},
		{"Translations and Contents", targets},
		{"one path, two digests", twoDigests},
		{"changed under its name", func(b builder) *place { return changed(b, aptest.Suite{NoPDiffs: true}) }},
		{"changed under its name, with pdiffs", func(b builder) *place {
			p := changed(b, aptest.Suite{})
			p.passes = "*" // each generation has new patches
			return p
		}},
	}
}

func components(b builder) *place {
	a := aptest.NewArchive(trusted, aptest.Suite{Components: []string{"main", "contrib"}, Architectures: []string{"amd64", "arm64"}})
	b.add(a, aptest.Package{Name: "lib", Version: "1.0-1", Arch: "amd64", Size: 1000, Fields: "Multi-Arch: same\n"})
	b.add(a, aptest.Package{Name: "lib", Version: "1.0-1", Arch: "arm64", Size: 1000, Fields: "Multi-Arch: same\n"})
	b.add(a, aptest.Package{Name: "extra", Version: "1.0-1", Component: "contrib", Size: 1000})
	b.addSource(a, aptest.Source{Name: "extra", Version: "1.0-1", Component: "contrib"})
	p := b.at("/debian", a, "deb MIRROR/debian stable main contrib", "deb-src MIRROR/debian stable main contrib")
	p.install = []string{"one", "lib", "lib:arm64", "extra"}
	p.setup = func(c *aptest.Client) { c.Set("APT::Architectures", "amd64,arm64") }
	p.fetch = func(v *visit) {
		v.apt(append([]string{"install", "--download-only"}, p.install...)...)
		v.apt("source", "--download-only", "extra")
		v.apt("download", "two")
	}
	return p
}

func flatSources(b builder) *place {
	a := aptest.NewArchive(trusted, aptest.Suite{Flat: true, Name: "lab"})
	b.addSource(a, aptest.Source{Name: "one", Version: "1.0-1"})
	p := b.at("/debian", a, "deb MIRROR/debian lab/", "deb-src MIRROR/debian lab/")
	p.fetch = func(v *visit) {
		v.apt("install", "--download-only", "one", "two")
		v.apt("source", "--download-only", "one")
	}
	return p
}

// patches has clients whose lists are of the former generation.
func patches(b builder) *place {
	a := aptest.NewArchive(trusted)
	for i := range 20 { // apt takes patches only where they are less than the index
		b.add(a, aptest.Package{Name: "filler" + string(rune('a'+i)), Version: "1", Description: "filler\n" + strings.Repeat("text ", 100)})
	}
	p := b.at("/debian", a)
	old := p.newVisit(b.T, b.life, direct, nil)
	old.all()
	b.add(a, aptest.Package{Name: "new", Version: "1", Size: 2000})
	p.mirrors[0].Publish("/debian", a.Publish(published))
	p.install, p.patched = []string{"one", "new"}, true
	p.update = func(v *visit) {
		v.lists(old)
		v.apt("update")
		if !strings.Contains(v.out.String(), "Packages.diff") && !strings.Contains(v.out.String(), "PDiff") {
			v.t.Errorf("apt took no patches:\n%s", v.out)
		}
	}
	return p
}

// targets is what apt-file and a desktop make apt fetch.
func targets(b builder) *place {
	p := b.simple(aptest.Suite{})
	p.setup = func(c *aptest.Client) {
		for _, target := range [][2]string{{"Contents-deb", "$(COMPONENT)/Contents-$(ARCHITECTURE)"}, {"DEP-11", "$(COMPONENT)/dep11/Components-$(NATIVE_ARCHITECTURE).yml"}} {
			c.Set("Acquire::IndexTargets::deb::"+target[0]+"::MetaKey", target[1])
			c.Set("Acquire::IndexTargets::deb::"+target[0]+"::ShortDescription", target[0])
			c.Set("Acquire::IndexTargets::deb::"+target[0]+"::Description", "$(RELEASE) "+target[0])
			c.Set("Acquire::IndexTargets::deb::"+target[0]+"::DefaultEnabled", "yes")
		}
		c.Set("Acquire::Languages", "en,de")
	}
	return p
}

// twoDigests has a file that two suites list, each with a digest of its own; the
// mirror has that of the second one, which has the newest version.
func twoDigests(b builder) *place {
	a := aptest.NewArchive(trusted, aptest.Suite{Name: "alpha"}, aptest.Suite{Name: "beta"})
	b.add(a, aptest.Package{Name: "app", Version: "1.0-1", Suite: "alpha", Size: 2000})
	b.add(a, aptest.Package{Name: "app", Version: "1:1.0-1", Suite: "beta", Size: 3000})
	p := b.at("/debian", a, "deb MIRROR/debian alpha main", "deb MIRROR/debian beta main")
	p.install = []string{"app", "one"}
	p.passes = "app_*" // the mirror alone knows which one it has
	p.blames = true
	return p
}

// changed has a package whose bytes change under the name and version that it
// has, twice in each visit.
func changed(b builder, suite aptest.Suite) *place {
	a := aptest.NewArchive(trusted, suite)
	sizes := []int{4000, 5000}
	put := func(size int) { b.add(a, aptest.Package{Name: "app", Version: "1.0-1", Size: size}) }
	put(sizes[1])
	p := b.at("/debian", a)
	p.moves, p.live = true, true
	p.fetch = func(v *visit) {
		for _, size := range sizes {
			put(size)
			p.mirrors[0].Publish("/debian", a.Publish(published))
			v.apt("update")
			v.apt("clean")
			v.apt("install", "--download-only", "app", "one")
		}
	}
	return p
}

// oddRelease writes a Release as its own tools would not, and as apt reads it.
func oddRelease(r string) string {
	r = strings.Replace(r, "Origin: Test\n", "X-Made-By: hand\nOrigin:Test  \nVersion: 12.0\nNotAutomatic: no\nSigned-By: \n", 1)
	r = strings.Replace(r, "Description: made for a test\n", "description: made for a test\n with more\n .\n lines\n", 1)
	r = strings.Replace(r, "SHA256:\n", "SHA3-256:\n 00 0 nothing\nsha256:\n", 1)
	return regexp.MustCompile(`(?m)^ ([0-9a-f]{64}) +(\d+) `).ReplaceAllString(r, "  $1\t$2\t")
}
