package catalog

import (
	"bytes"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// A suite whose Release came with a login is signed and not shared, over a
// restart too, until the same Release comes without one; what a shared archive
// lists as well is shared.
func TestPrivateSuite(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := newCatalog(t, key)
	dir := at(t, archiveURL).Join("dists/stable")
	files := releaseFiles(g, "dists/stable")
	files.Private = true
	if gen, err := c.learnRelease(dir, files); err != nil || !gen.Signed || !gen.Private {
		t.Fatalf("%+v %v", gen, err)
	}
	c.learnFile(t, archiveURL, index, g)

	check := func(c *Catalog, url string, shared Sharing) {
		t.Helper()
		e := c.resolveURL(t, url+"/"+deb.Path)
		if e.Kind != Content || !e.Signed || e.Shared != shared {
			t.Errorf("%s: %+v, want signed and shared %v", url, e, shared)
		}
		if e := c.resolveURL(t, url+"/"+index); !e.Signed || e.Shared != shared {
			t.Errorf("index: %+v", e)
		}
		if _, with := c.Shared(digest.Of(deb.Data)); with != shared {
			t.Errorf("Shared is %v", with)
		}
		if e, ok := c.Describe(digest.Of(deb.Data)); !ok || e.Shared != shared {
			t.Errorf("Describe: %+v %v", e, ok)
		}
	}
	check(c, archiveURL, WithNobody)
	check(reopen(t, c), archiveURL, WithNobody)

	// The URLs of such a suite are no mirrors for a shared archive.
	changed := c.Changed()
	c.learnSuite(t, mirrorURL, "dists/stable", g)
	check(c, mirrorURL, WithMembers)
	check(c, archiveURL, WithMembers)
	select {
	case <-changed:
	default:
		t.Error("no change of what is shared was told")
	}
	if e, _ := c.Describe(digest.Of(deb.Data)); e.Location.Host != at(t, mirrorURL).Host {
		t.Errorf("Describe prefers %s", e.Location)
	}
	for _, l := range c.Mirrors(c.resolveURL(t, mirrorURL+"/"+deb.Path)) {
		if l.Host == dir.Host {
			t.Errorf("%s is a mirror", l)
		}
	}

	files.Private = false
	if gen, err := c.learnRelease(dir, files); err != nil || gen.Private {
		t.Fatalf("without a login: %+v %v", gen, err)
	}
	files.Private = true
	if gen, err := c.learnRelease(dir, files); err != nil || gen.Private {
		t.Fatalf("a login makes it private again: %+v %v", gen, err)
	}
	if e := c.resolveURL(t, archiveURL+"/"+index); e.Digest != digest.Of(g.File(index)) || e.Shared != WithMembers {
		t.Errorf("%+v", e)
	}
	if err := c.LearnIndex(t.Context(), c.resolveURL(t, archiveURL+"/"+index), bytes.NewReader(g.File(index))); err != nil {
		t.Error(err)
	}
}
