package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/keyring"
)

func TestCheckRelease(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key, aptest.Suite{ValidFor: 24 * time.Hour})
	g := a.Publish(day)
	in, rel, sig := g.File("dists/stable/InRelease"), g.File("dists/stable/Release"), g.File("dists/stable/Release.gpg")
	c := newCatalog(t, key)
	dir := at(t, suiteURL)

	check := func(r ReleaseFiles) (Generation, error) {
		checked, err := c.CheckRelease(dir, r)
		if err != nil {
			return Generation{}, err
		}
		return checked.Generation, nil
	}
	gen, err := check(ReleaseFiles{InRelease: in})
	if err != nil || !gen.Signed || gen.Why != "" || gen.ID != digest.Of(in) || !gen.Signature.IsZero() || !gen.Date.Equal(day) ||
		!gen.ValidUntil.Equal(day.Add(24*time.Hour)) || gen.Files == 0 {
		t.Errorf("InRelease: %+v, %v", gen, err)
	}
	gen, err = check(ReleaseFiles{Release: rel, Signature: sig})
	if err != nil || !gen.Signed || gen.ID != digest.Of(rel) || gen.Signature != digest.Of(sig) {
		t.Errorf("Release with signature: %+v, %v", gen, err)
	}
	gen, err = check(ReleaseFiles{Release: rel})
	if err != nil || gen.Signed || gen.Why == "" {
		t.Errorf("Release alone: %+v, %v", gen, err)
	}
	for name, r := range map[string]ReleaseFiles{
		"nothing":             {},
		"portal as InRelease": {InRelease: []byte("<html>sign in</html>")},
		"portal as Release":   {Release: []byte("<html>sign in</html>")},
		"empty InRelease":     {InRelease: []byte{}},
	} {
		if gen, err := check(r); err == nil {
			t.Errorf("%s: %+v", name, gen)
		}
	}
	changed := bytes.Replace(in, []byte("Label: Test"), []byte("Label: Tost"), 1)
	if _, err := check(ReleaseFiles{InRelease: changed}); !errors.Is(err, keyring.ErrBadSignature) {
		t.Errorf("changed text: %v", err)
	}
	if _, err := c.learnRelease(dir, ReleaseFiles{InRelease: changed}); !errors.Is(err, keyring.ErrBadSignature) {
		t.Errorf("learning changed text: %v", err)
	}
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("checking left %+v", s)
	}
}

func TestLearnReleaseAgain(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	g := a.Publish(day)
	c := newCatalog(t, key)
	dir := at(t, suiteURL)
	rel, sig := g.File("dists/stable/Release"), g.File("dists/stable/Release.gpg")

	learn := func(r ReleaseFiles, signed bool) Generation {
		t.Helper()
		gen, err := c.learnRelease(dir, r)
		if err != nil || gen.Signed != signed {
			t.Fatalf("%+v, %v; want signed %v", gen, err, signed)
		}
		return gen
	}
	first := learn(ReleaseFiles{Release: rel}, false)
	rows := countRows(t, c)
	// The signature comes later, and is not forgotten when Release is seen alone.
	second := learn(ReleaseFiles{Release: rel, Signature: sig}, true)
	third := learn(ReleaseFiles{Release: rel}, true)
	if second != third || second.Learned != first.Learned || second.ID != first.ID {
		t.Errorf("%+v, then %+v, then %+v", first, second, third)
	}
	if got := countRows(t, c); got != rows || c.Stats().Tables != 1 {
		t.Errorf("%d rows became %d, %+v", rows, got, c.Stats())
	}
	if got, ok := c.Generation(dir, digest.Digest{}); !ok || got != third {
		t.Errorf("current: %+v, %v", got, ok)
	}
	if _, ok := c.Generation(dir.Dir(), digest.Digest{}); ok {
		t.Error("a generation of no suite")
	}
}

// A key added later makes the very same InRelease signed.
func TestLearnReleaseNewKey(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key, aptest.Suite{Compressions: []string{"xz"}})
	g := a.Publish(day)
	c := newCatalog(t)
	if gen := c.learnSuite(t, archiveURL, "dists/stable", g); gen.Signed {
		t.Errorf("without a key: %+v", gen)
	}
	c.keyring = ring(t, key)
	c = reopen(t, c)
	changed := c.Changed()
	if gen := c.learnSuite(t, archiveURL, "dists/stable", g); !gen.Signed || gen.Why != "" {
		t.Errorf("with the key: %+v", gen)
	}
	<-changed
	const file = "dists/stable/main/binary-amd64/Release"
	c.wantContent(t, archiveURL+"/"+file, g.File(file), true)
}

