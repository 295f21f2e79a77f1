package catalog

import (
	"bytes"
	"context"
	"io"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

const suiteURL = archiveURL + "/dists/stable"

func TestResolveHeads(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := newCatalog(t, key)
	pinned := digest.Of([]byte("pin"))
	pin := func(suite Location) digest.Digest {
		if suite.String() == suiteURL {
			return pinned
		}
		return digest.Digest{}
	}
	// A file of that name beneath, which Debian's Release lists, is content, and
	// before that Release was learned no Release file either.
	const beneath = "dists/stable/main/binary-amd64/Release"
	for _, name := range []string{beneath, "dists/stable/main/source/Release"} {
		if e := c.Resolve(t.Context(), at(t, archiveURL+"/"+name), pin); e.Kind != Unknown {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for range 2 { // before and after it was learned
		for _, name := range []string{"InRelease", "Release", "Release.gpg"} {
			e := c.Resolve(t.Context(), at(t, suiteURL+"/"+name), pin)
			if e.Kind != ReleaseFile || e.Suite.String() != suiteURL || e.Release != pinned {
				t.Errorf("%s: %+v", name, e)
			}
		}
		c.learnSuite(t, archiveURL, "dists/stable", g)
	}
	e := c.wantContent(t, archiveURL+"/"+beneath, g.File(beneath), true)
	if e.Index || e.Suite.String() != suiteURL {
		t.Errorf("%+v", e)
	}
}

// To a client that has another generation the names in a Release stand for files
// that the catalog does not know; names by hash stand for what they always do.
func TestResolveForAnotherGeneration(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key)
	a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	c := newCatalog(t, key)
	c.learnSuite(t, archiveURL, "dists/stable", g)
	another := func(Location) digest.Digest { return OtherGeneration }
	const index = "main/binary-amd64/Packages.xz"
	if e := c.Resolve(t.Context(), at(t, suiteURL+"/"+index), another); e.Kind != Unknown {
		t.Errorf("by name: %+v", e)
	}
	d := digest.Of(g.File("dists/stable/" + index))
	byHash := suiteURL + "/main/binary-amd64/by-hash/SHA256/" + d.String()
	if e := c.Resolve(t.Context(), at(t, byHash), another); e.Kind != Content || e.Digest != d {
		t.Errorf("by hash: %+v", e)
	}
}

// Everything that a Release lists, and everything in the pool, is known, by
// its name and by-hash.
func TestResolveEverything(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key, aptest.Suite{Name: "stable/updates", Components: []string{"main", "contrib"}, Compressions: []string{"", "xz"}})
	a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	a.Add(aptest.Package{Name: "g++", Version: "1:12~rc1+b1", Component: "contrib", Arch: "amd64"})
	a.Add(aptest.Package{Name: "partman", Version: "1", Udeb: true, Arch: "amd64"})
	a.AddSource(aptest.Source{Name: "hello", Version: "1.0-1"})
	g := a.Publish(day)
	c := newCatalog(t, key)
	const dir = "dists/stable/updates"
	gen := c.learnSuite(t, archiveURL, dir, g)
	for _, p := range g.Paths() {
		if k, _ := indexKind(p); k != noIndex && path.Ext(p) == ".xz" && strings.HasPrefix(p, dir+"/") {
			// Empty indices of the same kind are one table.
			if e := c.resolveURL(t, archiveURL+"/"+p); e.Index {
				c.learnFile(t, archiveURL, p, g)
			}
		}
	}
	for p, data := range g.Files() {
		if strings.HasPrefix(p, "dists/") && !strings.HasPrefix(p, dir+"/") || path.Dir(p) == dir {
			continue // the other name of the suite, and Release files
		}
		e := c.wantContent(t, archiveURL+"/"+p, data, true)
		if e.Index {
			t.Errorf("%s is wanted still", p)
		}
		if inSuite := strings.HasPrefix(p, dir); inSuite != (e.Release == gen.ID) || inSuite != (e.Suite.String() == archiveURL+"/"+dir) {
			t.Errorf("%s is of suite %s, generation %s", p, e.Suite, e.Release.Short())
		}
	}
	if c.Stats().Archives != 1 {
		t.Errorf("%+v", c.Stats())
	}
}

func TestResolveByHash(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil)
	a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
	g := a.Publish(day)
	c := trusting(t)
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	data := g.File(index)
	byHash := archiveURL + "/dists/stable/main/binary-amd64/by-hash/SHA256/" + digest.Of(data).String()

	e := c.resolveURL(t, byHash)
	if e.Kind != Content || e.Digest != digest.Of(data) || e.Size != -1 || e.Signed || e.Index {
		t.Errorf("before its Release: %+v", e)
	}
	gen := c.learnSuite(t, archiveURL, "dists/stable", g)
	e = c.wantContent(t, byHash, data, true)
	if !e.Index || e.Release != gen.ID || e.Suite.String() != suiteURL {
		t.Errorf("after its Release: %+v", e)
	}
	if got := c.Mirrors(e); len(got) != 2 || got[0] != e.Location || got[1] != at(t, archiveURL+"/"+index) {
		t.Errorf("mirrors %v", got)
	}
	if got := c.Mirrors(c.resolveURL(t, archiveURL+"/"+index)); len(got) != 2 || got[0].String() != byHash {
		t.Errorf("mirrors by name %v", got)
	}
	if err := c.LearnIndex(t.Context(), e, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if e := c.wantContent(t, byHash, data, true); e.Index {
		t.Error("still wanted")
	}
	// Listed, but asked at another suite's place.
	if e := c.wantContent(t, strings.Replace(byHash, "stable", "other", 1), data, true); e.Index || e.Suite != (Location{}) {
		t.Errorf("in another suite: %+v", e)
	}
	sum := path.Base(byHash)
	for _, url := range []string{
		suiteURL + "/main/by-hash/MD5Sum/" + sum[:32],
		suiteURL + "/main/by-hash/SHA1/" + sum[:40],
		suiteURL + "/main/by-hash/SHA224/" + sum[:56],
		suiteURL + "/main/by-hash/SHA512/" + sum + sum,
		suiteURL + "/main/by-hash/SHA256/" + sum[1:],
		suiteURL + "/main/by-hash/SHA256/" + strings.ToUpper(sum),
		suiteURL + "/main/by-hash/SHA256/" + sum + "/x",
		byHash + "/", byHash + "?x", suiteURL + "/InRelease?x", suiteURL + "/InRelease/",
	} {
		c.wantUnknown(t, url)
	}
}

// Weak and unsigned archives are cached, never shared.
func TestResolveUnshared(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	for _, tc := range []struct {
		name  string
		key   *aptest.Key
		suite aptest.Suite
		kind  Kind
		why   string
	}{
		{"unsigned", nil, aptest.Suite{}, Content, "no signature"},
		{"unknown key", aptest.NewKey("stranger"), aptest.Suite{}, Content, "key"},
		{"unknown key, detached", aptest.NewKey("stranger"), aptest.Suite{NoInRelease: true}, Content, "key"},
		{"weak", key, aptest.Suite{Hashes: []string{"MD5Sum", "SHA1"}}, Unknown, "MD5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := aptest.NewArchive(tc.key, tc.suite)
			a.Add(aptest.Package{Name: "hello", Version: "1.0"})
			g := a.Publish(day)
			c := newCatalog(t, key)
			gen := c.learnSuite(t, archiveURL, "dists/stable", g)
			if gen.Signed || !strings.Contains(gen.Why, tc.why) {
				t.Errorf("%+v, want unsigned because of %q", gen, tc.why)
			}
			const index = "dists/stable/main/binary-amd64/Packages.xz"
			e := c.resolveURL(t, archiveURL+"/"+index)
			if e.Kind != tc.kind || e.Signed || e.Index != (tc.kind == Content) {
				t.Errorf("%+v", e)
			}
			if _, with := c.Shared(digest.Of(g.File(index))); with != WithNobody {
				t.Error("shared")
			}
			if !c.Known(e.Location) {
				t.Error("its archive is not known")
			}
		})
	}
}

