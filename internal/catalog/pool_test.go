package catalog

import (
	"bytes"
	"path"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

func TestResolveFlat(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "sub", "sub/dir"} {
		t.Run("directory "+name, func(t *testing.T) {
			t.Parallel()
			a := aptest.NewArchive(nil, aptest.Suite{Name: name, Flat: true})
			deb := a.Add(aptest.Package{Name: "tool", Version: "1.0"})
			g := a.Publish(day)
			c := trusting(t)
			c.learnSuite(t, archiveURL, path.Clean(name), g)
			c.learnFile(t, archiveURL, path.Join(name, "Packages.gz"), g)
			e := c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, true)
			for _, l := range c.names(e.Digest) {
				if l.Location != e.Location {
					t.Errorf("name %s of %s", l, e.Location)
				}
			}
			if !c.Known(e.Location) {
				t.Error("its place is not known")
			}
		})
	}
}

// A flat archive may list files above itself, but not those of another one.
func TestResolveFlatAbove(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	host := "http://archive.example.org"
	text := []byte(strings.ReplaceAll(onePackage, "pool/a.deb", "debian/pool/a.deb"))
	dir := at(t, host+"/flat")
	if _, err := c.learnRelease(dir, lists(map[string][]byte{"Packages": text})); err != nil {
		t.Fatal(err)
	}
	if err := c.LearnIndex(t.Context(), c.resolveURL(t, host+"/flat/Packages"), bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	c.wantContent(t, host+"/debian/pool/a.deb", []byte("abc"), true)
	c.wantContent(t, host+"/flat/debian/pool/a.deb", []byte("abc"), true)
	if _, err := c.learnRelease(at(t, suiteURL), lists(nil)); err != nil {
		t.Fatal(err)
	}
	c.wantUnknown(t, host+"/debian/pool/a.deb")
}

func TestResolvePatches(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key, aptest.Suite{Compressions: []string{"xz"}})
	old := a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
	first := a.Publish(day)
	added := a.Add(aptest.Package{Name: "hello", Version: "1.1", Arch: "amd64"})
	second := a.Publish(day.Add(6 * time.Hour))
	c := newCatalog(t, key)
	const dir = "dists/stable/main/binary-amd64/"
	c.learnSuite(t, archiveURL, "dists/stable", first)
	c.learnFile(t, archiveURL, dir+"Packages.xz", first)

	c.learnSuite(t, archiveURL, "dists/stable", second)
	var patch string
	for _, p := range second.Paths() {
		if path.Dir(p) == dir+"Packages.diff" && path.Base(p) != "Index" {
			patch = p
		}
	}
	c.wantUnknown(t, archiveURL+"/"+patch)
	c.learnFile(t, archiveURL, dir+"Packages.diff/Index", second)
	if e := c.wantContent(t, archiveURL+"/"+patch, second.File(patch), true); !e.Index {
		t.Error("the patch is not wanted")
	}
	hash := archiveURL + "/" + dir + "Packages.diff/by-hash/SHA256/" + digest.Of(second.File(patch)).String()
	e := c.wantContent(t, hash, second.File(patch), true)
	if !e.Index {
		t.Error("the patch is not wanted by-hash")
	}
	c.wantUnknown(t, archiveURL+"/"+added.Path)
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(second.File(patch))); err != nil {
		t.Fatal(err)
	}
	if e := c.wantContent(t, archiveURL+"/"+patch, second.File(patch), true); e.Index {
		t.Error("the patch is wanted still")
	}
	c.wantContent(t, archiveURL+"/"+added.Path, added.Data, true)
	c.wantContent(t, archiveURL+"/"+old.Path, old.Data, true)
	names := 0
	for _, l := range c.names(digest.Of(second.File(patch))) {
		names++
		if l.Location != at(t, archiveURL+"/"+patch) {
			t.Errorf("name %s", l)
		}
	}
	if names != 1 {
		t.Errorf("%d names of the patch", names)
	}

	// The next generation still has that patch, and has it learned.
	third := a.Publish(day.Add(12 * time.Hour))
	c.learnSuite(t, archiveURL, "dists/stable", third)
	if e := c.wantContent(t, archiveURL+"/"+patch, third.File(patch), true); e.Index {
		t.Error("a known patch is wanted")
	}
}
