package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary be the program, for a run of its own.
const asProgram = "TEST_RUN_AS_PROGRAM"

// releaseTime is of releases whose time does not matter.
var releaseTime = time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		// Private by default, as some accounts of administrators are.
		syscall.Umask(0o077)
		main()
		return
	}
	os.Exit(m.Run())
}

// root is that of the tree.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// hosts is the machine's own kind.
func hosts(t *testing.T) []target {
	t.Helper()
	for _, to := range targets {
		if to.goarch == runtime.GOARCH {
			return []target{to}
		}
	}
	unable(t, "there is no release for this machine")
	return nil
}

// trustFor makes what the image trusts: files, of which two must be there.
func trustFor(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"etc/ssl/certs/ca-certificates.crt":             "certificates",
		"usr/share/keyrings/debian-archive-keyring.gpg": "keys of Debian",
		"usr/share/keyrings/ubuntu-archive-keyring.gpg": "keys of Ubuntu",
		"usr/share/keyrings/somebody-else-keyring.pgp":  "keys of somebody else",
		"packages": "ca-certificates 20260101 " + strings.Repeat("0", 64) + "\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Two runs give the same bytes, at the same time: the second one from another directory, at another time of
// another zone, with another umask and, unless testing is short, for all processors and
// without anything that was compiled before.
func TestTwoRunsAreTheSame(t *testing.T) {
	trust, key := trustFor(t), newKey(t, nil)
	all := targets
	if testing.Short() {
		all = hosts(t)
	}
	o := options{root: root(t), out: t.TempDir(), trust: trust, targets: all, key: key}
	second := t.TempDir()
	cmd := exec.Command(os.Args[0], "-root", copyOf(t, o.root), "-out", second, "-trust", trust, "-arch", strings.Join(names(all), ","), "-key", key)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TZ=Pacific/Kiritimati", "LC_ALL=de_DE.UTF-8", "USER=somebody")
	if !testing.Short() {
		cmd.Env = append(cmd.Env, "GOCACHE="+t.TempDir())
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Side by side: most of a run is one package's compression, by one processor.
	err := run(o)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := sums(t, o.out)
	again := sums(t, second)
	for name, sum := range first {
		if again[name] != sum {
			t.Errorf("%s differs: %s and %s", name, sum, again[name])
		}
	}
	// Program and package for each, image, chart, notes, bill, provenance, sums, signature.
	if want := 2*len(all) + 7; len(first) != want || len(again) != want {
		t.Errorf("%d and %d files, want %d: %v", len(first), len(again), want, first)
	}
	checkArtefacts(t, o)
}

// copyOf is the tree in another directory, with its changes.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "elsewhere")
	const copyFiles = `cd "$0" && git ls-files -z | while IFS= read -r -d "" f; do [ -e "$f" ] && printf "%s\0" "$f"; done | tar c --null -T - | tar x -C "$1"`
	for _, args := range [][]string{
		{"git", "clone", "-q", "--shared", "--no-checkout", dir, to},
		{"git", "-C", to, "reset", "-q"},
		{"bash", "-c", copyFiles, dir, to},
		{"git", "-C", to, "add", "-A", "."},
	} {
		if _, err := output(".", args[0], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// What an interrupted run left is removed by the next one, and not by one beside it.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if err := os.MkdirAll(filepath.Join(out, "unfinished-1234", "artefacts"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(out, "0.2.0"), 0o700); err != nil {
		t.Fatal(err)
	}
	work, done, err := begin(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := begin(out); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("two runs at once: %v", err)
	}
	has := func() (names []string) {
		all, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			names = append(names, e.Name())
		}
		return names
	}
	if got := has(); !slices.Equal(got, []string{"0.2.0", filepath.Base(work)}) {
		t.Errorf("while a release is made there are %q", got)
	}
	done()
	if got := has(); !slices.Equal(got, []string{"0.2.0"}) {
		t.Errorf("afterwards there are %q", got)
	}
}

// documented is a block of commands in the manual's page about the Debian package, the
// one that has a line. No test has to ask for rights.
func documented(t *testing.T, line string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root(t), "docs/start/debian.md"))
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(page), "```sh\n") {
		if code, _, ok := strings.Cut(block, "```"); ok && strings.Contains("\n"+code, "\n"+line) {
			return "set -e\nsudo() { \"$@\"; }\n" + code
		}
	}
	t.Fatalf("no block of the page has the line %q", line)
	return ""
}

