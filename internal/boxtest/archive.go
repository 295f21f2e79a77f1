package boxtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// base is where the mirror has the archive.
const base = "/debian"

// Archive is a signed archive and a mirror of it on loopback.
type Archive struct {
	*aptest.Archive
	Key    *aptest.Key
	Keys   string // a directory with Key alone, for MILLPOND_KEYRING_DIR
	Mirror *aptest.Mirror
	Files  map[string]aptest.File // of what AddPackage added, by package
}

// NewArchive makes an archive without packages, which the mirror does not have
// before Release. Without suites it has the usual one.
func NewArchive(tb testing.TB, o aptest.MirrorOptions, suites ...aptest.Suite) *Archive {
	tb.Helper()
	key := aptest.NewKey("archive")
	a := &Archive{
		Archive: aptest.NewArchive(key, suites...), Key: key, Keys: tb.TempDir(), Mirror: aptest.NewMirror(tb, o),
		Files: make(map[string]aptest.File),
	}
	if err := os.WriteFile(filepath.Join(a.Keys, "archive.gpg"), key.Public(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return a
}

// AddPackage adds version 1.0-1 of a package whose file has about size bytes.
func (a *Archive) AddPackage(name string, size int) aptest.File {
	f := a.Add(aptest.Package{Name: name, Version: "1.0-1", Size: size})
	a.Files[name] = f
	return f
}

// Release publishes the archive as it is now, with a Release of that date, as
// the mirror's next generation.
func (a *Archive) Release(date time.Time) *aptest.Generation {
	g := a.Publish(date)
	a.Mirror.Publish(base, g)
	return g
}

// URL is that of a file of the archive on the mirror: a File's Path, or
// "dists/stable/InRelease".
func (a *Archive) URL(path string) string { return a.Mirror.URL(base + "/" + path) }
