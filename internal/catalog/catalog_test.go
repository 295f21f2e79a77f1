package catalog

import (
	"bytes"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The archive of most tests, and another mirror of it.
const (
	archiveURL = "http://archive.example.org/debian"
	mirrorURL  = "https://mirror.example.net/debian"
)

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// at parses a URL.
func at(tb testing.TB, url string) Location {
	tb.Helper()
	l, err := ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// openDB opens the database in dir until the test ends.
func openDB(tb testing.TB, dir string) *kv.DB {
	tb.Helper()
	db, err := kv.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// ring is a keyring with the public keys.
func ring(tb testing.TB, keys ...*aptest.Key) *keyring.Keyring {
	tb.Helper()
	dir := tb.TempDir()
	for _, k := range keys {
		if err := os.WriteFile(filepath.Join(dir, k.Fingerprint()+".gpg"), k.Public(), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	r, bad, err := keyring.Load(dir)
	if err != nil || len(bad) > 0 {
		tb.Fatal(err, bad)
	}
	return r
}

// openCatalog opens a catalog on db that knows the keys and trusts the hosts.
func openCatalog(tb testing.TB, db *kv.DB, k *keyring.Keyring, hosts ...string) *Catalog {
	tb.Helper()
	c, err := Open(Options{Table: db.Table("catalog"), Keyring: k, TrustHosts: hosts, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// newCatalog opens a catalog of its own that knows the keys.
func newCatalog(tb testing.TB, keys ...*aptest.Key) *Catalog {
	tb.Helper()
	return openCatalog(tb, openDB(tb, tb.TempDir()), ring(tb, keys...))
}

// resolve resolves a URL for a client that was served nothing.
func (c *Catalog) resolveURL(tb testing.TB, url string) Entry {
	tb.Helper()
	return c.Resolve(tb.Context(), at(tb, url), nil)
}

// releaseFiles returns the InRelease of a suite, or what stands for it.
func releaseFiles(g *aptest.Generation, dir string) ReleaseFiles {
	files := g.Files()
	if in := files[path.Join(dir, "InRelease")]; in != nil {
		return ReleaseFiles{InRelease: in}
	}
	return ReleaseFiles{Release: files[path.Join(dir, "Release")], Signature: files[path.Join(dir, "Release.gpg")]}
}

// learnRelease checks and adopts a Release.
func (c *Catalog) learnRelease(dir Location, files ReleaseFiles) (Generation, error) {
	r, err := c.CheckRelease(dir, files)
	if err != nil {
		return Generation{}, err
	}
	return c.Adopt(r)
}

// learnSuite learns the Release of the suite in dir from a generation.
func (c *Catalog) learnSuite(tb testing.TB, base, dir string, g *aptest.Generation) Generation {
	tb.Helper()
	gen, err := c.learnRelease(at(tb, base).Join(dir), releaseFiles(g, dir))
	if err != nil {
		tb.Fatal(err)
	}
	return gen
}

// learnFile learns an index of a generation, which Resolve must want.
func (c *Catalog) learnFile(tb testing.TB, base, path string, g *aptest.Generation) {
	tb.Helper()
	e := c.resolveURL(tb, base+"/"+path)
	if !e.Index {
		tb.Fatalf("%s is not wanted: %+v", path, e)
	}
	if err := c.LearnIndex(tb.Context(), e, bytes.NewReader(g.File(path))); err != nil {
		tb.Fatal(err)
	}
}

// wantContent checks that a URL is content of these bytes.
func (c *Catalog) wantContent(tb testing.TB, url string, data []byte, signed bool) Entry {
	tb.Helper()
	e := c.resolveURL(tb, url)
	if e.Kind != Content || e.Digest != digest.Of(data) || e.Size != int64(len(data)) || e.Signed != signed {
		tb.Errorf("%s: got %+v, want content %s of %d bytes, signed %v", url, e, digest.Of(data).Short(), len(data), signed)
	}
	if size, with := c.Shared(digest.Of(data)); with > WithNobody != signed || signed && size != int64(len(data)) {
		tb.Errorf("%s: Shared gives %d, %v", url, size, with)
	}
	return e
}

func (c *Catalog) wantUnknown(tb testing.TB, url string) {
	tb.Helper()
	if e := c.resolveURL(tb, url); e.Kind != Unknown || e.Signed || e.Index {
		tb.Errorf("%s: got %+v, want unknown", url, e)
	}
}

// reopen opens another catalog on what c has on disk.
func reopen(tb testing.TB, c *Catalog) *Catalog {
	tb.Helper()
	again, err := Open(Options{Table: c.rows.kv, Keyring: c.keyring, Log: c.log})
	if err != nil {
		tb.Fatal(err)
	}
	return again
}
