package catalog

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// expect makes a generation known as one that is to come.
func (c *Catalog) expect(t *testing.T, g *aptest.Generation) Generation {
	t.Helper()
	r, err := c.CheckRelease(at(t, suiteURL), releaseFiles(g, "dists/stable"))
	if err == nil {
		err = c.Expect(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Generation
}

// generations publishes n of them, each with another version of a package.
func generations(key *aptest.Key, n int) (all []*aptest.Generation) {
	a := aptest.NewArchive(key)
	for i := range n {
		a.Remove("hello")
		a.Add(aptest.Package{Name: "hello", Version: "1." + string(rune('0'+i)), Arch: "amd64"})
		all = append(all, a.Publish(day.AddDate(0, 0, i)))
	}
	return all
}

// What a generation that is to come lists is known, and the current one stays in force,
// until the other one is adopted.
func TestExpect(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	suite, gens := at(t, suiteURL), generations(key, 4)
	c := newCatalog(t, key)
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	first := c.learnSuite(t, archiveURL, "dists/stable", gens[0])
	c.learnFile(t, archiveURL, index, gens[0])
	held := func(d digest.Digest) bool { return d == digest.Of(gens[0].File(index)) }
	second := c.expect(t, gens[1])
	if g, _ := c.Generation(suite, digest.Digest{}); g.ID != first.ID {
		t.Fatal("the generation that is to come is in force")
	}
	if g, ok := c.Generation(suite, second.ID); !ok || !g.Signed {
		t.Fatal("the generation that is to come is not known as signed")
	}
	next, err := c.SuccessorsIn(suite, second.ID, held)
	if err != nil || len(next) != 2 || next[0].Location.Name() != "Index" || !next[0].Index {
		t.Fatalf("in place of what is held comes %+v (%v)", next, err)
	}
	next = next[1:] // the first one is the list of patches
	if next[0].Digest != digest.Of(gens[1].File(index)) || !next[0].Signed || !next[0].Index || next[0].Release != second.ID {
		t.Fatalf("in place of what is held comes %+v (%v)", next, err)
	}
	if e := c.resolveURL(t, archiveURL+"/"+index); e.Digest != digest.Of(gens[0].File(index)) {
		t.Error("a client without a pin gets the index that is to come")
	}
	if err := c.LearnIndex(t.Context(), next[0], bytes.NewReader(gens[1].File(index))); err != nil {
		t.Fatal(err)
	}
	if e := c.resolveURL(t, archiveURL+"/pool/main/h/hello/hello_1.1_amd64.deb"); e.Kind != Content || !e.Signed {
		t.Errorf("a package that is to come is %+v", e)
	}
	if got := packages(t, c, suite); !slices.Equal(got, []string{"hello_1.0_amd64.deb"}) {
		t.Errorf("in force is %v", got)
	}

	c.learnSuite(t, archiveURL, "dists/stable", gens[1])
	if got := packages(t, c, suite); !slices.Equal(got, []string{"hello_1.1_amd64.deb"}) {
		t.Errorf("after it came: %v", got)
	}
	third := c.expect(t, gens[2])
	c.learnSuite(t, archiveURL, "dists/stable", gens[3])
	if _, ok := c.Generation(suite, third.ID); ok {
		t.Error("one that never came is kept beside a later one")
	}
	if _, ok := c.Generation(suite, first.ID); !ok {
		t.Error("an earlier generation gave way to one that never came")
	}
}

// However many are announced, one is kept; and one that does not come ends.
func TestExpectIsBounded(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	suite, gens := at(t, suiteURL), generations(key, 6)
	c := newCatalog(t, key)
	now := day.AddDate(0, 0, 10)
	c.now = func() time.Time { return now }
	var kept []digest.Digest
	for _, g := range gens[:3] {
		kept = append(kept, c.learnSuite(t, archiveURL, "dists/stable", g).ID)
	}
	var last Generation
	for _, g := range gens[3:] {
		last = c.expect(t, g)
	}
	if n := len(c.state.Load().suites[suite].gens); n != 4 {
		t.Errorf("%d generations are kept", n)
	}
	for _, id := range append(kept, last.ID) {
		if _, ok := c.Generation(suite, id); !ok {
			t.Errorf("%s is gone", id.Short())
		}
	}
	now = now.Add(keepEarlier)
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Generation(suite, last.ID); ok {
		t.Error("a generation that did not come is kept for good")
	}
}

// A suite is used by whoever asks for something in it, if something was ever found, and
// by nobody else: not by its box, nor by peers, who have digests.
func TestUsed(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	suite, gens := at(t, suiteURL), generations(key, 2)
	db := openDB(t, t.TempDir())
	c := openCatalog(t, db, ring(t, key))
	now := day
	c.now = func() time.Time { return now }
	used := func() time.Time { return c.Suites()[0].Used.UTC() }
	c.learnSuite(t, archiveURL, "dists/stable", gens[0])
	c.resolveURL(t, suiteURL+"/InRelease")
	if !used().IsZero() {
		t.Errorf("used at %v, though nothing was found in it", used())
	}
	now = now.Add(time.Hour)
	e := c.resolveURL(t, suiteURL+"/main/binary-amd64/Packages.xz")
	if !used().Equal(now) {
		t.Errorf("used at %v, want %v", used(), now)
	}
	now = now.Add(time.Hour)
	at := now
	c.resolveURL(t, suiteURL+"/InRelease")
	now = now.Add(time.Hour)
	c.learnSuite(t, archiveURL, "dists/stable", gens[1])
	c.Describe(e.Digest)
	c.Shared(e.Digest)
	if _, err := c.Successors(suite, func(digest.Digest) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if !used().Equal(at) {
		t.Errorf("used at %v, want %v", used(), at)
	}
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	c = openCatalog(t, db, ring(t, key))
	if !used().Equal(at) {
		t.Errorf("after a restart, used at %v, want %v", used(), at)
	}
}

// Of the lists of patches the newest are those for who updated lately.
func TestPatches(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	gens := generations(key, 5)
	c := newCatalog(t, key)
	const list = "dists/stable/main/binary-amd64/Packages.diff/Index"
	g := c.learnSuite(t, archiveURL, "dists/stable", gens[4])
	patches := func(n int) (names []string) {
		all, err := c.Patches(at(t, suiteURL), g.ID, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			data := gens[4].File("dists/stable/main/binary-amd64/Packages.diff/" + e.Location.Name())
			if names = append(names, e.Location.Name()); digest.Of(data) != e.Digest || !e.Index || !e.Signed || e.Release != g.ID {
				t.Errorf("%+v", e)
			}
		}
		return names
	}
	if got := patches(9); got != nil {
		t.Errorf("before the list was learned: %v", got)
	}
	c.learnFile(t, archiveURL, list, gens[4])
	all := patches(9)
	if len(all) != 4 || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("all patches: %v", all)
	}
	if got := patches(2); len(all) == 4 && !slices.Equal(got, all[:2]) {
		t.Errorf("the newest two of %v: %v", all, got)
	}
	if got, err := c.Patches(at(t, suiteURL), digest.Digest{}, 2); err != nil || got != nil {
		t.Errorf("of no generation: %v, %v", got, err)
	}
}

// Held files count once, and empty ones, which all suites have, not at all.
func TestHeldOf(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	one, two := bytes.Repeat([]byte("1"), 100), bytes.Repeat([]byte("2"), 100)
	files := map[string][]byte{"a/Packages": one, "b/Packages": one, "c/Packages": two, "d/Packages": nil}
	if _, err := c.learnRelease(at(t, suiteURL), lists(files)); err != nil {
		t.Fatal(err)
	}
	for want, held := range []func(digest.Digest) bool{
		func(digest.Digest) bool { return false },
		func(d digest.Digest) bool { return d == digest.Of(one) || d == digest.Of(nil) },
		func(digest.Digest) bool { return true },
	} {
		if n, err := c.HeldOf(at(t, suiteURL), held); err != nil || n != want {
			t.Errorf("%d are in use (%v), want %d", n, err, want)
		}
	}
	if n, err := c.HeldOf(at(t, hostURL+"/other"), func(digest.Digest) bool { return true }); err != nil || n != 0 {
		t.Errorf("of an unknown suite, %d (%v)", n, err)
	}
}
