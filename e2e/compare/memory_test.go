package compare

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/aptest"
)

// The box learns a million files: as many as all suites of two distributions
// have.
const (
	suites  = 20
	indexed = 50_000
)

func poolPath(suite, i int) string {
	return fmt.Sprintf("pool/main/p/p%d/p%d_1.%d-1_amd64.deb", i, i, suite)
}

// packages is an index of the usual length, packed.
func packages(b *testing.B, suite int) []byte {
	filler := bytes.Repeat([]byte("Depends: libc6 (>= 2.36), libgcc-s1 (>= 3.0), libstdc++6 (>= 12)\n"), 8)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	for i := range indexed {
		fmt.Fprintf(w, "Package: p%d\nVersion: 1.%d-1\nArchitecture: amd64\n%sFilename: %s\nSize: %d\nSHA256: %x\nDescription: a package\n\n",
			i, suite, filler, poolPath(suite, i), 1000+i, sha256.Sum256(fmt.Append(nil, suite, i)))
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return packed.Bytes()
}

// BenchmarkMillion takes the memory of a box that knows a million files.
func BenchmarkMillion(b *testing.B) {
	key := aptest.NewKey("archive")
	mirror := aptest.NewMirror(b, aptest.MirrorOptions{})
	const index = "main/binary-amd64/Packages.gz"
	now := time.Now().UTC().Truncate(time.Second)
	for s := range suites {
		data := packages(b, s)
		release := fmt.Appendf(nil, "Suite: suite%02d\nDate: %s\nSHA256:\n %x %d %s\n", s, now.Format("Mon, 02 Jan 2006 15:04:05 UTC"), sha256.Sum256(data), len(data), index)
		dir := fmt.Sprintf("/debian/dists/suite%02d/", s)
		mirror.Put(dir+"InRelease", aptest.Clearsign(release, now, key), now)
		mirror.Put(dir+index, data, now)
	}
	keys := b.TempDir()
	write(b, filepath.Join(keys, "archive.gpg"), string(key.Public()))
	m := box.Start(b, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr())
	base := "/" + mirror.Addr() + "/debian/"
	for b.Loop() {
		begun := time.Now()
		for s := range suites {
			m.Get(fmt.Sprintf("%sdists/suite%02d/InRelease", base, s))
			m.Get(fmt.Sprintf("%sdists/suite%02d/%s", base, s, index))
		}
		known := func() bool { return m.Summary().Known == suites*indexed }
		if err := poll.Until(b.Context(), 3*time.Minute, "all files are known", poll.That(known)); err != nil {
			b.Fatal(err)
		}
		tell := func(when string) { fmt.Printf("%-34s %s\n", when, residentTree(b, m.PID())) }
		tell(fmt.Sprintf("a million files learned in %.0f s", time.Since(begun).Seconds()))
		time.Sleep(30 * time.Second) // the runtime gives memory back little by little
		tell("30 s later")
		m.Stop()
		m.Run()
		tell("after a restart")
		begun = time.Now()
		const lookUps = 10_000
		for i := range lookUps {
			lookUp(b, m.URL+base+poolPath(i%suites, i*7919%indexed))
		}
		tell(fmt.Sprintf("after %d look-ups in %.1f s", lookUps, time.Since(begun).Seconds()))
		time.Sleep(30 * time.Second)
		tell("30 s later")
	}
}

// lookUp asks for a file that the catalog knows, and the mirror lacks.
func lookUp(b *testing.B, url string) {
	resp, err := http.Head(url)
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		b.Fatalf("HEAD of a missing file: %s", resp.Status)
	}
}
