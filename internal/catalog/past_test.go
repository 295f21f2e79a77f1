package catalog

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

const pastIndex = "dists/stable/main/binary-amd64/Packages.xz"

// published is a generation as its archive made it and as the catalog knows it.
type published struct {
	*aptest.Generation
	id  digest.Digest
	deb aptest.File
}

// publishDaily has the catalog learn n generations of an archive, one a day.
func (c *Catalog) publishDaily(t *testing.T, url string, key *aptest.Key, n int) (all []published) {
	t.Helper()
	a := aptest.NewArchive(key, aptest.Suite{NoPDiffs: true, Compressions: []string{"xz"}})
	now, name := day, at(t, url).Host
	for i := range n {
		a.Remove(name)
		deb := a.Add(aptest.Package{Name: name, Version: fmt.Sprint(i)})
		g := a.Publish(now)
		now = now.Add(time.Hour)
		c.now = func() time.Time { return now }
		gen := c.learnSuite(t, url, "dists/stable", g)
		c.learnFile(t, url, pastIndex, g)
		all = append(all, published{g, gen.ID, deb})
		now = now.Add(23 * time.Hour)
		if err := c.expire(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A suite's past is found by its time, with the indices and packages of that time, also
// after a restart, and ends after a month.
func TestPast(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	all := c.publishDaily(t, archiveURL, key, 10)
	dir := at(t, suiteURL)
	if n := len(c.Moments(dir)); n != len(all) {
		t.Errorf("%d generations are known, want %d", n, len(all))
	}
	last := all[len(all)-1]
	wantPast := func(c *Catalog, when string) {
		t.Helper()
		for i, p := range all {
			g, ok := c.At(dir, day.Add(time.Duration(i)*24*time.Hour+time.Minute))
			if !ok || g.ID != p.id || !g.Signed {
				t.Errorf("%s, at day %d: %+v, %v; want %s", when, i, g, ok, p.id)
			}
			pin := func(Location) digest.Digest { return p.id }
			if e := c.Resolve(t.Context(), at(t, archiveURL+"/"+pastIndex), pin); e.Digest != digest.Of(p.File(pastIndex)) || !e.Signed || e.Index {
				t.Errorf("%s, the index of day %d: %+v", when, i, e)
			}
			if e := c.Resolve(t.Context(), at(t, archiveURL+"/"+p.deb.Path), pin); e.Digest != digest.Of(p.deb.Data) || !e.Signed {
				t.Errorf("%s, the package of day %d: %+v", when, i, e)
			}
			in, superseded := c.InUse(digest.Of(p.deb.Data)), i < len(all)-1
			if in == superseded {
				t.Errorf("%s, the package of day %d is in use: %v", when, i, in)
			}
		}
		if _, ok := c.At(dir, day.Add(-time.Second)); ok {
			t.Errorf("%s: a generation from before the first one", when)
		}
		if e := c.resolveURL(t, archiveURL+"/"+pastIndex); e.Release != last.id {
			t.Errorf("%s, who has no generation gets %+v", when, e)
		}
	}
	wantPast(c, "at first")
	c = reopen(t, c)
	wantPast(c, "after a restart")

	held := all[3].id
	c.holds = func(_ Location, id digest.Digest) bool { return id == held }
	c.now = func() time.Time { return day.Add(10*24*time.Hour + keepPast) }
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	if got := c.Moments(dir); len(got) != 2 || got[0].ID != last.id || got[1].ID != held {
		t.Errorf("after a month: %+v", got)
	}
	c.sweep(t.Context())
	if s, paths := c.Stats(), countKeys(t, c, keyPath); int64(paths) != s.Rows || s.Tables != 4 {
		t.Errorf("after a month: %+v, %d rows", s, paths)
	}
}

// What nobody vouches for, or came with a login, has no past.
func TestNoPastOfOthers(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	for name, by := range map[string]*aptest.Key{"unsigned": nil, "signed": key} {
		c := newCatalog(t, key)
		c.publishDaily(t, archiveURL, by, 6)
		if n, want := len(c.Moments(at(t, suiteURL))), map[string]int{"unsigned": 1, "signed": 6}[name]; n != want {
			t.Errorf("%s: %d generations, want %d", name, n, want)
		}
	}
	c := newCatalog(t, key)
	for i := range 6 {
		a := aptest.NewArchive(key)
		files := releaseFiles(a.Publish(day.Add(time.Duration(i)*time.Hour)), "dists/stable")
		files.Private = true
		if _, err := c.learnRelease(at(t, suiteURL), files); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.Moments(at(t, suiteURL))); n != 1+maxEarlier {
		t.Errorf("with a login: %d generations", n)
	}
	if _, ok := c.At(at(t, suiteURL), day.Add(24*time.Hour)); ok {
		t.Error("a generation that came with a login is anybody's snapshot")
	}
}

// A suite's past is bounded, that of all suites and its rows too. An archive that makes
// more generations than others loses its own.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	own := at(t, suiteURL)
	flood := func(i int) string { return fmt.Sprintf("http://s%d.evil.example/debian", i) }
	past := func(c *Catalog) (ofOwn, all int) {
		for dir, st := range c.state.Load().suites {
			if all += len(st.past); dir == own {
				ofOwn = len(st.past)
			}
		}
		return ofOwn, all
	}
	for name, bound := range map[string]struct {
		set       func(*bounds)
		own, most int
	}{
		"of a suite": {func(b *bounds) { b.pastOf = 2 }, 2, 8},
		"of all":     {func(b *bounds) { b.past = 9 }, 4, 9},
		"rows":       {func(b *bounds) { b.pastRows = 800 }, 5, 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCatalog(t, key)
			bound.set(&c.bounds)
			c.publishDaily(t, archiveURL, key, 6)
			for i := range 3 {
				c.publishDaily(t, flood(i), key, 8)
			}
			if ofOwn, all := past(c); ofOwn != bound.own || all > bound.most {
				t.Errorf("%d past generations, %d of the honest archive; want %d at most and %d", all, ofOwn, bound.most, bound.own)
			}
			if s := c.state.Load(); s.pastRows > c.bounds.pastRows {
				t.Errorf("%d rows of the past, want %d at most", s.pastRows, c.bounds.pastRows)
			}
		})
	}
}

// A generation has its Release file in the form in which it came, and in the other one if
// that came, too.
func TestReleaseFileOfGeneration(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	dir := at(t, suiteURL)
	g := aptest.NewArchive(key).Publish(day)
	want := func(id digest.Digest, has ...string) {
		t.Helper()
		for _, name := range []string{"InRelease", "Release", "Release.gpg"} {
			d, ok := c.ReleaseFile(dir, id, name)
			if ok != slices.Contains(has, name) || ok && d != digest.Of(g.File("dists/stable/"+name)) {
				t.Errorf("%s: %s, %v", name, d, ok)
			}
		}
	}
	one, err := c.learnRelease(dir, ReleaseFiles{InRelease: g.File("dists/stable/InRelease")})
	if err != nil {
		t.Fatal(err)
	}
	want(one.ID, "InRelease")
	pair, err := c.learnRelease(dir, ReleaseFiles{Release: g.File("dists/stable/Release"), Signature: g.File("dists/stable/Release.gpg")})
	if err != nil {
		t.Fatal(err)
	}
	want(one.ID, "InRelease", "Release", "Release.gpg")
	want(pair.ID, "InRelease", "Release", "Release.gpg")
	want(digest.Of(nil))
}

// What a generation lists is told with where it stands, and who lists a file with where.
func TestListedOfGeneration(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	all := c.publishDaily(t, archiveURL, key, 5)
	dir, first := at(t, suiteURL), all[0]
	found := false
	for e, err := range c.Listed(dir, first.id) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Digest == digest.Of(first.File(pastIndex)) {
			found = e.Location == at(t, archiveURL+"/"+pastIndex) && e.Release == first.id && !e.Index
		}
	}
	if !found {
		t.Error("the index is not among what the generation lists")
	}
	var by []digest.Digest
	if err := c.ListedBy(digest.Of(first.deb.Data), func(_ Location, id digest.Digest) bool {
		by = append(by, id)
		return true
	}); err != nil || !slices.Equal(slices.Compact(by), []digest.Digest{first.id}) {
		t.Errorf("the package is listed by %v, %v", by, err)
	}
	if err := c.ForgetPast(dir, first.id); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Moments(dir)); n != len(all)-1 {
		t.Errorf("%d generations after one was forgotten", n)
	}
	if err := c.ForgetPast(dir, all[4].id); err != nil || len(c.Moments(dir)) != len(all)-1 {
		t.Error("the one in force was forgotten")
	}
}
