package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

// artefacts are the files of a release, by their names without the version.
type artefacts struct {
	dir, number string
}

// file is the path of an artefact; VERSION in its name stands for that.
func (a artefacts) file(name string) string {
	return filepath.Join(a.dir, strings.ReplaceAll(name, "VERSION", a.number))
}

// checkArtefacts looks into what a release has.
func checkArtefacts(t *testing.T, o options) {
	v, err := readVersion(o.root, "")
	if err != nil {
		t.Fatal(err)
	}
	a := artefacts{filepath.Join(o.out, v.number), v.number}
	t.Run("sums", func(t *testing.T) { checkSums(t, a, o) })
	t.Run("programs", func(t *testing.T) { checkPrograms(t, a, o.targets) })
	t.Run("packages", func(t *testing.T) { checkPackages(t, a, o.targets) })
	t.Run("image", func(t *testing.T) { checkImage(t, a, o.targets) })
	t.Run("chart", func(t *testing.T) { checkChart(t, a, o.root) })
	t.Run("rendered", func(t *testing.T) { checkRendered(t, a, hosts(t)[0]) })
	t.Run("bill", func(t *testing.T) { checkBill(t, a, o.targets[0]) })
	t.Run("provenance", func(t *testing.T) { checkProvenance(t, a, v) })
}

// checkSums checks sums and signature as the manual says. The publisher's file has the
// secret key too.
func checkSums(t *testing.T, a artefacts, o options) {
	home := t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = output(".", "gpgconf", "--homedir", home, "--kill", "all") }) // or its agent stays
	commands := strings.Replace(documented(t, "gpg --import"), "publisher.asc", o.key, 1)
	out, err := outputWith([]string{"GNUPGHOME=" + home}, a.dir, "sh", "-c", commands)
	if files, _ := filepath.Glob(a.file("*")); err != nil || strings.Count(out, ": OK") != len(files)-2 { // all but itself and its signature
		t.Errorf("%s, %v", out, err)
	}
}

func checkPrograms(t *testing.T, a artefacts, all []target) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV}
	for _, to := range all {
		path := a.file("millpond_VERSION_linux_" + to.String())
		program, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		libraries, err := program.ImportedLibraries()
		if program.Machine != machines[to.goarch] || len(libraries) > 0 || err != nil {
			t.Errorf("%s is for %v with libraries %v, %v", path, program.Machine, libraries, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		run := runs(t, to, path)
		if got, err := output(".", run[0], append(run[1:], "version")...); err != nil || got != "millpond "+a.number {
			t.Errorf("it says %q, %v", got, err)
		}
		if help, err := output(".", run[0], append(run[1:], "help")...); err != nil || len(help) < 1000 {
			t.Errorf("help: %q, %v", help, err)
		}
		t.Run(to.debian, func(t *testing.T) { serves(t, run) })
	}
}

// checkPackages has lintian look at each package, and man at the man page of one.
func checkPackages(t *testing.T, a artefacts, all []target) {
	if _, err := exec.LookPath("lintian"); err != nil {
		unable(t, "lintian is not installed; .ci/packages does it")
	}
	for _, to := range all {
		deb := a.file("millpond_VERSION-1_" + to.debian + ".deb")
		if out, err := output(".", "lintian", "--fail-on", "error,warning", "--allow-root", deb); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", deb, err, out)
		}
	}
	dir := t.TempDir()
	if _, err := output(".", "dpkg-deb", "-x", a.file("millpond_VERSION-1_"+all[0].debian+".deb"), dir); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "usr/share/man/man1/millpond.1.gz")
	cmd := exec.Command("man", "--warnings", "-l", "-E", "UTF-8", "-Tutf8", "-Z", page)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var warnings bytes.Buffer
	cmd.Stderr = &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Errorf("the man page: %v\n%s", err, &warnings)
	}
	unit := filepath.Join(dir, "usr/lib/systemd/system/millpond.service")
	// 10 is a service without any protection; this one has 1.7.
	if out, err := output(".", "systemd-analyze", "security", "--offline=true", "--threshold=20", unit); err != nil {
		t.Errorf("the unit protects too little: %v\n%s", err, out)
	}
}

