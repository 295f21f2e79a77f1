package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// trusting opens a catalog that counts archive.example.org as signed, for
// tests that make their own Release files.
func trusting(tb testing.TB) *Catalog {
	tb.Helper()
	return openCatalog(tb, openDB(tb, tb.TempDir()), nil, "archive.example.org")
}

// lists is a Release that lists the files.
func lists(files map[string][]byte) ReleaseFiles {
	var b strings.Builder
	b.WriteString("Origin: Test\nCodename: test\nDate: Sun, 01 Mar 2026 08:00:00 UTC\nSHA256:\n")
	for name, data := range files {
		fmt.Fprintf(&b, " %s %d %s\n", digest.Of(data), len(data), name)
	}
	return ReleaseFiles{Release: []byte(b.String())}
}

const onePackage = "Package: a\nVersion: 1\nFilename: pool/a.deb\nSize: 3\nSHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\n"

// learnText makes a Release list data as an index and learns it.
func (c *Catalog) learnText(tb testing.TB, name string, data []byte, r io.Reader) error {
	tb.Helper()
	dir := at(tb, archiveURL+"/dists/stable")
	if _, err := c.learnRelease(dir, lists(map[string][]byte{name: data})); err != nil {
		tb.Fatal(err)
	}
	e := c.Resolve(tb.Context(), dir.Join(name), nil)
	if !e.Index {
		tb.Fatalf("%+v is not wanted", e)
	}
	return c.LearnIndex(tb.Context(), e, r)
}

func TestLearnCompressions(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{"", "gz", "xz", "bz2", "zst"} {
		t.Run("plain"+ext, func(t *testing.T) {
			t.Parallel()
			a := aptest.NewArchive(nil, aptest.Suite{Compressions: []string{ext, "gz"}})
			deb := a.Add(aptest.Package{Name: "hello", Version: "1:2.10-3+b1~x"})
			src := a.AddSource(aptest.Source{Name: "hello", Version: "2.10-3"})
			g := a.Publish(day)
			c := openCatalog(t, openDB(t, t.TempDir()), nil, "archive.example.org")
			gen, err := c.learnRelease(at(t, archiveURL+"/dists/stable"), ReleaseFiles{Release: g.File("dists/stable/Release")})
			if err != nil || !gen.Signed {
				t.Fatal(gen, err)
			}
			c.wantUnknown(t, archiveURL+"/"+deb.Path)
			suffix := strings.TrimSuffix("."+ext, ".")
			c.learnFile(t, archiveURL, "dists/stable/main/binary-amd64/Packages"+suffix, g)
			c.learnFile(t, archiveURL, "dists/stable/main/source/Sources"+suffix, g)
			c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, true)
			for _, f := range src {
				c.wantContent(t, archiveURL+"/"+f.Path, f.Data, true)
			}
			// What is known in one compression need not be learned in another.
			for _, other := range []string{suffix, ".gz"} {
				if e := c.resolveURL(t, archiveURL+"/dists/stable/main/binary-amd64/Packages"+other); e.Kind != Content || e.Index {
					t.Errorf("Packages%s after learning %q: %+v", other, ext, e)
				}
			}
		})
	}
}

func TestLearnRefuses(t *testing.T) {
	t.Parallel()
	boom := errors.New("cable cut")
	zip := func(s string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.Bytes()
	}
	good := []byte(onePackage)
	for _, tc := range []struct {
		name  string
		data  []byte
		r     io.Reader
		want  string
		again bool // another download may do
	}{
		{"another content", good, strings.NewReader(strings.Replace(onePackage, "Size: 3", "Size: 4", 1)), "content is", true},
		{"cut short", good, strings.NewReader(onePackage[:len(onePackage)-1]), "content is", true},
		{"more than listed", good, strings.NewReader(onePackage + "\n"), "content is", true},
		{"reader's error", good, io.MultiReader(strings.NewReader(onePackage), iotest.ErrReader(boom)), "cable cut", true},
		{"no deb822", []byte("<html>\nsign in\n"), strings.NewReader("<html>\nsign in\n"), "", false},
		{"cut gzip", zip(onePackage)[:60], bytes.NewReader(zip(onePackage)[:60]), "unexpected EOF", false},
		{"damaged xz", []byte("\xfd7zXZ\x00 and nothing"), strings.NewReader("\xfd7zXZ\x00 and nothing"), "xz", false},
		{"legacy lzma", []byte("\x5d\x00\x00\x80\x00\xff"), strings.NewReader("\x5d\x00\x00\x80\x00\xff"), ".lzma", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := trusting(t)
			err := c.learnText(t, "main/binary-amd64/Packages", tc.data, tc.r)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if tc.name == "reader's error" && !errors.Is(err, boom) {
				t.Errorf("%v does not wrap the reader's", err)
			}
			c.wantUnknown(t, archiveURL+"/pool/a.deb")
			if e := c.resolveURL(t, archiveURL+"/dists/stable/main/binary-amd64/Packages"); e.Index != tc.again {
				t.Errorf("a second try is wanted: %t, want %t", e.Index, tc.again)
			}
			c.sweep(t.Context())
			if n := countRows(t, c); n != 2 {
				t.Errorf("%d rows are left, want the 2 of the Release", n)
			}
		})
	}
}

