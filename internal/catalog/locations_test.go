package catalog

import (
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A digest counts as signed where a signed Release lists it, and not where another
// archive with the same lists, or a client, says that it is.
func TestSignedAt(t *testing.T) {
	t.Parallel()
	const packages = "main/binary-amd64/Packages.xz"
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := openCatalog(t, openDB(t, t.TempDir()), nil, "archive.example.org")
	for _, base := range []string{mirrorURL, archiveURL} { // the first is not signed
		c.learnSuite(t, base, "dists/stable", g)
	}
	index := g.File("dists/stable/" + packages)
	c.learnFile(t, archiveURL, "dists/stable/"+packages, g)
	byHash := "dists/stable/main/binary-amd64/by-hash/SHA256/" + digest.Of(index).String()
	for path, data := range map[string][]byte{deb.Path: deb.Data, "dists/stable/" + packages: index, byHash: index} {
		for url, want := range map[string]bool{archiveURL + "/" + path: true, mirrorURL + "/" + path: false, archiveURL + "/other/" + path: false} {
			if got := c.SignedAt(digest.Of(data), at(t, url)); got != want {
				t.Errorf("%s: %v, want %v", url, got, want)
			}
		}
		if c.SignedAt(digest.Of([]byte("other")), at(t, archiveURL+"/"+path)) {
			t.Errorf("%s: signed as another file", path)
		}
	}
}