// checkImage reads the image as registries do, and looks for what the Dockerfile says.
func checkImage(t *testing.T, a artefacts, all []target) {
	dir := t.TempDir()
	if _, err := output(".", "tar", "xf", a.file("millpond-VERSION.oci.tar"), "-C", dir); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatal(manifest, err)
	}
	if index, err = index.ImageIndex(manifest.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	if manifest, err = index.IndexManifest(); err != nil || len(manifest.Manifests) != len(all) {
		t.Fatalf("%+v, %v", manifest, err)
	}
	for i, to := range all {
		d := manifest.Manifests[i]
		if p := d.Platform; p.OS != "linux" || p.Architecture != to.goarch || p.Variant != to.variant {
			t.Errorf("image %d is for %v", i, p)
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImageOf(t, a, to, image)
	}
}

func checkImageOf(t *testing.T, a artefacts, to target, image v1.Image) {
	t.Helper()
	f, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := f.Config
	if f.Architecture != to.goarch || c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Contains(c.Env, "MILLPOND_DATA_DIR=/var/lib/millpond") ||
		!slices.Equal(c.Entrypoint, []string{"millpond"}) || c.Labels["org.opencontainers.image.version"] != a.number ||
		len(c.Labels["org.opencontainers.image.revision"]) != 40 || c.Labels["org.opencontainers.image.created"] == "" {
		t.Errorf("%+v", f)
	}
	if ports := slices.Sorted(maps.Keys(c.ExposedPorts)); !slices.Equal(ports, []string{"3142/tcp", "4001/tcp", "4001/udp"}) {
		t.Errorf("ports %v", ports)
	}
	if _, ok := c.Volumes["/var/lib/millpond"]; !ok || c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"CMD", "millpond", "healthcheck"}) {
		t.Errorf("volumes %v, health check %+v", c.Volumes, c.Healthcheck)
	}
	files := mutate.Extract(image)
	defer files.Close()
	program, err := os.ReadFile(a.file("millpond_VERSION_linux_" + to.String()))
	if err != nil {
		t.Fatal(err)
	}
	has := read(t, files)
	for name, want := range map[string]int64{
		"usr/bin/millpond": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644, "usr/share/keyrings/debian-archive-keyring.gpg": 0o644,
		"usr/share/keyrings/ubuntu-archive-keyring.gpg": 0o644, "usr/share/doc/millpond/LICENSE": 0o644, "var/lib/millpond": 0o755,
	} {
		if got, ok := has[name]; !ok || got.Mode != want {
			t.Errorf("%s: %v, %+v", name, ok, got.Header)
		}
	}
	if !bytes.Equal(has["usr/bin/millpond"].data, program) {
		t.Error("the image has another program")
	}
	if dir := has["var/lib/millpond"]; dir.Uid != 65532 || dir.Gid != 65532 {
		t.Errorf("the data directory belongs to %d:%d", dir.Uid, dir.Gid)
	}
}

// member is one of a tar archive.
type member struct {
	tar.Header
	data []byte
}

// read reads a tar archive. All its members must be of one time, and have no names of
// users.
func read(t *testing.T, from io.Reader) map[string]member {
	t.Helper()
	all := map[string]member{}
	at := int64(-1)
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if at < 0 {
			at = h.ModTime.Unix()
		}
		if h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != at {
			t.Errorf("%s has %q, %q, %v", h.Name, h.Uname, h.Gname, h.ModTime)
		}
		all[h.Name] = member{*h, data}
	}
}

// checkChart compares the archive with the chart in the tree.
func checkChart(t *testing.T, a artefacts, root string) {
	f, err := os.Open(a.file("millpond-VERSION.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, unzipped)
	for name, m := range all {
		rel, _ := strings.CutPrefix(name, "millpond/")
		data, err := os.ReadFile(filepath.Join(root, chartDir, rel))
		if err != nil {
			t.Error(err)
		}
		if rel != "Chart.yaml" && !bytes.Equal(data, m.data) {
			t.Errorf("%s differs from the tree's", rel)
		}
	}
	about, tag := string(all["millpond/Chart.yaml"].data), strings.ReplaceAll(a.number, "+", "_")
	if len(all) < 10 || !strings.Contains(about, "\nversion: \""+a.number+"\"\n") || !strings.Contains(about, "\nappVersion: \""+tag+"\"\n") {
		t.Errorf("%d files, Chart.yaml:\n%s", len(all), about)
	}
}

// checkRendered has the tests of the chart install the archive, and ask the program.
func checkRendered(t *testing.T, a artefacts, to target) {
	environ := []string{
		"MILLPOND_CHART=" + a.file("millpond-VERSION.tgz"), "MILLPOND_BINARY=" + a.file("millpond_VERSION_linux_"+to.String()),
	}
	if out, err := outputWith(environ, "../../e2e/chart", "go", "test", "-count=1", "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// checkBill compares the bill with what the program says that it contains.
func checkBill(t *testing.T, a artefacts, to target) {
	f, err := os.Open(a.file("millpond_VERSION.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := spdxjson.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	has := map[string]string{}
	for _, p := range doc.Packages {
		has[p.PackageName] = p.PackageVersion
	}
	out, err := output(".", "go", "version", "-m", a.file("millpond_VERSION_linux_"+to.String()))
	if err != nil {
		t.Fatal(err)
	}
	contains := 0
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) >= 3 && words[0] == "dep" {
			contains++
			if has[words[1]] != words[2] {
				t.Errorf("the bill has %s in version %q, the program %s", words[1], has[words[1]], words[2])
			}
		}
	}
	if contains < 20 || has["millpond"] != a.number || has["std"] == "" || has["preact"] == "" || has["ca-certificates"] != "20260101" {
		t.Errorf("the program contains %d modules; the bill: %v", contains, has)
	}
}

// checkProvenance compares the statement with the files.
func checkProvenance(t *testing.T, a artefacts, v version) {
	data, err := os.ReadFile(a.file("millpond_VERSION.provenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("a statement of type %s about %s", s.Type, s.PredicateType)
	}
	files, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	// All but itself, the sums and their signature.
	if len(s.Subject) != len(files)-3 {
		t.Errorf("%d subjects of %d files", len(s.Subject), len(files))
	}
	for _, subject := range s.Subject {
		sum, err := sumOf(a.file(subject.Name))
		if err != nil || subject.Digest["sha256"] != sum {
			t.Errorf("%s: %s, want %s, %v", subject.Name, subject.Digest["sha256"], sum, err)
		}
	}
	from := s.Predicate.BuildDefinition.ResolvedDependencies
	if len(from) != 4 || from[0].Digest["gitCommit"] != v.commit || (from[0].Annotations["changed"] != "") != v.dirty ||
		from[3].URI != "pkg:deb/debian/ca-certificates@20260101" {
		t.Errorf("made from %+v", from)
	}
}
