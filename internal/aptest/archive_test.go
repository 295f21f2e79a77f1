package aptest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestDpkgReadsPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("runs dpkg")
	}
	t.Parallel()
	for _, compression := range []string{"gz", "xz", "zst", "none", ""} {
		for _, size := range []int{0, 1, 300_001} {
			a := NewArchive(nil)
			f := a.Add(Package{Name: "hello", Version: "1:1.0-1", Arch: "amd64", Size: size, Compression: compression, Depends: "libc6 | libc0", Fields: "Multi-Arch: foreign\n"})
			name := filepath.Join(t.TempDir(), "p.deb")
			if err := os.WriteFile(name, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
			info, err := exec.Command("dpkg-deb", "-f", name, "Package", "Version", "Multi-Arch").CombinedOutput()
			if want := "Package: hello\nVersion: 1:1.0-1\nMulti-Arch: foreign\n"; err != nil || string(info) != want {
				t.Errorf("%q, %d bytes: dpkg-deb -f: %v, %q; want %q", compression, size, err, info, want)
			}
			list, err := exec.Command("dpkg-deb", "-c", name).CombinedOutput()
			if err != nil || strings.Contains(string(list), fmt.Sprintf(" %d 2024-01-01 00:00 ./usr/share/hello/data\n", size)) != (size > 0) || !strings.Contains(string(list), "./usr/share/doc/hello/copyright") {
				t.Errorf("%q, %d bytes: dpkg-deb -c: %v\n%s", compression, size, err, list)
			}
			if want := "pool/main/h/hello/hello_1.0-1_amd64.deb"; f.Path != want {
				t.Errorf("path %s, want %s", f.Path, want)
			}
		}
	}
}

func TestGpgvAcceptsSignatures(t *testing.T) {
	t.Parallel()
	one, two := NewKey("one"), NewKey("two")
	a := NewArchive(one)
	a.SignWith(one, two)
	g := a.Publish(day)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	ring := write("ring.gpg", append(one.Public(), two.Public()...))
	inRelease := write("InRelease", g.File("dists/stable/InRelease"))
	release, sig := write("Release", g.File("dists/stable/Release")), write("Release.gpg", g.File("dists/stable/Release.gpg"))
	for _, args := range [][]string{{"--output", filepath.Join(dir, "text"), inRelease}, {sig, release}} {
		out, err := exec.Command("gpgv", append([]string{"--homedir", dir, "--status-fd", "1", "--keyring", ring}, args...)...).CombinedOutput()
		for _, k := range []*Key{one, two} {
			if err != nil || !strings.Contains(string(out), "VALIDSIG "+k.Fingerprint()) {
				t.Errorf("gpgv %q: %v\n%s", args, err, out)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "text"))
	if err != nil || !bytes.Equal(text, g.File("dists/stable/Release")) {
		t.Errorf("the signed text of InRelease is %q, %v; want Release", text, err)
	}
	if !bytes.HasPrefix(one.Armored(), []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")) {
		t.Errorf("armored key: %s", one.Armored())
	}
}

func TestSameCallsMakeTheSameArchive(t *testing.T) {
	t.Parallel()
	archive := func() map[string][]byte {
		a := NewArchive(NewKey("archive"), Suite{}, Suite{Name: "unstable"})
		sample(a, "")
		sample(a, "unstable")
		a.AddSource(Source{Name: "hello", Version: "2.10-3", SignedBy: NewKey("archive")})
		a.Publish(day)
		a.Add(Package{Name: "new", Version: "1"})
		return a.Publish(day.Add(time.Hour)).Files()
	}
	first, second := archive(), archive()
	if !maps.EqualFunc(first, second, bytes.Equal) {
		for name := range first {
			if !bytes.Equal(first[name], second[name]) {
				t.Errorf("%s differs between two archives made alike", name)
			}
		}
	}
}

// TestReleaseListsWhatIsThere checks each line of Release against the files.
func TestReleaseListsWhatIsThere(t *testing.T) {
	t.Parallel()
	a := NewArchive(NewKey("archive"), Suite{Compressions: []string{"gz", "xz"}})
	sample(a, "")
	a.Add(Package{Name: "disk", Version: "1", Udeb: true})
	a.AddFile("", "main/own/file", []byte("x"))
	a.Publish(day)
	a.Remove("big")
	g := a.Publish(day.Add(time.Hour))
	_, list, _ := strings.Cut(string(g.File("dists/stable/Release")), "SHA256:\n")
	var names, absent []string
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		names = append(names, f[2])
		data, ok := g.Files()["dists/stable/"+f[2]]
		if !ok {
			absent = append(absent, f[2])
			continue
		}
		if f[0] != sha256Hex(data) || f[1] != strconv.Itoa(len(data)) {
			t.Errorf("Release says %q; the file has %d bytes, SHA-256 %s", line, len(data), sha256Hex(data))
		}
		byHash := "dists/stable/" + filepath.Dir(f[2]) + "/by-hash/SHA256/" + f[0]
		if !bytes.Equal(g.File(byHash), data) {
			t.Errorf("%s is not %s", byHash, f[2])
		}
	}
	for _, want := range []string{
		"main/Contents-amd64.gz", "main/binary-all/Packages.gz", "main/binary-amd64/Packages.xz", "main/binary-amd64/Packages.diff/Index",
		"main/binary-amd64/Release", "main/debian-installer/binary-amd64/Packages.gz", "main/dep11/Components-amd64.yml.gz",
		"main/cnf/Commands-amd64.xz", "main/i18n/Translation-en.xz", "main/installer-amd64/current/images/SHA256SUMS",
		"main/own/file", "main/source/Sources.gz",
	} {
		if !slices.Contains(names, want) || slices.Contains(absent, want) {
			t.Errorf("%s is not listed and published; listed: %q", want, names)
		}
	}
	for _, want := range []string{"main/binary-amd64/Packages", "main/source/Sources", "main/Contents-all"} {
		if !slices.Contains(absent, want) {
			t.Errorf("%s is published; want it listed only", want)
		}
	}
	if !bytes.Contains(g.File("dists/stable/InRelease"), []byte("Date: Sun, 01 Mar 2026 13:00:00 UTC\n")) {
		t.Error("InRelease lacks its date")
	}
}

