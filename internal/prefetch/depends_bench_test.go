package prefetch

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/deb822"
	"millpond/internal/digest"
	"millpond/internal/prefetch/uses"
	"millpond/internal/store"
)

// kernels are packages with a version in their name.
var kernels = regexp.MustCompile(`(?m)^Package: linux-(image|headers)-\d(?:.+\n)+\n`)

// BenchmarkNewDepends plans a wave of Debian's main, as apt on this machine has it, in
// which the kernels have new names, for a site that uses as many packages as are
// remembered. It includes what planNews takes without new names, which the other one
// measures.
func BenchmarkNewDepends(b *testing.B) {
	s := newBench(b)
	text := machinePackages(b)
	dir := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/bookworm"}
	for _, t := range [][]byte{kernels.ReplaceAll(text, nil), text} {
		learnXZ(b, s, dir, t)
	}
	n := 0
	for p, err := range deb822.PackageStanzas(bytes.NewReader(text)) {
		must(b, err)
		f, _ := deb.ParseFileName(filepath.Base(p.Path))
		if n++; n%3 == 0 || strings.HasPrefix(p.Name, "linux-image-") {
			s.uses.Requested(uses.Key{Line: "bookworm", Package: f.Package, Architecture: f.Architecture, Type: f.Type}, f.Version)
		}
	}
	for _, bc := range []struct {
		name string
		plan func(p *plan) error
	}{
		{"names that are listed", func(p *plan) error { return s.addNews(b.Context(), p, dir) }},
		{"and new names", func(p *plan) error { return s.addNewDepends(b.Context(), p, []catalog.Location{dir}) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			before := processor(b)
			for b.Loop() {
				p := newPlan(s.catalog.Suites())
				must(b, bc.plan(p))
				b.ReportMetric(float64(len(p.wants)), "packages")
			}
			b.ReportMetric((processor(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// machinePackages is the largest Packages that this machine's apt has.
func machinePackages(b *testing.B) (text []byte) {
	b.Helper()
	files, _ := filepath.Glob("/var/lib/apt/lists/*_Packages*")
	for _, f := range files {
		t, err := exec.CommandContext(b.Context(), "/usr/lib/apt/apt-helper", "cat-file", f).Output()
		must(b, err)
		if len(t) > len(text) {
			text = t
		}
	}
	if text == nil {
		b.Skip("the machine's apt has no lists of packages (apt-get update)")
	}
	return text
}

// learnXZ makes a suite list what a Packages has.
func learnXZ(b *testing.B, s *Prefetcher, dir catalog.Location, text []byte) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "xz", "-1")
	cmd.Stdin = bytes.NewReader(text)
	packed, err := cmd.Output()
	must(b, err)
	const index = "main/binary-amd64/Packages.xz"
	d := digest.Of(packed)
	release := fmt.Appendf(nil, "Codename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n %s %d %s\n", d, len(packed), index)
	cat := s.catalog.(*catalog.Catalog)
	checked, err := cat.CheckRelease(dir, catalog.ReleaseFiles{Release: release})
	must(b, err)
	_, err = cat.Adopt(checked)
	must(b, err)
	must(b, s.store.(*store.Store).Put(d, int64(len(packed)), bytes.NewReader(packed), store.Meta{Name: "Packages.xz"}))
	must(b, cat.LearnIndex(b.Context(), cat.Resolve(b.Context(), dir.Join(index), nil), bytes.NewReader(packed)))
}