// sums has the SHA-256 of each file below a directory.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		name, _ := filepath.Rel(dir, file) // below it
		all[name] = hex.EncodeToString(sum[:])
	}
	return all
}

func TestNewest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		log, number, notes string
		unreleased, wrong  bool
	}{
		{"# Changelog\n\n## 0.2.0 (2026-11-28)\n\n- a\n\n## 0.1.0 (2026-01-01)\n\n- b\n", "0.2.0", "- a\n", false, false},
		{"# Changelog\n\n## Unreleased\n\n- c\n\n## 0.2.0 (2026-11-28)\n\n- a\n", "0.2.0", "- c\n", true, false},
		{"## Unreleased\n\n- a\n", "0.0.0", "- a\n", true, false},
		{"## 0.2.0 (2026-11-28)", "0.2.0", "\n", false, false},
		{"## 0.2.0\n\n- a date is missing\n", "", "", false, true},
		{"", "", "", false, true},
	} {
		number, notes, unreleased, err := newest(test.log)
		if number != test.number || notes != test.notes || unreleased != test.unreleased || (err != nil) != test.wrong {
			t.Errorf("%q: %q, %q, %v, %v", test.log, number, notes, unreleased, err)
		}
	}
}

// What cannot be a release is refused before anything is there.
func TestRefused(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@millpond.invalid", "commit", "-qm", "a"}} {
		if args[0] == "add" {
			if err := os.WriteFile(filepath.Join(tree, "CHANGELOG.md"), []byte("## 0.2.0 (2026-11-28)\n\n- a\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := output(tree, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := readVersion(tree, "v0.2.0"); err != nil || v.number != "0.2.0" || v.dirty {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := readVersion(tree, "v0.3.0"); err == nil || !strings.Contains(err.Error(), "v0.2.0") {
		t.Errorf("another tag than the changelog's: %v", err)
	}
	if err := os.WriteFile(filepath.Join(tree, "CHANGELOG.md"), []byte("## 0.2.0 (2026-11-28)\n\n- b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := readVersion(tree, "v0.2.0"); err == nil {
		t.Errorf("a tree that differs from its commit is %+v", v)
	}
	if v, err := readVersion(tree, ""); err != nil || v.number != "0.2.0+dirty" {
		t.Errorf("a tree that differs from its commit is %+v, %v", v, err)
	}
	r := release{version: version{number: "0.2.0"}}
	if _, err := r.stampChart([]byte("version: 0.1.0\nappVersion: \"0.1.0\"\n")); err == nil {
		t.Error("a chart of another version is taken")
	}
	if got, err := r.stampChart([]byte("version: 0.2.0\nappVersion: \"0.2.0\"\n")); err != nil || string(got) != "version: \"0.2.0\"\nappVersion: \"0.2.0\"\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := parseTargets("amd64,mips"); err == nil || !strings.Contains(err.Error(), `"mips"`) {
		t.Errorf("a processor without programs: %v", err)
	}
}

// The chart in the tree is of the newest version in CHANGELOG.md, and so is its image.
func TestChartIsOfTheNewestVersion(t *testing.T) {
	t.Parallel()
	log, err := os.ReadFile(filepath.Join(root(t), "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	number, _, _, err := newest(string(log))
	if err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile(filepath.Join(root(t), chartDir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := chartVersion.FindAllSubmatch(about, -1)
	if len(found) != 2 {
		t.Fatalf("Chart.yaml has %d versions", len(found))
	}
	for _, m := range found {
		if string(m[2]) != number {
			t.Errorf("Chart.yaml: %s is %s, CHANGELOG.md has %s", m[1], m[2], number)
		}
	}
}
