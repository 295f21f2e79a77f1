package catalog

import (
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A digest is vouched for where a signed Release lists it, and not where another
// archive with the same lists, or a client, says that it is.
func TestVouched(t *testing.T) {
	t.Parallel()
	const packages = "main/binary-amd64/Packages.xz"
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := openCatalog(t, openDB(t, t.TempDir()), nil, "archive.example.org")
	for _, base := range []string{mirrorURL, archiveURL} { // of the first nothing vouches
		c.learnSuite(t, base, "dists/stable", g)
	}
	index := g.File("dists/stable/" + packages)
	c.learnFile(t, archiveURL, "dists/stable/"+packages, g)
	byHash := "dists/stable/main/binary-amd64/by-hash/SHA256/" + digest.Of(index).String()
	for path, data := range map[string][]byte{deb.Path: deb.Data, "dists/stable/" + packages: index, byHash: index} {
		for url, want := range map[string]bool{archiveURL + "/" + path: true, mirrorURL + "/" + path: false, archiveURL + "/other/" + path: false} {
			if got := c.Vouched(digest.Of(data), at(t, url)); got != want {
				t.Errorf("%s: %v, want %v", url, got, want)
			}
		}
		if c.Vouched(digest.Of([]byte("other")), at(t, archiveURL+"/"+path)) {
			t.Errorf("%s: vouched for as another file", path)
		}
	}
}
