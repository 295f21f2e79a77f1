package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

const hostURL = "http://archive.example.org"

// learnIn learns a Release in a directory of the host, and its one index that
// lists onePackage under another Filename.
func (c *Catalog) learnIn(tb testing.TB, dir, index, filename string) {
	tb.Helper()
	text := []byte(strings.Replace(onePackage, "pool/a.deb", filename, 1))
	if _, err := c.learnRelease(at(tb, hostURL+dir), lists(map[string][]byte{index: text})); err != nil {
		tb.Fatal(err)
	}
	e := c.resolveURL(tb, hostURL+dir+"/"+index)
	if err := c.LearnIndex(tb.Context(), e, bytes.NewReader(text)); err != nil {
		tb.Fatal(err)
	}
}

// TestBases: files are found relative to whatever the URL in sources.list may
// be, and once a client asked for one, the catalog names that place.
func TestBases(t *testing.T) {
	t.Parallel()
	const index = "main/binary-amd64/Packages"
	for _, tc := range []struct {
		name, dir, index, filename string
		path                       string
		not                        string // is no place of the file
	}{
		{"pool", "/debian/dists/stable", index, "pool/a.deb", "/debian/pool/a.deb", "/pool/a.deb"},
		{"slashes in the suite", "/debian/dists/stable/updates", index, "pool/a.deb", "/debian/pool/a.deb", "/debian/dists/pool/a.deb"},
		{"dists above", "/dists/repo/dists/stable", index, "pool/a.deb", "/dists/repo/pool/a.deb", ""},
		{"dists above, and a slash in the suite", "/a/dists/b/dists/s/updates", index, "pool/a.deb", "/a/dists/b/pool/a.deb", "/pool/a.deb"},
		{"dists in the suite", "/a/dists/b/dists/s", index, "pool/a.deb", "/a/pool/a.deb", "/pool/a.deb"},
		{"dists in the suite, at the root", "/dists/b/dists/s", index, "pool/a.deb", "/pool/a.deb", ""},
		{"flat", "/repo", "Packages", "a.deb", "/repo/a.deb", ""},
		{"flat, from above", "/repo/stable", "Packages", "stable/a.deb", "/repo/stable/a.deb", ""},
		{"flat, beside the directory", "/apt/stable", "Packages", "files/a.deb", "/files/a.deb", ""},
		{"flat, half above", "/x/apt/stable", "Packages", "files/a.deb", "/x/files/a.deb", ""},
		{"flat below dists", "/x/dists/stable", "Packages", "a.deb", "/x/dists/stable/a.deb", ""},
		{"flat in dists", "/x/dists/stable", "Packages.gz", "a.deb", "/x/dists/a.deb", ""},
		{"flat below dists, from the root", "/x/dists/stable", "Packages", "x/pool/a.deb", "/x/pool/a.deb", ""},
		{"at the root", "/dists/stable", index, "pool/a.deb", "/pool/a.deb", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := trusting(t)
			c.learnIn(t, tc.dir, tc.index, tc.filename)
			e := c.wantContent(t, hostURL+tc.path, []byte("abc"), true)
			if !c.Known(e.Location) {
				t.Error("its place is not known")
			}
			if names := c.names(e.Digest); len(names) != 1 || names[0].Location != e.Location {
				t.Errorf("names %v", names)
			}
			if d, ok := c.Describe(e.Digest); !ok || d.Location != e.Location {
				t.Errorf("described as %+v, %v", d, ok)
			}
			for p, err := range c.Packages(at(t, hostURL+tc.dir)) {
				if err != nil || p.Location != e.Location {
					t.Errorf("package %v, %v", p.Location, err)
				}
			}
			if tc.not != "" {
				c.wantUnknown(t, hostURL+tc.not)
			}
			if s := c.Stats(); s.Archives != 1 {
				t.Errorf("%d archives", s.Archives)
			}
		})
	}
}

// A flat archive does not list files of another archive of its host, and makes
// only what it lists known there.
func TestBasesOfOthers(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	c.learnIn(t, "/apt/stable", "Packages", "files/a.deb")
	if !c.Known(at(t, hostURL+"/files/a.deb")) || c.Known(at(t, hostURL+"/files/b.deb")) || c.Known(at(t, hostURL+"/index.html")) {
		t.Error("known is what is listed above the archive, and no more")
	}
	c.learnIn(t, "/files/dists/stable", "main/binary-amd64/Packages", "pool/a.deb")
	c.wantUnknown(t, hostURL+"/files/a.deb")
	// An archive whose suite may also be of one at the root does not own that.
	c.learnIn(t, "/dists/b/dists/s", "main/binary-amd64/Packages", "pool/b.deb")
	c.learnIn(t, "/flat", "Packages", "top/a.deb")
	c.wantContent(t, hostURL+"/top/a.deb", []byte("abc"), true)
	if c.Known(at(t, hostURL+"/index.html")) {
		t.Error("the whole host is known")
	}
}