func TestGenerationsKeepTimes(t *testing.T) {
	t.Parallel()
	a := NewArchive(nil)
	hello := a.Add(Package{Name: "hello", Version: "1"})
	first := a.Publish(day)
	second := a.Publish(day)
	if got, want := second.Time, first.Time.Add(time.Second); !got.Equal(want) {
		t.Errorf("second generation of the same time is of %v, want %v", got, want)
	}
	if got := second.files[hello.Path].modified; !got.Equal(first.Time) {
		t.Errorf("unchanged package modified %v, want %v", got, first.Time)
	}
	if got := second.files["dists/stable/Release"].modified; !got.Equal(second.Time) {
		t.Errorf("Release modified %v, want %v", got, second.Time)
	}
}

func TestEdScript(t *testing.T) {
	t.Parallel()
	r := rand.New(seeded("ed scripts"))
	pick := func() []string {
		var list []string
		for i := range 12 {
			if r.IntN(2) == 0 {
				list = append(list, fmt.Sprintf("Package: p%d\n%s\n", i, strings.Repeat("Line: x\n", i%4)))
			}
		}
		return list
	}
	for range 50 {
		from, to := pick(), pick()
		script := edScript(from, to)
		got := applied(t, strings.Join(from, ""), string(script))
		if want := strings.Join(to, ""); got != want {
			t.Fatalf("script %q makes\n%q of\n%q; want\n%q", script, got, from, want)
		}
	}
}

// applied runs the commands a, c and d of ed, which may be absent on a machine.
func applied(t *testing.T, text, script string) string {
	t.Helper()
	lines := slices.Collect(strings.Lines(text))
	for script != "" {
		command, rest, _ := strings.Cut(script, "\n")
		kind := command[len(command)-1]
		first, last, ranged := strings.Cut(command[:len(command)-1], ",")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && ranged {
			to, err = strconv.Atoi(last)
		}
		if err != nil {
			t.Fatalf("command %q: %v", command, err)
		}
		var added []string
		if kind != 'd' {
			var body string
			body, rest, _ = strings.Cut(rest, "\n.\n")
			added = slices.Collect(strings.Lines(body + "\n"))
		}
		if kind == 'a' {
			lines = slices.Insert(lines, from, added...)
		} else {
			lines = slices.Replace(lines, from-1, to, added...)
		}
		script = rest
	}
	return strings.Join(lines, "")
}
