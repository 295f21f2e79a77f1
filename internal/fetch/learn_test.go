package fetch

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// bigWindow are indices, as they come, that need a dictionary of 64 MiB each.
func bigWindow(t *testing.T, n int) [][]byte {
	t.Helper()
	const window = 64 << 20
	text := []byte("Package: a\n" + strings.Repeat(strings.Repeat("x", 1<<10)+": y\n", window>>10) + "\n")
	var all [][]byte
	for i := range n {
		b := bytes.NewBuffer(bytes.Clone(text))
		for j := range 16000 { // much more than is held back
			d := digest.Of(fmt.Append(nil, i, j))
			fmt.Fprintf(b, "Package: p\nFilename: pool/%d-%d.deb\nSize: 1\nSHA256: %s\n\n", i, j, d)
		}
		all = append(all, aptest.Zstd(b.Bytes(), window))
	}
	return all
}

// evil publishes indices of an archive that nobody vouches for, and returns their
// paths.
func (r *rig) evil(indices [][]byte) (paths []string) {
	r.t.Helper()
	var b strings.Builder
	b.WriteString("Suite: evil\nDate: Sun, 01 Mar 2026 08:00:00 UTC\nSHA256:\n")
	const dir = "evil/dists/evil/"
	for i, data := range indices {
		p := fmt.Sprintf("c%d/binary-amd64/Packages.zst", i)
		fmt.Fprintf(&b, " %s %d %s\n", digest.Of(data), len(data), p)
		r.mirror.Put("/debian/"+dir+p, data, time.Now().Add(-time.Hour))
		paths = append(paths, dir+p)
	}
	r.mirror.Put("/debian/"+dir+"Release", []byte(b.String()), time.Now().Add(-time.Hour))
	if _, _, err := r.read(dir + "Release"); err != nil {
		r.t.Fatal(err)
	}
	return paths
}

// Indices that drip take no memory but a file on disk, and hold up nobody. They are
// learned when they are there.
func TestIndicesThatDrip(t *testing.T) {
	r := newRig(t, aptest.Suite{})
	indices := bigWindow(t, 8)
	paths := r.evil(indices)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	drip := r.mirror.Inject("/debian/evil/*/Packages.zst", aptest.Stall(int64(len(indices[0])-(20<<10))))
	var clients []io.Closer
	for _, p := range paths {
		f, err := r.get(t.Context(), p, digest.Digest{})
		must(t, err)
		_, err = io.CopyN(io.Discard, f.Body, 64<<10)
		must(t, err)
		clients = append(clients, f.Body)
	}
	r.update()
	r.want(r.packageAt("small"), r.files["small"].Data)
	if s := r.Stats(); s.Learned != 1 {
		t.Errorf("%d indices are learned, want the one of the signed archive", s.Learned)
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	if grown := (int64(now.HeapAlloc) - int64(before.HeapAlloc)) >> 20; grown > 100 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
	drip.Release()
	for _, c := range clients {
		c.Close()
	}
	for i, p := range paths {
		r.want(p, indices[i])
		must(t, r.learned(t.Context(), digest.Of(indices[i])))
		e := r.catalog.Resolve(t.Context(), r.at(fmt.Sprintf("evil/pool/%d-1.deb", i)), nil)
		if e.Kind != catalog.Content {
			t.Errorf("%+v, want a file that the index lists", e)
		}
	}
}

// A bomb is not read again by the next client.
func TestBombIsReadOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	bad := []byte("<html>\nsign in\n")
	p := r.evil([][]byte{bad})[0]
	for range 3 {
		r.want(p, bad)
		must(t, r.learned(t.Context(), digest.Of(bad)))
	}
	if n := r.Stats().LearnFaults; n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}
