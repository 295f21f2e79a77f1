package apt

import (
	"net/url"
	"strings"
	"time"

	"millpond/internal/aptest"
)

// nameShapes are about the names of packages' files.
func nameShapes() []shape {
	return []shape{
		{"names with + ~ : % and spaces", oddNames},
		{"names with +, refused without an escape", func(b builder) *place {
			p := oddNames(b)
			p.mirrors[0].Inject("*", aptest.RefusePlus())
			return p
		}},
		{"Filename ./pool", named(func(p string) string { return "./" + p })},
		{"Filename /pool", named(func(p string) string { return "/" + p })},
		{"Filename pool//main", named(func(p string) string { return strings.Replace(p, "/", "//", 1) })},
		{"Filename with escapes", escaped},
		{"two slashes in the URL", func(b builder) *place {
			return b.simple(aptest.Suite{}, "deb MIRROR//debian/ stable main")
		}},
	}
}

func named(filename func(string) string) func(builder) *place {
	return func(b builder) *place { return b.simple(aptest.Suite{Filename: filename}) }
}

// oddNames has a file for each character that one side or the other escapes.
func oddNames(b builder) *place {
	return b.renamed(func(p string) string {
		p = strings.Replace(p, "colon_", "colon_1:", 1)
		p = strings.Replace(p, "percent_", "percent_1%3a", 1)
		return strings.Replace(p, "/s/", "/a space/", 1)
	}, "g++", "colon", "percent", "space")
}

// escaped has the name of a file in the index as a URL would have it, and in
// these characters on the mirror.
func escaped(b builder) *place {
	return b.renamed(func(p string) string { return strings.ReplaceAll(p, "+", "%2b") }, "g++")
}

// renamed is an archive whose index and mirror have other paths of its packages
// than usual.
func (b builder) renamed(to func(string) string, packages ...string) *place {
	a := aptest.NewArchive(trusted, aptest.Suite{Filename: to})
	var files []aptest.File
	for _, name := range packages {
		files = append(files, b.add(a, aptest.Package{Name: name, Version: "1:2.0+b1~rc1-1", Size: 2000}))
	}
	p := b.at("/debian", a)
	p.install = packages
	for _, f := range files {
		p.mirrors[0].Delete("/debian/" + f.Path)
		p.mirrors[0].Put("/debian/"+to(f.Path), f.Data, published)
	}
	return p
}

// signatureShapes are about Release files, or the lack of them.
func signatureShapes() []shape {
	const insecure = "deb [trusted=yes] MIRROR/debian "
	return []shape{
		{"Release and Release.gpg", func(b builder) *place { return b.simple(aptest.Suite{NoInRelease: true}) }},
		{"403 for what is not there", func(b builder) *place {
			p := b.simple(aptest.Suite{NoInRelease: true})
			p.mirrors[0].Inject("*/InRelease", aptest.Status(403))
			p.fails = true
			return p
		}},
		{"Release with odd fields", func(b builder) *place { return b.simple(aptest.Suite{EditRelease: oddRelease}) }},
		{"Release without Date", func(b builder) *place {
			return b.simple(aptest.Suite{EditRelease: without("Date")})
		}},
		{"Release without Suite and Codename", func(b builder) *place {
			return b.simple(aptest.Suite{EditRelease: func(r string) string { return without("Suite")(without("Codename")(r)) }})
		}},
		{"Release of a clock that is ahead", func(b builder) *place {
			a := aptest.NewArchive(trusted)
			p := b.at("/debian", a)
			// apt takes what is less than 10 s ahead.
			p.signedAt = time.Now().Add(8 * time.Second)
			p.mirrors[0].Publish("/debian", a.Publish(p.signedAt))
			return p
		}},
		{"expired Release", func(b builder) *place {
			p := b.simple(aptest.Suite{ValidFor: time.Minute})
			p.fails = true
			return p
		}},
		{"expired Release, not checked", func(b builder) *place {
			return b.simple(aptest.Suite{ValidFor: time.Minute}, "deb [check-valid-until=no] MIRROR/debian stable main").unsigned()
		}},
		{"unsigned", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(nil), insecure+"stable main").unsigned()
		}},
		{"flat and unsigned", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(nil, aptest.Suite{Flat: true}), insecure+"./").unsigned()
		}},
		{"flat without Release", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(nil, aptest.Suite{Flat: true, NoRelease: true, Compressions: []string{"gz"}}), insecure+"./").unsigned()
		}},
		{"flat in a directory without Release", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(nil, aptest.Suite{Flat: true, Name: "lab", NoRelease: true, Compressions: []string{""}}), insecure+"lab/").unsigned()
		}},
		{"dists without Release", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(nil, aptest.Suite{NoRelease: true}), insecure+"stable main").unsigned()
		}},
		{"unknown key", func(b builder) *place {
			p := b.at("/debian", aptest.NewArchive(stranger)).unsigned()
			p.fails = true
			return p
		}},
		{"unknown key, trusted", func(b builder) *place {
			return b.at("/debian", aptest.NewArchive(stranger), insecure+"stable main").unsigned()
		}},
		{"key that clients alone have", func(b builder) *place {
			p := b.at("/debian", aptest.NewArchive(stranger)).unsigned()
			p.keys = []*aptest.Key{stranger}
			return p
		}},
		{"expired key", func(b builder) *place {
			p := b.at("/debian", aptest.NewArchive(expired)).unsigned()
			p.keys, p.fails = []*aptest.Key{expired}, true
			return p
		}},
		{"expired key, trusted", func(b builder) *place {
			p := b.at("/debian", aptest.NewArchive(expired), insecure+"stable main").unsigned()
			p.keys = []*aptest.Key{expired}
			return p
		}},
	}
}

