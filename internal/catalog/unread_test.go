package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/deb"
	"millpond/internal/digest"
)

// wantUnread checks which indices are to be read for a file, by the path of the
// compression that comes first.
func (c *Catalog) wantUnread(t *testing.T, url string, want ...string) {
	t.Helper()
	unread, err := c.Unread(at(t, url))
	if err != nil {
		t.Fatal(err)
	}
	wantIndices(t, url, unread, want)
}

func wantIndices(t *testing.T, what string, unread [][]Entry, want []string) {
	t.Helper()
	var got []string
	for _, forms := range unread {
		e := forms[0]
		if rel, ok := e.Location.beneath(at(t, archiveURL)); ok {
			got = append(got, rel)
		}
		if !e.Index || e.Kind != Content || e.Digest.IsZero() || e.Size < 0 || e.Suite.String() == "" || e.Release.IsZero() {
			t.Errorf("%s: %+v is not ready to be fetched", what, e)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// twoComponents is a suite for this machine and, in any case, two architectures.
func twoComponents() aptest.Suite {
	archs := []string{"amd64", "riscv64", deb.Machine()}
	slices.Sort(archs)
	return aptest.Suite{Components: []string{"main", "contrib"}, Architectures: slices.Compact(archs), NoPDiffs: true}
}

// addFor adds a package for each component and architecture: indices with the
// same text are one table.
func addFor(a *aptest.Archive, name string, s aptest.Suite) {
	for _, component := range s.Components {
		for _, arch := range append(s.Architectures, "all") {
			a.Add(aptest.Package{Name: name + "-" + component + arch, Version: "1.0", Arch: arch, Component: component, Suite: s.Name})
		}
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	suite := twoComponents()
	a := aptest.NewArchive(nil, suite, aptest.Suite{Name: "stable/updates", Architectures: []string{"amd64"}, NoPDiffs: true})
	addFor(a, "hello", suite)
	a.Add(aptest.Package{Name: "news", Version: "1.0", Suite: "stable/updates"})
	a.AddSource(aptest.Source{Name: "hello", Version: "1.0-1"})
	g := a.Publish(day)
	c := trusting(t)
	pool := archiveURL + "/pool/"
	c.wantUnread(t, pool+"main/h/hello/hello_1.0_amd64.deb")
	c.learnSuite(t, archiveURL, "dists/stable", g)

	const amd64 = "dists/stable/main/binary-amd64/Packages.xz"
	for file, want := range map[string][]string{
		"main/h/hello/hello_1.0_amd64.deb":           {amd64},
		"updates/main/h/hello/hello_1.0_riscv64.deb": {"dists/stable/main/binary-riscv64/Packages.xz"},
		"contrib/h/hello/hello-dbg_1.0_amd64.ddeb":   {"dists/stable/contrib/binary-amd64/Packages.xz"},
		"h/hello/hello_1.0_amd64.deb":                {"dists/stable/contrib/binary-amd64/Packages.xz", amd64},
		"main/h/hello/hello_1.0_s390x.deb":           nil,
		"main/h/hello/hello_1.0.dsc":                 {"dists/stable/main/source/Sources.xz"},
		"main/h/hello/hello_1.0.orig.tar.gz":         {"dists/stable/main/source/Sources.xz"},
		"main/h/hello/hello_1.0_amd64.udeb":          {"dists/stable/main/debian-installer/binary-amd64/Packages.xz"},
		"main/h/hello/hello_1.0_all.deb":             {"dists/stable/main/binary-" + deb.Machine() + "/Packages.xz"},
		"main/h/hello/hello_1.0.deb":                 {"dists/stable/main/binary-" + deb.Machine() + "/Packages.xz"},
		"main/h/hello/README":                        nil,
	} {
		c.wantUnread(t, pool+file, want...)
	}
	c.wantUnread(t, mirrorURL+"/pool/main/h/hello/hello_1.0_amd64.deb")

	// What clients use of one suite decides for the others; what was read is
	// read once, in whatever compression.
	c.learnFile(t, archiveURL, "dists/stable/main/binary-riscv64/Packages.gz", g)
	c.wantUnread(t, pool+"main/h/hello/hello_1.0_riscv64.deb")
	c.learnSuite(t, archiveURL, "dists/stable/updates", g)
	c.wantUnread(t, pool+"main/h/hello/hello_1.0_amd64.deb", amd64, "dists/stable/updates/main/binary-amd64/Packages.xz")
	c.wantUnread(t, pool+"contrib/h/hello/hello_1.0_all.deb", "dists/stable/contrib/binary-riscv64/Packages.xz", "dists/stable/updates/main/binary-all/Packages.xz")
	c.wantUnread(t, pool+"main/h/hello/hello_1.0_all.deb", "dists/stable/main/binary-all/Packages.xz", "dists/stable/updates/main/binary-all/Packages.xz")

	// The compressions come as apt tries them.
	unread, err := c.Unread(at(t, pool+"main/h/hello/hello_1.0.dsc"))
	if err != nil || len(unread) == 0 {
		t.Fatal(unread, err)
	}
	var exts []string
	for _, e := range unread[0] {
		exts = append(exts, e.Location.Name())
	}
	if want := []string{"Sources.xz", "Sources.bz2", "Sources.gz", "Sources.zst", "Sources"}; !slices.Equal(exts, want) {
		t.Errorf("compressions %q, want %q", exts, want)
	}
}

func TestUnreadFlat(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil, aptest.Suite{Name: "flat", Flat: true})
	f := a.Add(aptest.Package{Name: "tool", Version: "1.0"})
	c := trusting(t)
	c.learnSuite(t, archiveURL, "flat", a.Publish(day))
	c.wantUnread(t, archiveURL+"/"+f.Path, "flat/Packages.gz")
	c.wantUnread(t, archiveURL+"/files/tool_1.0_all.deb", "flat/Packages.gz")
	c.wantUnread(t, archiveURL+"/flat/tool_1.0.dsc", "flat/Sources.gz")
}

// A client that has a suite has what other clients have of the archive or, if
// nothing is known of them, all components.
func TestUnreadOf(t *testing.T) {
	t.Parallel()
	suite := twoComponents()
	updates := suite
	updates.Name = "updates"
	a := aptest.NewArchive(nil, suite, updates)
	addFor(a, "hello", suite)
	addFor(a, "news", updates)
	g := a.Publish(day)
	c := trusting(t)
	want := func(dir string, want ...string) {
		t.Helper()
		unread, err := c.UnreadOf(at(t, archiveURL).Join(dir))
		if err != nil {
			t.Fatal(err)
		}
		wantIndices(t, dir, unread, want)
	}
	want("dists/stable")
	c.learnSuite(t, archiveURL, "dists/stable", g)
	c.learnSuite(t, archiveURL, "dists/updates", g)
	machine := "/binary-" + deb.Machine() + "/Packages.xz"
	want("dists/stable", "dists/stable/contrib"+machine, "dists/stable/main"+machine)
	c.learnFile(t, archiveURL, "dists/stable/main/binary-riscv64/Packages.gz", g)
	want("dists/stable")
	want("dists/updates", "dists/updates/main/binary-riscv64/Packages.xz")
}

func TestCounterparts(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil, aptest.Suite{NoPDiffs: true}, aptest.Suite{Name: "other/updates", NoPDiffs: true})
	a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	a.Add(aptest.Package{Name: "world", Version: "1.0", Suite: "other/updates"})
	g := a.Publish(day)
	c := trusting(t)
	want := func(url string, want ...string) {
		t.Helper()
		found, err := c.Counterparts(at(t, url))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, dir := range found {
			got = append(got, dir.String())
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
	hello, world := mirrorURL+"/pool/main/h/hello/hello_0.9_all.deb", mirrorURL+"/pool/main/w/world/world_1.0_all.deb"
	c.learnSuite(t, archiveURL, "dists/stable", g)
	c.learnSuite(t, archiveURL, "dists/other/updates", g)
	want(hello)
	c.learnFile(t, archiveURL, "dists/stable/main/binary-amd64/Packages.gz", g)
	c.learnFile(t, archiveURL, "dists/other/updates/main/binary-amd64/Packages.gz", g)
	want(hello, mirrorURL+"/dists/stable")
	want(world, mirrorURL+"/dists/other/updates")
	want(mirrorURL + "/pool/main/h/hell/hell_1.0_all.deb")
	want(mirrorURL + "/hello_1.0_all.deb")
	// The same Release brings all that was learned of it.
	c.learnSuite(t, mirrorURL, "dists/stable", g)
	want(hello)
	c.wantUnread(t, hello)
}

// However many suites a catalog has, a file of a new archive leads to few.
func TestAroundAndCounterpartsAreBounded(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	text := []byte(onePackage)
	for i := range 3 * maxAround {
		dir := at(t, fmt.Sprintf("%s/dists/suite%d", archiveURL, i))
		files := map[string][]byte{"main/binary-amd64/Packages": text}
		for j := range 3 * maxUnread {
			files[fmt.Sprintf("c%d/binary-amd64/Packages", j)] = fmt.Appendf(nil, "%d", i*1000+j)
		}
		_, err := c.learnRelease(dir, lists(files))
		if err != nil {
			t.Fatal(err)
		}
	}
	l := at(t, archiveURL+"/pool/a_1_amd64.deb")
	unread, err := c.Unread(l)
	if n := len(c.Around(l)); n != maxAround || len(unread) != maxUnread || err != nil {
		t.Errorf("%d suites, %d indices, %v", n, len(unread), err)
	}
	e := Entry{Location: at(t, archiveURL+"/dists/suite0/main/binary-amd64/Packages"), Kind: Content, Digest: digest.Of(text), Size: int64(len(text))}
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	found, err := c.Counterparts(at(t, mirrorURL+"/pool/b.deb"))
	if len(found) != maxAround || err != nil {
		t.Errorf("%d counterparts, %v", len(found), err)
	}
}
