package closure

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"millpond/internal/deb"
	"millpond/internal/deb822"
)

// machine is the machine's own apt with the lists that it has, and nothing installed.
type machine struct {
	tb      testing.TB
	dir     string
	indices []string // uncompressed Packages
}

// newMachine skips the test where the machine's apt has no lists.
func newMachine(tb testing.TB) *machine {
	tb.Helper()
	m := &machine{tb: tb, dir: tb.TempDir()}
	out := m.output("apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages", "Architecture: "+deb.Machine())
	for _, name := range strings.Fields(out) {
		// Of a file that it keeps compressed apt names the form without.
		found, _ := filepath.Glob(name + "*")
		if len(found) == 0 {
			continue
		}
		text := filepath.Join(m.dir, fmt.Sprintf("Packages%d", len(m.indices)))
		if err := os.WriteFile(text, []byte(m.output("/usr/lib/apt/apt-helper", "cat-file", found[0])), 0o600); err != nil {
			tb.Fatal(err)
		}
		m.indices = append(m.indices, text)
	}
	if len(m.indices) == 0 {
		tb.Skip("the machine's apt has no lists of packages (apt-get update)")
	}
	for _, name := range []string{"status", "extended_states"} {
		if err := os.WriteFile(filepath.Join(m.dir, name), nil, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(m.dir, "cache"), 0o700); err != nil {
		tb.Fatal(err)
	}
	return m
}

func (m *machine) output(name string, args ...string) string {
	m.tb.Helper()
	var failure bytes.Buffer
	cmd := exec.CommandContext(m.tb.Context(), name, args...)
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		m.tb.Fatalf("%s %q: %v\n%s", name, args, err, failure.String())
	}
	return string(out)
}

// install returns what apt would install, by name and version, for these packages, and
// false if it finds no way to.
func (m *machine) install(names ...string) (set map[string]string, ok bool) {
	m.tb.Helper()
	args := append([]string{
		"-s", "-q", "-o", "Dir::State::status=" + filepath.Join(m.dir, "status"), "-o", "Dir::State::extended_states=" + filepath.Join(m.dir, "extended_states"),
		// Containers switch the caches off (docker-clean), which saves a second each time.
		"-o", "Dir::Cache=" + filepath.Join(m.dir, "cache"), "-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "Debug::NoLocking=true", "install",
	}, names...)
	cmd := exec.CommandContext(m.tb.Context(), "apt-get", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	set = make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		// Inst hello (2.10-3 Debian:12.11/stable [amd64])
		if f := strings.Fields(lines.Text()); len(f) > 2 && f[0] == "Inst" {
			set[f[1]] = strings.TrimPrefix(f[2], "(")
		}
	}
	return set, err == nil
}

// world reads the indices; names are selected.
func (m *machine) world(names ...string) *World {
	m.tb.Helper()
	w := NewWorld()
	for i, index := range m.indices {
		f, err := os.Open(index)
		if err != nil {
			m.tb.Fatal(err)
		}
		for p, err := range deb822.PackageStanzas(f) {
			if err != nil {
				m.tb.Fatal(err)
			}
			if err := w.Add(p, Index{Slice: i, Arch: deb.Machine()}, slices.Contains(names, p.Name)); err != nil {
				m.tb.Fatal(err)
			}
		}
		f.Close()
	}
	return w
}

// need returns what of a world is needed for these packages alone, by name.
func need(w *World, names ...string) (map[string]string, Result) {
	for i := range w.pkgs {
		w.pkgs[i].flags &^= selected
		if slices.Contains(names, w.pkgs[i].get(textName)) {
			w.pkgs[i].flags |= selected
		}
	}
	r := w.Resolve(names)
	set := make(map[string]string)
	for i, taken := range takenBy(w, r) {
		if taken {
			set[w.pkgs[i].get(textName)] = w.pkgs[i].get(textVersion)
		}
	}
	return set, r
}

func takenBy(w *World, r Result) []bool {
	paths := make(map[string]bool, len(r.Files))
	for _, f := range r.Files {
		paths[f.Path] = true
	}
	taken := make([]bool, len(w.pkgs))
	for i := range w.pkgs {
		taken[i] = paths[w.pkgs[i].get(textPath)]
	}
	return taken
}

// The real apt takes nothing that is not in the set, and the set little more. Packages of
// the machine's lists are drawn at random, each installed by itself and all together.
func TestRealApt(t *testing.T) {
	m := newMachine(t)
	w := m.world()
	random := rand.New(rand.NewPCG(1, 12))
	var names []string
	for range 4 {
		names = append(names, strings.Clone(w.pkgs[random.IntN(len(w.pkgs))].get(textName)))
	}
	var apt, ours int
	check := func(names ...string) {
		want, ok := m.install(names...)
		if !ok {
			t.Logf("apt does not install %q", names)
			return
		}
		got, r := need(w, names...)
		var more []string
		for name, version := range want {
			if got[name] != version {
				t.Errorf("%q: apt takes %s %s, which is not in the set (%q there)", names, name, version, got[name])
			}
		}
		for name := range got {
			if want[name] == "" {
				more = append(more, name)
			}
		}
		apt, ours = apt+len(want), ours+len(got)
		t.Logf("%q: %d packages; more: %q; lacks %d", names, len(want), more, len(r.Lacks))
	}
	for _, name := range names {
		check(name)
	}
	check(names...)
	if apt == 0 || ours > apt+apt/20 {
		t.Errorf("%d packages are taken where apt takes %d", ours, apt)
	}
	t.Logf("of %d packages apt takes %d, the set has %d", w.Len(), apt, ours)
}

// A World takes what its package comment says.
func TestMemory(t *testing.T) {
	m := newMachine(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := m.world()
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / uint64(w.Len())
	t.Logf("%d packages take %d bytes each", w.Len(), each)
	if each > 600 {
		t.Errorf("%d bytes each, want some 400", each)
	}
	runtime.KeepAlive(w)
}
