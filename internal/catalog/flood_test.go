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

// However often an unsigned Release of another archive lists a digest, and with
// whatever size, an archive's own list decides what is there.
func TestListedElsewhereManyTimes(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	index := []byte(onePackage)
	d := digest.Of(index)
	var hostile strings.Builder
	hostile.WriteString("Suite: x\nDate: Sun, 01 Mar 2026 08:00:00 UTC\nSHA256:\n")
	for i := range 2 * maxPlaces {
		fmt.Fprintf(&hostile, " %s 999999 a/%d/binary-amd64/Packages\n", d, i)
	}
	if _, err := c.learnRelease(at(t, "http://hostile.example.org/dists/x"), ReleaseFiles{Release: []byte(hostile.String())}); err != nil {
		t.Fatal(err)
	}
	byHash := suiteURL + "/main/binary-amd64/by-hash/SHA256/" + d.String()
	if e := c.resolveURL(t, byHash); e.Size != -1 {
		t.Errorf("before the Release is known: %+v, want no size", e)
	}
	text := listsBy(byHashHead, map[string][]byte{"main/binary-amd64/Packages": index}, "SHA256")
	if _, err := c.learnRelease(at(t, suiteURL), ReleaseFiles{InRelease: aptest.Clearsign(text, day, key)}); err != nil {
		t.Fatal(err)
	}
	e := c.wantContent(t, byHash, index, true)
	if !e.Index || e.Suite != at(t, suiteURL) {
		t.Errorf("%+v, want an index of the suite", e)
	}
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(index)); err != nil {
		t.Fatal(err)
	}
	c.wantContent(t, archiveURL+"/pool/a.deb", []byte("abc"), true)
	own := at(t, suiteURL+"/main/binary-amd64/Packages")
	if names := c.names(d); !slices.ContainsFunc(names, func(n name) bool { return n.Location == own }) {
		t.Errorf("%d names without the own one", len(names))
	}
}

// Of a digest that a signed Release lists, that one says the size, also where
// another archive lists it: the download is the same.
func TestSizeIsTheSignedOne(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	const index = "main/binary-amd64/Packages"
	for dir, text := range map[string]string{
		suiteURL:                             onePackage,
		"http://hostile.example.org/dists/x": strings.Replace(onePackage, "Size: 3", "Size: 5", 1),
	} {
		files := lists(map[string][]byte{index: []byte(text)})
		if dir == suiteURL {
			files = ReleaseFiles{InRelease: aptest.Clearsign(files.Release, day, key)}
		}
		if _, err := c.learnRelease(at(t, dir), files); err != nil {
			t.Fatal(err)
		}
		if err := c.LearnIndex(t.Context(), c.resolveURL(t, dir+"/"+index), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	c.wantContent(t, "http://hostile.example.org/pool/a.deb", []byte("abc"), true)
	c.wantContent(t, archiveURL+"/pool/a.deb", []byte("abc"), true)
}
