package catalog

import (
	"bytes"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/deb822"
	"millpond/internal/digest"
)

// packages lists the file names that Packages yields, sorted.
func packages(t *testing.T, c *Catalog, suite Location) []string {
	t.Helper()
	var all []string
	for e, err := range c.Packages(suite) {
		if err != nil {
			t.Fatal(err)
		}
		if got, e := c.resolve(e.Location, noPin), c.Vouch(e); !reflect.DeepEqual(got, e) {
			t.Errorf("%s resolves to %+v, is listed as %+v", e.Location, got, e)
		}
		all = append(all, e.Location.Name())
	}
	slices.Sort(all)
	return all
}

func noPin(Location) digest.Digest { return digest.Digest{} }

func TestPackages(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	suite := at(t, suiteURL)
	c := newCatalog(t, key)
	const index = "dists/stable/main/binary-amd64/Packages"
	if got := packages(t, c, suite); got != nil {
		t.Errorf("an unknown suite lists %v", got)
	}
	a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
	first := a.Publish(day)
	c.learnSuite(t, archiveURL, "dists/stable", first)
	if got := packages(t, c, suite); got != nil {
		t.Errorf("before an index was learned: %v", got)
	}
	c.learnFile(t, archiveURL, index+".gz", first)
	if got := packages(t, c, suite); !slices.Equal(got, []string{"hello_1.0_amd64.deb"}) {
		t.Errorf("of the first generation: %v", got)
	}

	a.Remove("hello")
	a.Add(aptest.Package{Name: "hello", Version: "1.1", Arch: "amd64"})
	second := a.Publish(day.AddDate(0, 0, 1))
	c.learnSuite(t, archiveURL, "dists/stable", second)
	if got := packages(t, c, suite); got != nil {
		t.Errorf("the new generation before its index was learned: %v", got)
	}
	c.learnFile(t, archiveURL, index+".xz", second)
	if got := packages(t, c, suite); !slices.Equal(got, []string{"hello_1.1_amd64.deb"}) {
		t.Errorf("of the new generation: %v", got)
	}
}

// More rows than a page holds come once each.
func TestPackagesByPage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, rowPage - 1, rowPage, rowPage + 1, 3*rowPage + 7} {
		c := trusting(t)
		var text bytes.Buffer
		for i := range n {
			fmt.Fprintf(&text, "Package: p%d\nFilename: pool/p%d_1_all.deb\nSize: 3\nSHA256: %s\n\n", i, i, digest.Of(fmt.Append(nil, i)))
		}
		if _, err := c.learnRelease(at(t, suiteURL), lists(map[string][]byte{"main/binary-amd64/Packages": text.Bytes()})); err != nil {
			t.Fatal(err)
		}
		e := c.resolveURL(t, suiteURL+"/main/binary-amd64/Packages")
		if err := c.LearnIndex(t.Context(), e, &text); err != nil {
			t.Fatal(err)
		}
		got := packages(t, c, at(t, suiteURL))
		if len(got) != n || len(slices.Compact(got)) != n {
			t.Errorf("%d files of %d", len(got), n)
		}
	}
}