// without leaves a field out of Release.
func without(field string) func(string) string {
	return func(r string) string {
		before, rest, _ := strings.Cut(r, field+": ")
		_, after, _ := strings.Cut(rest, "\n")
		return before + after
	}
}

// servedShapes are about mirrors.
func servedShapes() []shape {
	return []shape{
		{"https", func(b builder) *place {
			p := b.simple(aptest.Suite{})
			a := aptest.NewArchive(trusted)
			b.add(a, aptest.Package{Name: "one", Version: "1.0-1", Size: 2000})
			m := b.mirror(aptest.MirrorOptions{TLS: true})
			m.Publish("/debian", a.Publish(published))
			p.mirrors, p.tls, p.install = []*aptest.Mirror{m}, true, []string{"one"}
			return p
		}},
		{"pool redirected to another host", func(b builder) *place { return redirected(b, "*/pool/*") }},
		{"all redirected to another host", func(b builder) *place { return redirected(b, "*") }},
		{"mirror+http list", func(b builder) *place { return mirrorList(b, "\tpriority:1", "\tpriority:2") }},
		{"mirror+http list, without an order", func(b builder) *place {
			p := mirrorList(b, "", "")
			p.passes = "*" // apt chooses anew for each file
			return p
		}},
		{"other name of a mirror", func(b builder) *place {
			a := aptest.NewArchive(trusted)
			p := b.at("/debian", a)
			m := b.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"})
			g := a.Publish(published)
			m.Publish("/debian", g)
			p.mirrors[0].Publish("/debian", g)
			p.mirrors, p.alias = append(p.mirrors, m), true
			return p
		}},
	}
}

// redirected is an archive on two mirrors, the first of which sends to the
// second.
func redirected(b builder, pattern string) *place {
	a := aptest.NewArchive(trusted)
	p := b.at("/debian", a)
	m := b.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	m.Publish("/debian", a.Publish(published))
	p.mirrors[0].Publish("/debian", a.Publish(published))
	p.mirrors[0].Inject(pattern, aptest.Redirect(m.URL("/")+"*"))
	p.mirrors = append(p.mirrors, m)
	return p
}

// mirrorList is a list of two mirrors of one archive, each with what the list says
// of it.
func mirrorList(b builder, says ...string) *place {
	a := aptest.NewArchive(trusted)
	p := b.at("/debian", a, "deb mirror+MIRROR/mirrors.txt stable main")
	g := a.Publish(published)
	p.mirrors = append(p.mirrors, b.mirror(aptest.MirrorOptions{Listen: "127.0.0.2:0"}))
	var list []string
	for i, m := range p.mirrors {
		m.Publish("/debian", g)
		list = append(list, m.URL("/debian")+"/"+says[i]+"\n")
	}
	p.mirrors[0].Put("/mirrors.txt", []byte(strings.Join(list, "")), time.Now())
	p.proxyOnly, p.passes = true, "mirrors.txt"
	return p
}

// requestShapes are what apt's own tools ask beside an archive's files.
func requestShapes() []shape {
	return []shape{
		{"GET / to probe the proxy", func(b builder) *place {
			p := asked(b, "/", "<html></html>\n")
			p.proxyOnly = true
			return p
		}},
		{"meta-release", func(b builder) *place { return asked(b, "/meta-release-lts", "Dist: stable\nVersion: 12\n\n") }},
		{"changelogs", changelogs},
	}
}

// asked is a host with one file.
func asked(b builder, path, text string) *place {
	m := b.mirror(aptest.MirrorOptions{})
	m.Put(path, []byte(text), time.Now())
	p := &place{mirrors: []*aptest.Mirror{m}, passes: "*", live: true}
	p.update = func(*visit) {}
	p.fetch = func(v *visit) { v.helper("MIRROR"+path, "got") }
	return p
}

// changelogs is an archive that says where apt-get changelog finds them.
func changelogs(b builder) *place {
	m := b.mirror(aptest.MirrorOptions{})
	a := aptest.NewArchive(trusted, aptest.Suite{EditRelease: func(r string) string {
		return strings.Replace(r, "Description:", "Changelogs: "+(&url.URL{Scheme: "http", Host: m.Addr()}).String()+"/changelogs/@CHANGEPATH@_changelog\nDescription:", 1)
	}})
	p := b.at("/debian", a)
	m.Publish("/debian", a.Publish(published))
	m.Put("/changelogs/main/o/one/one_1.0-1_changelog", []byte("one (1.0-1) stable; urgency=medium\n"), time.Now())
	p.mirrors, p.proxyOnly, p.passes = []*aptest.Mirror{m}, true, "*_changelog"
	p.fetch = func(v *visit) { v.apt("changelog", "--download-only", "one") }
	return p
}
