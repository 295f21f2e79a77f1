package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// learnIndexOf learns a Release of the suite in dir that lists one index, and the index.
func (c *Catalog) learnIndexOf(tb testing.TB, dir string, text []byte, keys ...*aptest.Key) error {
	tb.Helper()
	files := lists(map[string][]byte{oneIndex: text})
	if len(keys) > 0 {
		files = ReleaseFiles{InRelease: aptest.Clearsign(files.Release, day, keys...)}
	}
	if _, err := c.learnRelease(at(tb, dir), files); err != nil {
		tb.Fatal(err)
	}
	e := c.resolveURL(tb, dir+"/"+oneIndex)
	if !e.Index {
		tb.Fatalf("%+v, want an index to be read", e)
	}
	return c.LearnIndex(tb.Context(), e, bytes.NewReader(text))
}

func (c *Catalog) knows(tb testing.TB, dir string) bool {
	_, ok := c.Generation(at(tb, dir), digest.Digest{})
	return ok
}

// However many archives somebody has the box ask for, on one host or on many of one
// domain, signed or not, those that clients use stay.
func TestFloodOfArchives(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	now := day
	c.now = func() time.Time { return now }
	const own = "http://own.example.net/debian/dists/stable"
	for _, err := range []error{c.learnIndexOf(t, suiteURL, pack(1, 1), key), c.learnIndexOf(t, own, pack(2, 1))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(30 * time.Minute)
	evil := lists(map[string][]byte{oneIndex: []byte("x")})
	signed := ReleaseFiles{InRelease: aptest.Clearsign(evil.Release, day, key)}
	for i := range maxArchives + 76 {
		for _, flood := range []struct {
			dir   string
			files ReleaseFiles
		}{
			{fmt.Sprintf("http://evil.example.com/%d/dists/s", i), evil},
			{fmt.Sprintf("http://%d.evil.example.org/dists/s", i), evil},
			{fmt.Sprintf("http://snapshot.example.org/%d/dists/s", i), signed},
		}[i%3 : i%3+1] {
			if _, err := c.learnRelease(at(t, flood.dir), flood.files); err != nil {
				t.Fatal(err)
			}
			c.resolveURL(t, flood.dir+"/InRelease")
		}
	}
	if n := c.Stats().Archives; n != maxArchives {
		t.Errorf("%d archives are known, want %d", n, maxArchives)
	}
	for _, dir := range []string{suiteURL, own} {
		if !c.knows(t, dir) {
			t.Errorf("%s, which clients use, is forgotten", dir)
		}
	}
	// A restart changes nothing about that.
	again := reopen(t, c)
	again.bounds.archives = 3
	if _, err := again.learnRelease(at(t, "http://evil.example.com/last/dists/s"), evil); err != nil {
		t.Fatal(err)
	}
	if !again.knows(t, suiteURL) || !again.knows(t, own) || again.Stats().Archives != 3 {
		t.Errorf("after a restart other suites are kept: %+v", again.Stats())
	}
}

// Of suites that were used the same, those go first whose clients came back less, and
// what no key vouches for.
func TestUseDecidesWhatIsKept(t *testing.T) {
	t.Parallel()
	c := newCatalog(t)
	now := day
	c.now = func() time.Time { return now }
	const often, once = "http://often.example.net/dists/s", "http://once.example.com/dists/s"
	for i, dir := range []string{often, once} {
		if err := c.learnIndexOf(t, dir, pack(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(inUse)
	c.resolveURL(t, often+"/"+oneIndex)
	now = now.Add(inUse)
	if err := c.expire(); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, c)
	c.now = func() time.Time { return now }
	c.resolveURL(t, once+"/main") // used later, and found nothing
	c.bounds.suites = 2
	if err := c.learnIndexOf(t, "http://new.example.org/dists/s", pack(2, 1)); err != nil {
		t.Fatal(err)
	}
	if !c.knows(t, often) {
		t.Error("a suite that clients came back to is forgotten before others")
	}
}

// What nobody vouches for has its share of the rows, in all and under contention each
// archive the same; paths as long as they may be count for what they take.
func TestUnsignedRowsHaveAShare(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c := newCatalog(t, key)
	c.bounds.rows, c.bounds.unsigned = 1000, 250
	const own = "http://own.example.net/debian/dists/stable"
	for _, err := range []error{c.learnIndexOf(t, suiteURL, pack(1, 500), key), c.learnIndexOf(t, own, pack(2, 100))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		err := c.learnIndexOf(t, fmt.Sprintf("http://evil.example.com/%d/dists/s", i), pack(3+i, 140))
		if err != nil && !errors.Is(err, errNoRoom) {
			t.Error(err)
		}
		if s := c.state.Load(); s.unsigned > 250 || s.rows > 1000 {
			t.Fatalf("%d unsigned rows of %d", s.unsigned, s.rows)
		}
	}
	if err := c.learnIndexOf(t, "http://large.example.com/dists/s", pack(20, 251)); err == nil {
		t.Error("an index of more files than the share is learned")
	}
	var long bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&long, "Package: p\nFilename: %01000d\nSize: 3\nSHA256: %s\n\n", i, digest.Of([]byte("abc")))
	}
	const longURL = "http://long.example.com/dists/s"
	files := lists(map[string][]byte{"main/binary-amd64/Packages": long.Bytes()})
	if _, err := c.learnRelease(at(t, longURL), files); err != nil {
		t.Fatal(err)
	}
	if err := c.LearnIndex(t.Context(), c.resolveURL(t, longURL+"/main/binary-amd64/Packages"), &long); err == nil {
		t.Error("100 paths of 1,000 bytes count as 100 rows")
	}
	if e := c.resolveURL(t, archiveURL+"/"+bigPath(1, 7)); !e.Signed {
		t.Errorf("%+v, want signed content", e)
	}
	if e := c.resolveURL(t, "http://own.example.net/debian/"+bigPath(2, 7)); e.Kind != Content {
		t.Errorf("%+v, want content of the site's own archive", e)
	}
}
