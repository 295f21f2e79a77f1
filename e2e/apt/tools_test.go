package apt

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"millpond/internal/aptest"
)

// toolShapes are archives that other people's software makes and signs.
func toolShapes() []shape {
	return []shape{
		{"apt-ftparchive", func(b builder) *place { return ftparchive(b.workshop()) }},
		{"apt-ftparchive, flat", func(b builder) *place { return ftparchiveFlat(b.workshop()) }},
		{"reprepro", func(b builder) *place { return reprepro(b.workshop()) }},
		{"aptly", func(b builder) *place { return aptly(b.workshop()) }},
	}
}

// workshop is a directory with packages to make an archive of, and a gpg that
// signs with the key of trusted.
type workshop struct {
	builder
	dir      string
	packages []string // file names, in dir
	source   string   // file name of a .dsc, in dir
}

func (b builder) workshop() *workshop {
	b.Helper()
	w := &workshop{builder: b, dir: b.TempDir()}
	a := aptest.NewArchive(nil)
	files := []aptest.File{
		b.add(a, aptest.Package{Name: "one", Version: "1.0-1", Arch: "amd64", Size: 2000}),
		b.add(a, aptest.Package{Name: "g++", Version: "1:2.0+b1~rc1-1", Size: 3000}),
	}
	for _, f := range files {
		w.packages = append(w.packages, filepath.Base(f.Path))
	}
	source := b.addSource(a, aptest.Source{Name: "one", Version: "1.0-1"})
	w.source = filepath.Base(source[0].Path)
	for _, f := range append(files, source...) {
		w.write(filepath.Base(f.Path), f.Data)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "gnupg"), 0o700); err != nil {
		b.Fatal(err)
	}
	w.write("private.gpg", trusted.Private())
	w.run("gpg", "--batch", "--quiet", "--import", "private.gpg")
	b.Cleanup(func() { w.run("gpgconf", "--kill", "gpg-agent") })
	return w
}

func (w *workshop) write(name string, data []byte) {
	w.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		w.Fatal(err)
	}
}

// run runs a program in the workshop and returns what it printed.
func (w *workshop) run(program string, args ...string) []byte {
	w.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "GNUPGHOME="+filepath.Join(w.dir, "gnupg"), "HOME="+w.dir, "LC_ALL=C.UTF-8")
	var failures strings.Builder
	cmd.Stderr = &failures
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, failures.String())
	}
	return out
}

// move renames the packages and the source's files into a directory.
func (w *workshop) move(to string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Join(w.dir, to), 0o755); err != nil {
		w.Fatal(err)
	}
	for _, pattern := range []string{"*.deb", "*.dsc", "*.tar.*"} {
		files, err := filepath.Glob(filepath.Join(w.dir, pattern))
		if err != nil {
			w.Fatal(err)
		}
		for _, f := range files {
			if err := os.Rename(f, filepath.Join(w.dir, to, filepath.Base(f))); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// sign makes the signed forms of a Release file.
func (w *workshop) sign(dir string) {
	w.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	w.run("gpg", "--batch", "--clearsign", "-o", in("InRelease"), in("Release"))
	w.run("gpg", "--batch", "--armor", "--detach-sign", "-o", in("Release.gpg"), in("Release"))
}

// serve puts the files of a directory on a mirror, below /debian.
func (w *workshop) serve(dir string, suite ...string) *place {
	w.Helper()
	m := w.mirror(aptest.MirrorOptions{})
	root := filepath.Join(w.dir, dir)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m.Put("/debian/"+strings.TrimPrefix(name, root+"/"), data, time.Now())
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	source := "MIRROR/debian " + strings.Join(suite, " ")
	p := &place{mirrors: []*aptest.Mirror{m}, sources: []string{"deb " + source, "deb-src " + source}, signed: true}
	p.fetch = func(v *visit) {
		v.apt("install", "--download-only", "one", "g++")
		v.apt("source", "--download-only", "one")
	}
	return p
}

func ftparchive(w *workshop) *place {
	w.move("site/pool/main")
	inSite := func(args ...string) []byte {
		return w.run("sh", "-c", `cd site && exec apt-ftparchive "$@"`, "-", args[0], args[1])
	}
	w.write("site/dists/stable/main/binary-amd64/Packages", inSite("packages", "pool"))
	w.write("site/dists/stable/main/source/Sources", inSite("sources", "pool"))
	w.run("xz", "--keep", "site/dists/stable/main/binary-amd64/Packages")
	w.run("gzip", "--keep", "site/dists/stable/main/source/Sources")
	w.write("site/dists/stable/Release", w.run("apt-ftparchive", "-o", "APT::FTPArchive::Release::Suite=stable",
		"-o", "APT::FTPArchive::Release::Components=main", "-o", "APT::FTPArchive::Release::Architectures=amd64",
		"release", "site/dists/stable"))
	w.sign("site/dists/stable")
	return w.serve("site", "stable", "main")
}

func ftparchiveFlat(w *workshop) *place {
	w.move("site")
	inSite := func(command string) []byte {
		return w.run("sh", "-c", `cd site && exec apt-ftparchive "$1" .`, "-", command)
	}
	w.write("site/Packages", inSite("packages"))
	w.write("site/Sources", inSite("sources"))
	w.write("Release", inSite("release"))
	w.run("mv", "Release", "site/Release")
	w.sign("site")
	return w.serve("site", "./")
}

func reprepro(w *workshop) *place {
	w.write("site/conf/distributions", fmt.Appendf(nil,
		"Codename: trixie\nSuite: stable\nArchitectures: amd64 source\nComponents: main\nContents: .gz\nDebIndices: Packages Release . .gz .xz\nSignWith: %s\n", trusted.Fingerprint()))
	for _, p := range w.packages {
		w.run("reprepro", "-b", "site", "includedeb", "trixie", p)
	}
	w.run("reprepro", "-b", "site", "includedsc", "trixie", w.source)
	return w.serve("site", "trixie", "main")
}

// aptly publishes by hash, of four kinds.
func aptly(w *workshop) *place {
	w.move("packages")
	w.write("aptly.conf", []byte(`{"rootDir": "`+w.dir+`/aptly", "gpgProvider": "gpg", "skipContentsPublishing": true}`))
	run := func(args ...string) { w.run("aptly", append([]string{"-config=aptly.conf"}, args...)...) }
	run("repo", "create", "-distribution=stable", "-component=main", "test")
	run("repo", "add", "test", "packages")
	run("publish", "repo", "-batch", "-acquire-by-hash", "-architectures=amd64,source", "-gpg-key="+trusted.Fingerprint(), "test")
	return w.serve("aptly/public", "stable", "main")
}