// An unsigned flat archive lists no files outside of its own directory for
// clients that were not given it: they may be another archive's, which the box
// does not know yet.
func TestUnsignedListsNothingElsewhere(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	c.learnIn(t, "/mallory", "Packages", "alice/a.deb")
	c.wantUnknown(t, hostURL+"/alice/a.deb")
	g, _ := c.Generation(at(t, hostURL+"/mallory"), digest.Digest{})
	theirs := func(Location) digest.Digest { return g.ID }
	if e := c.Resolve(t.Context(), at(t, hostURL+"/alice/a.deb"), theirs); e.Kind != Content || !c.Known(e.Location) {
		t.Errorf("%+v for a client that has the archive", e)
	}
	c.learnIn(t, "/bob", "Packages", "a.deb")
	c.wantContent(t, hostURL+"/bob/a.deb", []byte("abc"), false)
}

// An index that a client waits for holds up what it may list, no more.
func TestReach(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	for _, tc := range []struct{ suite, index, reach string }{
		{"/debian/dists/stable", "main/binary-amd64/Packages.xz", "/debian"},
		{"/debian/dists/stable", "main/binary-amd64/by-hash/SHA512/" + strings.Repeat("0", 128), "/debian"},
		{"/a/dists/b/dists/s", "main/binary-amd64/Packages", "/a"},
		{"/a/dists/b", "Packages", "/"},
		{"/a/dists/b", "by-hash/SHA256/" + strings.Repeat("0", 64), "/"},
		{"/apt/stable", "Packages", "/"},
	} {
		dir := at(t, hostURL+tc.suite)
		e := Entry{Kind: Content, Suite: dir, Location: dir.Join(tc.index)}
		if got := reach(e); got != at(t, hostURL+tc.reach) {
			t.Errorf("%s of %s reaches %s, want %s", tc.index, tc.suite, got, tc.reach)
		}
		end := c.BeginLearning(e)
		c.Await(e)
		if !c.learning.mayList(at(t, hostURL+strings.TrimSuffix(tc.reach, "/")+"/x.deb")) || c.learning.mayList(at(t, "http://other.example.org/x.deb")) {
			t.Errorf("%s of %s: held up is something else", tc.index, tc.suite)
		}
		end()
	}
}