// A file that an unsigned archive lists is shared if a signed one lists it too.
func TestResolveSignedElsewhere(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	a.Add(aptest.Package{Name: "more", Version: "1.0"})
	other := a.Publish(day.Add(time.Hour))
	c := trusting(t)
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	c.learnSuite(t, mirrorURL, "dists/stable", g)
	c.learnFile(t, mirrorURL, index, g)
	c.wantContent(t, mirrorURL+"/"+deb.Path, deb.Data, false)

	changed := c.Changed()
	c.learnSuite(t, archiveURL, "dists/stable", other)
	c.learnFile(t, archiveURL, index, other)
	select {
	case <-changed:
	default:
		t.Error("no change of what is shared was told")
	}
	c.wantContent(t, mirrorURL+"/"+deb.Path, deb.Data, true)
	// An unsigned archive of another host is no mirror of a signed one.
	e := c.resolveURL(t, archiveURL+"/"+deb.Path)
	if got := c.Mirrors(e); len(got) != 1 || got[0] != e.Location {
		t.Errorf("mirrors %v", got)
	}
}

func TestResolveWaits(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil)
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	const index = "dists/stable/main/binary-amd64/Packages.gz"
	c := trusting(t)
	c.learnWait = time.Hour
	c.learnSuite(t, archiveURL, "dists/stable", g)
	e := c.resolveURL(t, archiveURL+"/"+index)
	done := c.BeginLearning(e)
	c.Await(e)

	// What is known, what is of another archive, and whoever gives up do not
	// wait.
	c.wantContent(t, archiveURL+"/"+index, g.File(index), true)
	c.wantUnknown(t, mirrorURL+"/"+deb.Path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := c.Resolve(ctx, at(t, archiveURL+"/"+deb.Path), nil); e.Kind != Unknown {
		t.Errorf("%+v", e)
	}

	got := make(chan Entry)
	for range 4 {
		go func() { got <- c.Resolve(t.Context(), at(t, archiveURL+"/"+deb.Path), nil) }()
	}
	r, w := io.Pipe()
	learned := make(chan error)
	go func() { learned <- c.LearnIndex(t.Context(), e, r) }()
	if _, err := w.Write(g.File(index)); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-got:
		t.Fatalf("did not wait: %+v", e)
	default:
	}
	w.Close()
	for range 4 {
		if e := <-got; e.Digest != digest.Of(deb.Data) {
			t.Errorf("%+v", e)
		}
	}
	if err := <-learned; err != nil {
		t.Fatal(err)
	}
	missing := make(chan Entry)
	go func() { missing <- c.Resolve(t.Context(), at(t, archiveURL+"/pool/none.deb"), nil) }()
	done()
	done()
	if e := <-missing; e.Kind != Unknown {
		t.Errorf("%+v", e)
	}
	if r := &c.learning; r.waits.Load() != 0 || len(r.reaches)+len(r.digests)+r.all.n != 0 {
		t.Error("something is still said to be learned")
	}
}