// A client in the middle of an update continues with the generation it was
// served; dropped generations leave nothing behind; and the number of rows is
// bounded however many generations there have been.
func TestGenerations(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	a := aptest.NewArchive(nil, aptest.Suite{NoPDiffs: true, Compressions: []string{"xz"}})
	c := trusting(t)
	c.bounds.past = 0
	now := day
	c.now = func() time.Time { return now }
	dir := at(t, suiteURL)

	type published struct {
		*aptest.Generation
		id  digest.Digest
		deb aptest.File
	}
	var all []published
	var most int
	for i := range 20 {
		a.Remove("hello")
		deb := a.Add(aptest.Package{Name: "hello", Version: fmt.Sprint(i)})
		g := a.Publish(now)
		gen := c.learnSuite(t, archiveURL, "dists/stable", g)
		c.learnFile(t, archiveURL, index, g)
		all = append(all, published{g, gen.ID, deb})
		now = now.Add(10 * time.Minute)
		if err := c.expire(); err != nil {
			t.Fatal(err)
		}
		c.sweep(t.Context())
		if i == 5 {
			most = countRows(t, c)
		}
	}
	if got := countRows(t, c); got != most || c.Stats().Tables != 2*(1+maxEarlier) {
		t.Errorf("after 20 generations %d rows, after 6 %d; %+v", got, most, c.Stats())
	}

	kept := all[len(all)-1-maxEarlier:]
	for i, p := range kept {
		pin := func(suite Location) digest.Digest {
			if suite != dir {
				t.Errorf("asked for the pin of %s", suite)
			}
			return p.id
		}
		e := c.Resolve(t.Context(), at(t, archiveURL+"/"+index), pin)
		if e.Digest != digest.Of(p.File(index)) || e.Release != p.id {
			t.Errorf("pinned to generation %d: %+v", i, e)
		}
		// Its packages are known whatever generation the client has.
		c.wantContent(t, archiveURL+"/"+p.deb.Path, p.deb.Data, true)
		if g, ok := c.Generation(dir, p.id); !ok || g.ID != p.id {
			t.Errorf("generation %d: %+v, %v", i, g, ok)
		}
	}
	current := kept[len(kept)-1]
	gone := func(Location) digest.Digest { return all[0].id }
	if e := c.Resolve(t.Context(), at(t, archiveURL+"/"+index), gone); e.Release != current.id {
		t.Errorf("pinned to one that is gone: %+v", e)
	}
	c.wantUnknown(t, archiveURL+"/"+all[0].deb.Path)

	// After an hour only the current one is left.
	now = now.Add(keepEarlier)
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	c.sweep(t.Context())
	if s, paths := c.Stats(), countKeys(t, c, keyPath); s.Tables != 2 || int64(paths) != s.Rows || countKeys(t, c, keyDigest) > paths {
		t.Errorf("an hour later: %+v, %d rows", s, countRows(t, c))
	}
}