func TestSuccessors(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	const index, patches = "main/binary-amd64/Packages", "main/binary-amd64/Packages.diff/Index"
	publish := func(version string, days int) *aptest.Generation {
		a.Remove("hello")
		a.Add(aptest.Package{Name: "hello", Version: version, Arch: "amd64"})
		a.AddFile("", "main/i18n/Translation-xx.xz", []byte(version))
		return a.Publish(day.AddDate(0, 0, days))
	}
	first := publish("1.0", 0)
	second := publish("1.1", 1)

	tests := []struct {
		name  string
		learn []string // of the first generation
		held  []string // of the first generation
		fresh []string // held of the second
		known []string // learned of the second
		want  []string
	}{
		{"nothing used", nil, nil, nil, nil, nil},
		{"an index learned, held or not", []string{index + ".gz"}, nil, nil, nil, []string{patches, index + ".gz"}},
		{"held in another than learned", []string{index + ".gz"}, []string{index + ".xz"}, nil, nil, []string{patches, index + ".xz"}},
		{"other files held", nil, []string{"main/i18n/Translation-xx.xz"}, nil, nil, []string{"main/i18n/Translation-xx.xz"}},
		{"fetched by a client meanwhile", []string{index + ".xz"}, []string{index + ".xz"}, []string{index + ".xz"}, []string{index + ".xz"}, []string{patches}},
		{"fetched and not learned", []string{index + ".xz"}, []string{index + ".xz"}, []string{index + ".xz"}, nil, []string{patches, index + ".xz"}},
	}
	for _, tt := range tests {
		c := newCatalog(t, key)
		held := make(map[digest.Digest]bool)
		hold := func(g *aptest.Generation, names []string) {
			for _, name := range names {
				held[digest.Of(g.File("dists/stable/"+name))] = true
			}
		}
		hold(first, tt.held)
		hold(second, tt.fresh)
		c.learnSuite(t, archiveURL, "dists/stable", first)
		for _, name := range tt.learn {
			c.learnFile(t, archiveURL, "dists/stable/"+name, first)
		}
		c.learnSuite(t, archiveURL, "dists/stable", second)
		for _, name := range tt.known {
			c.learnFile(t, archiveURL, "dists/stable/"+name, second)
		}
		all, err := c.Successors(at(t, suiteURL), func(d digest.Digest) bool { return held[d] })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range all {
			rel, _ := e.Location.beneath(at(t, suiteURL))
			got = append(got, rel)
			if resolved := c.resolve(e.Location, noPin); !reflect.DeepEqual(e, resolved) || e.Digest != digest.Of(second.File("dists/stable/"+rel)) {
				t.Errorf("%s: %+v, and resolved %+v", tt.name, e, resolved)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestListers(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	text := []byte(onePackage)
	for _, url := range []string{archiveURL + "/dists/stable", archiveURL + "/dists/testing"} {
		if _, err := c.learnRelease(at(t, url), lists(map[string][]byte{"main/binary-amd64/Packages": text})); err != nil {
			t.Fatal(err)
		}
	}
	file := onlyFile(t, onePackage)
	for _, want := range [][]Location{nil, {at(t, archiveURL+"/dists/stable"), at(t, archiveURL+"/dists/testing")}} {
		got, err := c.Listers(file)
		slices.SortFunc(got, Location.compare)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("listed by %v, want %v (%v)", got, want, err)
		}
		e := c.resolveURL(t, archiveURL+"/dists/stable/main/binary-amd64/Packages")
		if err := c.LearnIndex(t.Context(), e, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInForce(t *testing.T) {
	t.Parallel()
	const index, patched = "main/binary-amd64/Packages", "main/binary-amd64/Packages.diff/Index"
	old := onlyFile(t, onePackage)
	dirs := []string{archiveURL + "/dists/stable", archiveURL + "/dists/testing"}
	learn := func(c *Catalog, dir, text string, readToo bool) {
		t.Helper()
		if _, err := c.learnRelease(at(t, dir), lists(map[string][]byte{index: []byte(text)})); err != nil {
			t.Fatal(err)
		}
		if !readToo {
			return
		}
		if err := c.LearnIndex(t.Context(), c.resolveURL(t, dir+"/"+index), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	other := strings.ReplaceAll(onePackage, old.String(), digest.Of([]byte("newer")).String())
	c := trusting(t)
	for _, step := range []struct {
		what, dir, text string
		readToo, want   bool
	}{
		{"no suite lists it", dirs[0], other, true, false},
		{"one lists it", dirs[1], onePackage, true, true},
		{"that one has a new generation, of which the index was not read", dirs[1], other + "\n", false, true},
		{"it was read", dirs[1], other + "\n\n", true, false},
		{"another lists it", dirs[0], onePackage, true, true},
		{"and none any more", dirs[0], other, true, false},
	} {
		learn(c, step.dir, step.text, step.readToo)
		if got, err := c.InForce(old); err != nil || got != step.want {
			t.Errorf("%s: %v, %v, want %v", step.what, got, err, step.want)
		}
	}
	g := &generation{learned: []learned{{stem: index}}}
	for _, tt := range []struct {
		gen  *generation
		want bool
	}{{g, false}, {&generation{}, true}} {
		p := place{&suite{gens: []*generation{tt.gen}}, tt.gen, path.Join(path.Dir(patched), "T-1.gz")}
		if got := p.mayStand(); got != tt.want {
			t.Errorf("a patch has added it, and the index has %v: %v, want %v", tt.gen.learned, got, tt.want)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	c := newCatalog(t, key)
	a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
	files := a.AddSource(aptest.Source{Name: "hello", Version: "1.0-1"})
	g := a.Publish(day)
	c.learnSuite(t, archiveURL, "dists/stable", g)
	c.learnFile(t, archiveURL, "dists/stable/main/binary-amd64/Packages.gz", g)
	for _, want := range []int{0, len(files)} {
		var got []string
		for e, err := range c.Sources(at(t, suiteURL)) {
			if err != nil {
				t.Fatal(err)
			}
			if resolved, e := c.resolve(e.Location, noPin), c.Vouch(e); !reflect.DeepEqual(resolved, e) {
				t.Errorf("%s resolves to %+v, is listed as %+v", e.Location, resolved, e)
			}
			got = append(got, e.Location.Name())
		}
		if len(got) != want {
			t.Errorf("sources: %v, want %d files", got, want)
		}
		if want == 0 {
			c.learnFile(t, archiveURL, "dists/stable/main/source/Sources.gz", g)
		}
	}
}

// onlyFile is the digest that the text of an index lists.
func onlyFile(t *testing.T, text string) (d digest.Digest) {
	t.Helper()
	for f, err := range deb822.Packages(strings.NewReader(text)) {
		if err != nil {
			t.Fatal(err)
		}
		d = f.Digest
	}
	return d
}