func TestResolveWaitEnds(t *testing.T) {
	t.Parallel()
	c := trusting(t)
	c.learnWait = time.Millisecond
	dir := at(t, suiteURL)
	e := Entry{Kind: Content, Suite: dir}
	defer c.BeginLearning(e)()
	c.Await(e)
	c.wantUnknown(t, archiveURL+"/pool/none.deb")
}

// Readers go on while the catalog learns, and never see half an index.
func TestResolveConcurrently(t *testing.T) {
	t.Parallel()
	a := aptest.NewArchive(nil, aptest.Suite{NoPDiffs: true, Compressions: []string{"gz"}})
	first, last := a.Add(aptest.Package{Name: "aaa", Version: "1.0"}), a.Add(aptest.Package{Name: "zzz", Version: "1.0"})
	const index = "dists/stable/main/binary-amd64/Packages.gz"
	c := trusting(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				one := c.Resolve(t.Context(), at(t, archiveURL+"/"+first.Path), nil)
				two := c.Resolve(t.Context(), at(t, archiveURL+"/"+last.Path), nil)
				if one.Kind == Content && two.Kind != Content {
					t.Error("half an index is visible")
				}
				c.Shared(one.Digest)
				c.Mirrors(two)
				c.Suites()
			}
		})
	}
	for i := range 5 {
		a.Add(aptest.Package{Name: "more", Version: string(rune('1' + i))})
		g := a.Publish(day.Add(time.Duration(i) * time.Hour))
		c.learnSuite(t, archiveURL, "dists/stable", g)
		c.learnFile(t, archiveURL, index, g)
		c.sweep(t.Context())
	}
	close(stop)
	readers.Wait()
}