// The same path with another content in two generations: each client gets the
// one that its index names.
func TestGenerationsPool(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	dir := at(t, suiteURL)
	pool := at(t, archiveURL+"/pool/a.deb")
	var ids, sums []digest.Digest
	for i := range 3 {
		data := []byte{byte(i)}
		text := fmt.Appendf(nil, "Package: a\nFilename: pool/a.deb\nSize: 1\nSHA256: %s\n", digest.Of(data))
		if err := c.learnText(t, "main/binary-amd64/Packages", text, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		gen, _ := c.Generation(dir, digest.Digest{})
		ids, sums = append(ids, gen.ID), append(sums, digest.Of(data))
	}
	for i, id := range ids {
		if e := c.Resolve(t.Context(), pool, func(Location) digest.Digest { return id }); e.Digest != sums[i] {
			t.Errorf("generation %d: %+v", i, e)
		}
	}
	if e := c.Resolve(t.Context(), pool, nil); e.Digest != sums[2] {
		t.Errorf("without a pin: %+v", e)
	}
}

// An earlier generation is kept for as long as it is all that is known of the
// pool.
func TestGenerationsUncovered(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	a := aptest.NewArchive(nil, aptest.Suite{NoPDiffs: true, Compressions: []string{"xz"}})
	deb := a.Add(aptest.Package{Name: "hello", Version: "1"})
	c := trusting(t)
	now := day
	c.now = func() time.Time { return now }
	first := a.Publish(now)
	c.learnSuite(t, archiveURL, "dists/stable", first)
	c.learnFile(t, archiveURL, index, first)
	var last *aptest.Generation
	for range 5 {
		now = now.Add(2 * keepEarlier)
		a.Add(aptest.Package{Name: "new", Version: fmt.Sprint(now.Unix())})
		last = a.Publish(now)
		c.learnSuite(t, archiveURL, "dists/stable", last)
		if err := c.expire(); err != nil {
			t.Fatal(err)
		}
	}
	c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, true)
	c.learnFile(t, archiveURL, index, last)
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	c.wantContent(t, archiveURL+"/"+deb.Path, deb.Data, true)
	// That one has been dropped; the last but one was superseded just now.
	if gens := c.state.Load().suites[at(t, suiteURL)].gens; len(gens) != 2 || gens[1].Superseded != now {
		t.Errorf("%d generations", len(gens))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	now := day
	c.now = func() time.Time { now = now.Add(time.Second); return now }
	learn := func(base, suite string) {
		t.Helper()
		if _, err := c.learnRelease(at(t, base+"/dists/"+suite), lists(map[string][]byte{suite: []byte(base)})); err != nil {
			t.Fatal(err)
		}
	}
	known := func(base, suite string) bool {
		_, ok := c.Generation(at(t, base+"/dists/"+suite), digest.Digest{})
		return ok
	}
	c.bounds.suites = 3
	for _, suite := range []string{"one", "two", "three"} {
		learn(archiveURL, suite)
	}
	c.resolveURL(t, archiveURL+"/dists/one/x") // used later than the others
	changed := c.Changed()
	learn(archiveURL, "four")
	<-changed
	if !known(archiveURL, "one") || known(archiveURL, "two") || !known(archiveURL, "three") || !known(archiveURL, "four") {
		t.Errorf("suites %+v", c.Suites())
	}
	c.bounds.archives = 1
	learn("http://archive.example.org/other", "five")
	if s := c.Stats(); s.Archives != 1 || s.Suites != 1 || !known("http://archive.example.org/other", "five") {
		t.Errorf("%+v", s)
	}
	c.bounds = bounds{archives: maxArchives, suites: maxSuites, rows: 2}
	learn(archiveURL, "six")
	learn(archiveURL, "seven")
	if s := c.Stats(); s.Rows != 2 || known("http://archive.example.org/other", "five") {
		t.Errorf("%+v", s)
	}
	c.sweep(t.Context())
	if n := countRows(t, c); n != 4 {
		t.Errorf("%d rows are left of 2", n)
	}
	// What was forgotten stays so.
	again := reopen(t, c)
	if got, want := again.Stats(), c.Stats(); got != want {
		t.Errorf("after a restart %+v, want %+v", got, want)
	}
}

func TestSuites(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil)
	a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
	g := a.Publish(day)
	c := trusting(t)
	c.learnSuite(t, mirrorURL, "dists/stable", g)
	gen := c.learnSuite(t, archiveURL, "dists/stable", g)
	const index = "main/binary-amd64/Packages.xz"
	c.learnFile(t, archiveURL, "dists/stable/"+index, g)
	all := c.Suites()
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	s := all[0]
	if s.Location.String() != suiteURL || s.Origin != "Test" || s.Label != "Test" || s.Suite != "stable" || s.Codename != "stable-codename" ||
		s.Current != gen || s.Earlier != 0 || len(s.Indices) != 1 || s.Indices[0] != (IndexInfo{index, 1}) {
		t.Errorf("%+v", s)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	text := []byte(onePackage)
	if err := c.learnText(t, "main/binary-amd64/Packages", text, bytes.NewReader(text[1:])); err == nil {
		t.Error("learned a damaged index")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
