package catalog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"millpond/internal/digest"
)

// benchRows is the number of packages of a distribution's largest index.
const benchRows = 63_440

// bigIndex writes a Packages file of n entries of about the usual length; seed
// makes its paths and digests differ from those of other seeds.
func bigIndex(w io.Writer, seed, n int) {
	filler := bytes.Repeat([]byte("Depends: libc6 (>= 2.36), libgcc-s1 (>= 3.0), libstdc++6 (>= 12)\n"), 8)
	for i := range n {
		fmt.Fprintf(w, "Package: p%d\nVersion: 1.%d-1\nArchitecture: amd64\nMaintainer: Test Archive <archive@example.org>\n", i, seed)
		w.Write(filler)
		fmt.Fprintf(w, "Filename: %s\nSize: %d\nSHA256: %s\nDescription: a package\n\n", bigPath(seed, i), 1000+i, digest.Of(fmt.Append(nil, seed, i)))
	}
}

func bigPath(seed, i int) string {
	return fmt.Sprintf("pool/main/p/p%d/p%d_1.%d-1_amd64.deb", i, i, seed)
}

// learnBig learns an index of a suite of its own.
func learnBig(tb testing.TB, c *Catalog, suite string, packed []byte) {
	tb.Helper()
	const name = "main/binary-amd64/Packages.gz"
	dir := at(tb, archiveURL+"/dists/"+suite)
	rel := fmt.Appendf(nil, "Date: Sun, 01 Mar 2026 08:00:00 UTC\nSHA256:\n %s %d %s\n", digest.Of(packed), len(packed), name)
	if _, err := c.learnRelease(dir, ReleaseFiles{Release: rel}); err != nil {
		tb.Fatal(err)
	}
	e := c.Resolve(tb.Context(), dir.Join(name), nil)
	if err := c.LearnIndex(tb.Context(), e, bytes.NewReader(packed)); err != nil {
		tb.Fatal(err)
	}
}

func pack(seed, n int) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	bigIndex(w, seed, n)
	_ = w.Close()
	return b.Bytes()
}

// BenchmarkLearn takes one index of 63,440 packages from its bytes to visible.
func BenchmarkLearn(b *testing.B) {
	packed := pack(0, benchRows)
	b.SetBytes(int64(len(packed)))
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		c := openCatalog(b, openDB(b, b.TempDir()), nil)
		before := cpuTime(b)
		b.StartTimer()
		learnBig(b, c, "stable", packed)
		used += cpuTime(b) - before
	}
	b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// cpuTime is what the process has used of the processors.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkResolve looks files up in a catalog of a million rows: 20 suites of
// one archive, each with an index.
func BenchmarkResolve(b *testing.B) {
	const suites, each = 20, 50_000
	c := openCatalog(b, openDB(b, b.TempDir()), nil, "archive.example.org")
	for i := range suites {
		learnBig(b, c, fmt.Sprintf("suite%02d", i), pack(i, each))
	}
	locations := func(of func(i int) string) (all []Location) {
		for i := range 10_000 {
			all = append(all, at(b, archiveURL+"/"+of(i*7919)))
		}
		return all
	}
	for _, bc := range []struct {
		name string
		want Kind
		all  []Location
	}{
		{"first", Content, locations(func(i int) string { return bigPath(0, i%each) })},
		{"any", Content, locations(func(i int) string { return bigPath(i%suites, i%each) })},
		{"miss", Unknown, locations(func(i int) string { return bigPath(suites, i%each) })},
		{"Release file", ReleaseFile, locations(func(i int) string { return "dists/suite01/InRelease" })},
	} {
		b.Run(bc.name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				if e := c.Resolve(b.Context(), bc.all[i%len(bc.all)], nil); e.Kind != bc.want {
					b.Fatalf("%+v", e)
				}
				i++
			}
		})
	}
	b.Run("shared", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if _, with := c.Shared(digest.Of(fmt.Append(nil, i%suites, i%each))); with == WithNobody {
				b.Fatal("not shared")
			}
			i++
		}
	})
	b.Logf("anonymous memory %d MB", rss(b)>>20)
}

// rss returns the resident memory of the process that is not a mapped file,
// in bytes: what stays when the kernel wants its page cache back.
func rss(tb testing.TB) int64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("RssAnon:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n << 10
}
