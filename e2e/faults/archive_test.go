package faults

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// archive is a signed archive on a mirror, of which a new generation comes out now and
// then, and what a client may be given for each of its files.
type archive struct {
	*aptest.Archive
	mirror *aptest.Mirror
	key    *aptest.Key

	added int // packages

	mu     sync.Mutex                     // guards all below
	right  map[string]map[[32]byte]bool   // by path: the SHA-256 of what it had in any generation
	files  map[string]map[string][32]byte // by what it is: path to SHA-256, of the present generation
	recent []string                       // packages that came with the present generation
	now    *aptest.Generation             // the present one
}

// What a file is to clients.
const (
	releases = "releases"
	indices  = "indices"
	packages = "packages"
)

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{key: aptest.NewKey("archive"), right: make(map[string]map[[32]byte]bool)}
	a.mirror = aptest.NewMirror(t, aptest.MirrorOptions{})
	a.Archive = aptest.NewArchive(a.key)
	return a
}

// start starts a box that takes the archive for a signed one.
func (a *archive) start(t *testing.T, settings ...string) *box.Box {
	t.Helper()
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), a.key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	return box.Start(t, append(settings, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8", "MILLPOND_INDEX_TTL=200ms")...)
}

// add puts packages of 10 kB to most bytes in the next generation, small ones more
// often.
func (a *archive) add(r *rand.Rand, n int, most float64) {
	const least = 10e3
	for range n {
		a.added++
		size := least * math.Pow(most/least, r.Float64())
		a.Add(aptest.Package{Name: fmt.Sprint("package", a.added), Version: "1.0-1", Size: int(size)})
	}
}

// publish publishes the next generation.
func (a *archive) publish() {
	g := a.Publish(time.Now().Add(-24 * time.Hour))
	a.mirror.Publish("/debian", g)
	a.mu.Lock()
	defer a.mu.Unlock()
	former := a.files[packages]
	a.files = map[string]map[string][32]byte{releases: {}, indices: {}, packages: {}}
	a.recent, a.now = nil, g
	for path, data := range g.Files() {
		kind := kindOf(path)
		if kind == "" {
			continue
		}
		path = "/debian/" + path
		sum, known := former[path]
		if !known {
			sum = sha256.Sum256(data)
		}
		a.files[kind][path] = sum
		if a.right[path] == nil {
			a.right[path] = make(map[[32]byte]bool)
		}
		a.right[path][sum] = true
		if kind == packages && !known {
			a.recent = append(a.recent, path)
		}
	}
}

// kindOf returns what a file is, "" for one that is not asked for.
func kindOf(path string) string {
	switch {
	case strings.HasSuffix(path, ".deb"):
		return packages
	case path == "dists/stable/InRelease":
		return releases
	case strings.HasPrefix(path, "dists/stable/main/binary-amd64/by-hash/SHA256/"):
		return indices
	}
	return ""
}

// choose returns the path of a file that a client asks for.
func (a *archive) choose(r *rand.Rand) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := packages
	switch r.IntN(10) {
	case 0:
		kind = releases
	case 1:
		kind = indices
	case 2, 3, 4, 5, 6:
		if len(a.recent) > 0 {
			return a.recent[r.IntN(len(a.recent))]
		}
	}
	all := a.files[kind]
	skip := r.IntN(len(all))
	for path := range all {
		if skip--; skip < 0 {
			return path
		}
	}
	return ""
}

// isRight reports whether that is what a path has, or had before.
func (a *archive) isRight(path string, sum [32]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.right[path][sum]
}
