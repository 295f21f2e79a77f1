package load

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// The archive: many small packages, some of medium size and a few large ones.
const (
	small, medium, large = "small", "medium", "large"
	release              = "dists/stable/InRelease"
)

var kinds = []struct {
	name  string
	count int
	size  int
	newer int // how many of them a generation has new versions of
}{{small, 80, 60 << 10, 20}, {medium, 24, 1500 << 10, 6}, {large, 6, 9 << 20, 1}}

// archive is a signed archive at a mirror, of which new generations come out.
type archive struct {
	key    *aptest.Key
	keys   string // keyring directory
	mirror *aptest.Mirror
	all    *aptest.Archive

	mu         sync.Mutex // guards all below
	generation int
	present    map[string][]string          // paths by kind
	sums       map[string]map[[32]byte]bool // by path, of all generations that are kept
	older      [][]string                   // paths that the last generations replaced
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{
		key: aptest.NewKey("archive"), keys: t.TempDir(), mirror: aptest.NewMirror(t, aptest.MirrorOptions{}),
		present: make(map[string][]string), sums: make(map[string]map[[32]byte]bool),
	}
	a.all = aptest.NewArchive(a.key)
	if err := os.WriteFile(filepath.Join(a.keys, "archive.gpg"), a.key.Public(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		for i := range k.count {
			a.tell(k.name, a.add(k.name, i, k.size))
		}
	}
	a.publish()
	return a
}

// add puts a package's version of the next generation in the archive, and returns its
// path.
func (a *archive) add(kind string, i, size int) (path string) {
	name := fmt.Sprint(kind, i)
	a.all.Remove(name)
	f := a.all.Add(aptest.Package{Name: name, Version: fmt.Sprintf("1.%d-1", a.generation), Size: size + i*997})
	a.mu.Lock()
	defer a.mu.Unlock()
	path = "/debian/" + f.Path
	a.sums[path] = map[[32]byte]bool{sha256.Sum256(f.Data): true}
	return path
}

// tell has clients know of a package, instead of an older version.
func (a *archive) tell(kind, path string) (former string) {
	name, _, _ := strings.Cut(path[strings.LastIndex(path, "/"):], "_")
	a.mu.Lock()
	defer a.mu.Unlock()
	paths := a.present[kind]
	for at, p := range paths {
		if strings.Contains(p, name+"_") {
			former, paths[at] = p, path
			return former
		}
	}
	a.present[kind] = append(paths, path)
	return ""
}

// next publishes a generation with some new versions, of which clients know once learned
// returns. Files that are two generations old are deleted at the mirror, so that the
// test's own memory stays as it is.
func (a *archive) next(learned func(inRelease []byte)) {
	a.generation++
	added := make(map[string][]string)
	for _, k := range kinds {
		for n := range k.newer {
			added[k.name] = append(added[k.name], a.add(k.name, (a.generation*k.newer+n)%k.count, k.size))
		}
	}
	learned(a.publish())
	var replaced []string
	for kind, paths := range added {
		for _, path := range paths {
			replaced = append(replaced, a.tell(kind, path))
		}
	}
	a.mirror.ResetLog()
	a.mu.Lock()
	a.older = append(a.older, replaced)
	var gone []string
	if len(a.older) > 2 {
		gone, a.older = a.older[0], a.older[1:]
	}
	for _, path := range gone {
		delete(a.sums, path)
	}
	a.mu.Unlock()
	for _, path := range gone {
		a.mirror.Delete(path)
	}
}

// publish publishes what was added, and returns its Release file.
func (a *archive) publish() (inRelease []byte) {
	g := a.all.Publish(time.Now().Add(-time.Hour))
	a.mirror.Publish("/debian", g)
	a.mu.Lock()
	defer a.mu.Unlock()
	indices := []string{}
	for name, data := range g.Files() {
		path := "/debian/" + name
		if !strings.HasPrefix(name, "dists/") {
			continue
		}
		if a.sums[path] == nil || strings.Contains(name, "/by-hash/") {
			a.sums[path] = make(map[[32]byte]bool)
		}
		a.sums[path][sha256.Sum256(data)] = true
		if strings.HasPrefix(name, "dists/stable/main/binary-amd64/by-hash/SHA256/") {
			indices = append(indices, path)
		}
	}
	slices.Sort(indices)
	a.present["indices"] = indices
	return g.File(release)
}

// choose returns the path of a package of a kind, or of an index.
func (a *archive) choose(r *rand.Rand, kind string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	paths := a.present[kind]
	return paths[r.IntN(len(paths))]
}

// isRight reports whether a complete file is what the archive has, or had, at a path; of
// paths that are forgotten it is.
func (a *archive) isRight(path string, sum [32]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	sums, known := a.sums[path]
	return !known || sums[sum]
}
