package prefetch

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keyring"
	"millpond/internal/kv"
	"millpond/internal/prefetch/uses"
	"millpond/internal/store"
)

// A suite of the size of Debian's, and a large site that holds four versions of
// most of its packages.
const (
	benchListed = 60_000
	benchHeld   = 50_000
	benchEach   = 4
)

// BenchmarkSurvey looks through a suite with 200,000 blobs held. After a point
// release one in a hundred packages has a new version; the worst is that all of
// them have.
func BenchmarkSurvey(b *testing.B) {
	s := newBench(b)
	for _, bc := range []struct {
		name, suite string
		version     int
		want        int
	}{
		{"one in 100 is new", "stable", benchEach, benchHeld / 100},
		{"all are new", "stable-updates", benchEach + 1, maxPlan},
	} {
		dir := benchSuite(b, s, bc.suite, bc.version)
		b.Run(bc.name, func(b *testing.B) {
			before := processor(b)
			for b.Loop() {
				p := newPlan(s.catalog.Suites())
				if err := s.survey(b.Context(), p, dir); err != nil {
					b.Fatal(err)
				}
				must(b, s.confirm(p))
				if len(p.wants) != bc.want {
					b.Fatalf("%d packages are wanted, want %d", len(p.wants), bc.want)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/benchListed*1e6, "µs/package")
			b.ReportMetric((processor(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// BenchmarkNews looks through the same suite for what is new to clients that have
// requested as many packages as are remembered.
func BenchmarkNews(b *testing.B) {
	s := newBench(b)
	dir := benchSuite(b, s, "stable", benchEach+1)
	const requested = 20_000
	for i := range requested {
		s.uses.Requested(uses.Key{Line: "stable", Package: fmt.Sprint("p", i), Architecture: "amd64", Type: "deb"}, fmt.Sprintf("1.%d-1", benchEach))
	}
	before := processor(b)
	for b.Loop() {
		p, err := s.planNews(b.Context(), []catalog.Location{dir})
		must(b, err)
		must(b, s.confirm(p))
		if len(p.wants) != min(requested, maxPlan) {
			b.Fatalf("%d packages are wanted, want %d", len(p.wants), min(requested, maxPlan))
		}
	}
	b.ReportMetric((processor(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

// processor is the time that the process has had the processor, which tells more than
// elapsed time on a machine that does other things.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// newBench is a Prefetcher over a real catalog and a real store, which holds the
// versions 1 to 4, but of one package in a hundred 0 to 3.
func newBench(b *testing.B) *Prefetcher {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := b.TempDir()
	db, err := kv.Open(filepath.Join(dir, "db"), log)
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	held := make(map[digest.Digest]string)
	for i := range benchHeld {
		for v := range benchEach {
			if i%100 != 0 {
				v++
			}
			name := benchName(i, v)
			held[digest.Of([]byte(name))] = name
		}
	}
	// The store takes in the files that it finds.
	for d := range held {
		sub := filepath.Join(dir, "blobs", d.String()[:2])
		must(b, os.MkdirAll(sub, 0o755))
		must(b, os.WriteFile(filepath.Join(sub, d.String()), []byte("x"), 0o444))
	}
	st, err := store.Open(store.Options{Dir: dir, Table: db.Table("store"), Quota: store.Quota{Bytes: 1 << 30}})
	must(b, err)
	b.Cleanup(func() { must(b, st.Close()) })
	for d, name := range held {
		must(b, st.Annotate(d, store.Meta{Name: name}))
	}
	cat, err := catalog.Open(catalog.Options{Table: db.Table("catalog"), Keyring: new(keyring.Keyring), TrustHosts: []string{"deb.example.org"}, Log: log})
	must(b, err)
	s, err := New(Options{Table: db.Table("prefetch"), Catalog: cat, Store: st, Budget: 1, Log: log})
	must(b, err)
	return s
}

// benchSuite has the catalog learn a suite that lists a version of each package.
func benchSuite(b *testing.B, s *Prefetcher, name string, version int) catalog.Location {
	b.Helper()
	cat := s.catalog.(*catalog.Catalog)
	dir := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/" + name}
	var text bytes.Buffer
	for i := range benchListed {
		file := benchName(i, version)
		fmt.Fprintf(&text, "Package: p%d\nFilename: pool/main/p/p%d/%s\nSize: 1\nSHA256: %s\n\n", i, i, file, digest.Of([]byte(file)))
	}
	const index = "main/binary-amd64/Packages"
	release := fmt.Appendf(nil, "Codename: %s\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n %s %d %s\n", name, digest.Of(text.Bytes()), text.Len(), index)
	checked, err := cat.CheckRelease(dir, catalog.ReleaseFiles{Release: release})
	must(b, err)
	_, err = cat.Adopt(checked)
	must(b, err)
	must(b, cat.LearnIndex(b.Context(), cat.Resolve(b.Context(), dir.Join(index), nil), &text))
	return dir
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func benchName(i, version int) string { return fmt.Sprintf("p%d_1.%d-1_amd64.deb", i, version) }