// TestOneOf: where two suites of one archive list a path differently, the
// catalog cannot know which of them is right about the mirror.
func TestOneOf(t *testing.T) {
	t.Parallel()
	const index = "main/binary-amd64/Packages"
	a, b := []byte("abc"), []byte("another")
	listed := func(data []byte) []byte {
		return fmt.Appendf(nil, "Package: a\nFilename: pool/a.deb\nSize: %d\nSHA256: %s\n", len(data), digest.Of(data))
	}
	learn := func(c *Catalog, suite, date string, data []byte) Generation {
		t.Helper()
		text := listed(data)
		files := lists(map[string][]byte{index: text})
		files.Release = append([]byte("Version: "+date+"\n"), files.Release...)
		g, err := c.learnRelease(at(t, archiveURL+"/dists/"+suite), files)
		if err != nil {
			t.Fatal(err)
		}
		if e := c.resolveURL(t, archiveURL+"/dists/"+suite+"/"+index); e.Index {
			if err := c.LearnIndex(t.Context(), e, bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		return g
	}
	file := at(t, archiveURL+"/pool/a.deb")
	c := trusting(t)
	learn(c, "one", "1", a)
	two := learn(c, "two", "1", b)
	want := []digest.Digest{digest.Of(a), digest.Of(b)}
	e := c.Resolve(t.Context(), file, nil)
	if e.Kind != Unknown || e.Signed || e.Size != -1 || !slices.Equal(e.OneOf, want) {
		t.Errorf("%+v", e)
	}
	if got := c.Mirrors(e); !slices.Equal(got, []Location{file}) {
		t.Errorf("mirrors %v", got)
	}
	for _, d := range want {
		if _, with := c.Shared(d); with == WithNobody {
			t.Error("a listed file is not shared")
		}
	}
	// A client that was given one of the suites means that one's.
	pinned := func(dir Location) (d digest.Digest) {
		if dir == at(t, archiveURL+"/dists/two") {
			d = two.ID
		}
		return d
	}
	if e := c.Resolve(t.Context(), file, pinned); e.Digest != digest.Of(b) || e.OneOf != nil {
		t.Errorf("pinned to one suite: %+v", e)
	}
	// A third suite that agrees with one of them adds nothing.
	learn(c, "three", "1", b)
	if e := c.Resolve(t.Context(), file, nil); !slices.Equal(e.OneOf, []digest.Digest{want[0], want[1]}) && !slices.Equal(e.OneOf, []digest.Digest{want[1], want[0]}) {
		t.Errorf("%+v", e)
	}
	// Once the suites agree, the file is known; what earlier generations list
	// does not count beside it.
	learn(c, "one", "2", b)
	c.wantContent(t, file.String(), b, true)
	for i := range maxOneOf {
		learn(c, fmt.Sprint("more", i), "1", fmt.Append(nil, i))
	}
	if e := c.Resolve(t.Context(), file, nil); e.Kind != Unknown || e.OneOf != nil {
		t.Errorf("with more digests than are told: %+v", e)
	}
}

// An unsigned suite makes nothing of a signed one doubtful, except to clients
// that were given both.
func TestOneOfUnsigned(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	const index = "main/binary-amd64/Packages"
	given := make(map[Location]digest.Digest)
	for i, suite := range []string{"unsigned", "signed"} {
		text := []byte(strings.Replace(onePackage, "ba78", fmt.Sprint("ba7", i), 1))
		files := lists(map[string][]byte{index: text})
		if suite == "signed" {
			files = ReleaseFiles{InRelease: aptest.Clearsign(files.Release, day, key)}
		}
		dir := at(t, archiveURL+"/dists/"+suite)
		g, err := c.learnRelease(dir, files)
		if err != nil {
			t.Fatal(err)
		}
		given[dir] = g.ID
		if err := c.LearnIndex(t.Context(), c.resolveURL(t, dir.Join(index).String()), bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	file := at(t, archiveURL+"/pool/a.deb")
	if e := c.Resolve(t.Context(), file, nil); !e.Signed || e.OneOf != nil {
		t.Errorf("%+v, want what the signed suite lists", e)
	}
	if e := c.Resolve(t.Context(), file, func(dir Location) digest.Digest { return given[dir] }); len(e.OneOf) != 2 {
		t.Errorf("%+v, want either to a client of both", e)
	}
}

// A file that was changed in place has in each generation what that one lists,
// also when only earlier ones list it.
func TestChangedInPlace(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	texts := [][]byte{[]byte(onePackage), []byte(strings.Replace(onePackage, "ba78", "ba79", 1)), []byte("Package: b\nFilename: pool/b.deb\n")}
	for _, text := range texts {
		if err := c.learnText(t, "main/binary-amd64/Packages", text, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	e := c.resolveURL(t, archiveURL+"/pool/a.deb")
	if e.Kind != Content || !strings.HasPrefix(e.Digest.String(), "ba79") {
		t.Errorf("%+v, want what the latest list with it has", e)
	}
}

func TestPlausible(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0", 32)
	for p, want := range map[string]bool{
		"/debian/dists/stable/main/i18n/Translation-en.xz": true,
		"/debian/pool/main/h/hello/hello_1.0_all.deb":      true,
		"/repo/InRelease":                      true,
		"/repo/Release.gpg":                    true,
		"/repo/Packages":                       true,
		"/repo/Packages.zst":                   true,
		"/repo/Packages.lzma":                  true,
		"/repo/Packages.lz4":                   true,
		"/repo/Sources.gz":                     true,
		"/repo/by-hash/MD5Sum/" + sum:          true,
		"/repo/by-hash/SHA512/" + sum:          false,
		"/repo/Packages.diff/Index":            true,
		"/repo/Packages.diff/T-2026-F-1.gz":    true,
		"/repo/Contents-amd64.gz":              true,
		"/repo/Contents-udeb-amd64":            true,
		"/repo/Translation-pt_BR.bz2":          true,
		"/repo/Commands-amd64.xz":              true,
		"/repo/Components-amd64.yml.gz":        true,
		"/repo/dep11/icons-48x48.tar.gz":       true,
		"/files/x_1_amd64.deb":                 true,
		"/files/x.deb":                         true,
		"/files/google-chrome-stable.udeb":     true,
		"/files/x-dbgsym_1_amd64.ddeb":         true,
		"/src/x_1-1.dsc":                       true,
		"/src/x_1.orig.tar.xz":                 true,
		"/src/x_1.orig-docs.tar.gz":            true,
		"/src/x_1.orig.tar.xz.asc":             true,
		"/src/x_1-1.debian.tar.zst":            true,
		"/src/X Y.orig.tar.gz":                 true,
		"/src/x_1-1.diff.gz":                   true,
		"/src/x_1.tar.lzma":                    true,
		"/changelogs/main/h/hello_1_changelog": true,
		"/x_1_amd64.changelog":                 true,
		"/repo/Packages.exe":                   false,
		"/repo/MyPackages.gz":                  false,
		"/repo/Contents-":                      false,
		"/repo/Contents-amd64.html":            false,
		"/.deb":                                false,
		"/deb":                                 false,
		"/x.tar.gz":                            false,
		"/index.html":                          false,
		"/":                                    false,
		"/whirlpool/x":                         false,
		"/repo/x.diff":                         false,
		"/repo/en.xz":                          true,
		"/repo/pt_BR.gz":                       true,
		"/repo/pt_br.gz":                       false,
		"/repo/eng.xz":                         false,
	} {
		if got := Plausible(Location{"http", "h", p, ""}); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}