// countRows counts the rows on disk, by path and by digest.
func countRows(tb testing.TB, c *Catalog) int {
	tb.Helper()
	return countKeys(tb, c, keyPath) + countKeys(tb, c, keyDigest)
}

func countKeys(tb testing.TB, c *Catalog, kind byte) (n int) {
	tb.Helper()
	if err := c.rows.kv.Scan([]byte{kind}, nil, func(_, _ []byte) bool { n++; return true }); err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestLearnNoIndex(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	data := []byte("not read")
	if _, err := c.learnRelease(at(t, archiveURL+"/dists/stable"), lists(map[string][]byte{"main/Contents-amd64.gz": data})); err != nil {
		t.Fatal(err)
	}
	e := c.wantContent(t, archiveURL+"/dists/stable/main/Contents-amd64.gz", data, true)
	if e.Index {
		t.Error("Contents is wanted")
	}
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(data)); !errors.Is(err, errNoIndex) {
		t.Errorf("got %v, want %v", err, errNoIndex)
	}
}

// A path listed twice counts once, so that dropping the table leaves nothing.
func TestLearnDuplicates(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	text := []byte(onePackage + strings.Replace(onePackage, "ba78", "ba79", 1))
	if err := c.learnText(t, "main/binary-amd64/Packages", text, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	c.wantContent(t, archiveURL+"/pool/a.deb", []byte("abc"), true)
	if n := countRows(t, c); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

func TestLearnTooMany(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	w, err := c.rows.writer()
	if err != nil {
		t.Fatal(err)
	}
	defer w.cancel()
	w.max = 2
	for _, p := range []string{"a", "b", "a"} {
		if err := w.put(row{path: p}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.put(row{path: "c"}); err == nil {
		t.Error("three rows where two are allowed")
	}
}

func TestLimitedReader(t *testing.T) {
	t.Parallel()
	for left, want := range map[int64]error{9: errTooLong, 10: nil, 11: nil} {
		if _, err := io.Copy(io.Discard, &limitedReader{strings.NewReader("0123456789"), left}); !errors.Is(err, want) {
			t.Errorf("limit %d: got %v, want %v", left, err, want)
		}
	}
}

// Two mirrors of an archive have one table, and what was learned of one is
// known of the other.
func TestLearnTwoHosts(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := openCatalog(t, openDB(t, t.TempDir()), nil, "archive.example.org", "mirror.example.net")
	c.learnSuite(t, archiveURL, "dists/stable", g)
	c.learnFile(t, archiveURL, "dists/stable/main/binary-amd64/Packages.xz", g)
	before := countRows(t, c)
	c.learnSuite(t, mirrorURL, "dists/stable", g)
	e := c.wantContent(t, mirrorURL+"/"+deb.Path, deb.Data, true)
	if after := countRows(t, c); after != before {
		t.Errorf("the second mirror made %d rows of %d", after, before)
	}
	if s := c.Stats(); s.Archives != 2 || s.Suites != 2 || s.Tables != 2 {
		t.Errorf("%+v", s)
	}
	// Asked over https, only https will do; the other way round both.
	if got := c.Mirrors(e); len(got) != 1 || got[0] != e.Location {
		t.Errorf("mirrors of %s: %v", e.Location, got)
	}
	e = c.resolveURL(t, archiveURL+"/"+deb.Path)
	if got := c.Mirrors(e); len(got) != 2 || got[0] != e.Location || got[1].Host != "mirror.example.net" {
		t.Errorf("mirrors of %s: %v", e.Location, got)
	}
	var names []string
	for _, l := range c.names(digest.Of(deb.Data)) {
		names = append(names, l.String())
	}
	if len(names) != 2 {
		t.Errorf("names %q", names)
	}
}

func TestLearnRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	func() {
		db := openDB(t, dir)
		c := openCatalog(t, db, nil, "archive.example.org")
		c.learnSuite(t, archiveURL, "dists/stable", g)
		c.learnFile(t, archiveURL, "dists/stable/main/binary-amd64/Packages.xz", g)
		// A killed process leaves rows of a table without a record.
		w, err := c.rows.writer()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.put(row{"pool/torn.deb", digest.Of(nil), 0}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.finish(kindPackages, digest.Of([]byte("torn"))); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	db := openDB(t, dir)
	c := openCatalog(t, db, nil, "archive.example.org")
	c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, true)
	c.wantUnknown(t, archiveURL+"/pool/torn.deb")
	before := countRows(t, c)
	c.sweep(t.Context())
	if got := countRows(t, c); got != before-2 {
		t.Errorf("%d rows after the sweep of 2 of %d", got, before)
	}
	// Trust ends with the restart that takes it away, and comes back so too.
	c = openCatalog(t, db, nil)
	c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, false)
	if gen, ok := c.Generation(at(t, archiveURL+"/dists/stable"), digest.Digest{}); !ok || gen.Signed || gen.Why == "" {
		t.Errorf("generation of a host no longer trusted: %+v, %v", gen, ok)
	}
}
