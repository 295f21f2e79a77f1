package apt

import (
	"bytes"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/system"
	"millpond/internal/aptest"
)

// way is how a client reaches the archive: straight, by the box as its proxy, or
// by the mirror's name in a path of the box.
type way struct {
	proxy string // URL of the box, "" for none
	uri   string // of the archive
}

// host and root are the two halves of a URI, for clients that take them apart.
func (w way) host() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(w.uri, "http://"), "/")
	return host
}

func (w way) root() string { return strings.TrimPrefix(w.uri, "http://"+w.host()) }

// environment is that of a client which reads the usual variables.
func (w way) environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	if w.proxy != "" {
		env = append(env, "http_proxy="+w.proxy)
	}
	return env
}

// software is a client other than apt-get. It fetches all it can of the archive
// into a directory of its own, and returns what it got by path.
type software struct {
	name, needs string
	unpack      string // the Debian package that it comes in, if that must not be installed
	fetch       func(t *testing.T, s *site, w way, unpacked string) map[string][]byte
	forms       []string // that it knows, "proxy" and "path" if nil
	listen      string   // where its mirror listens, if that matters to it
}

// clientSite is an archive that has something for each client, before a box of
// its own.
func clientSite(t *testing.T, listen string, upstreams ...string) *site {
	t.Helper()
	s := &site{key: aptest.NewKey("archive")}
	s.archive = aptest.NewArchive(s.key, aptest.Suite{}, aptest.Suite{Name: "stable-security"})
	for _, p := range []aptest.Package{
		{Name: "tool", Version: "1.0-1", Arch: "amd64", Depends: "tool-data (>= 1), libtool++1"},
		{Name: "tool", Version: "1.0-1+deb1", Arch: "amd64", Suite: "stable-security"},
		// Each client escapes a name in its own way, or not at all.
		{Name: "libtool++1", Version: "2:1.2~rc1+dfsg-1", Arch: "amd64", Size: 3000},
		{Name: "tool-data", Version: "1.0-1", Size: 600 << 10},
		{Name: "base-files", Version: "1", Arch: "amd64", Priority: "required", Fields: "Essential: yes\n"},
		{Name: "dpkg", Version: "1", Arch: "amd64", Priority: "required", Size: 40000, Fields: "Essential: yes\n"},
		{Name: "base-passwd", Version: "1", Arch: "amd64", Priority: "required", Fields: "Essential: yes\n"},
		{Name: "apt", Version: "1", Arch: "amd64", Priority: "important", Size: 30000},
		{Name: "tool-udeb", Version: "1.0-1", Arch: "amd64", Priority: "standard", Size: 5000, Udeb: true},
		{Name: "more-udeb", Version: "1.0+b1", Arch: "amd64", Size: 700 << 10, Udeb: true},
	} {
		p.Files = map[string][]byte{"usr/bin/" + p.Name: []byte("#!/bin/sh\n")}
		s.archive.Add(p)
	}
	s.archive.AddSource(aptest.Source{Name: "tool", Version: "1.0-1"})
	s.mirror = aptest.NewMirror(t, aptest.MirrorOptions{Listen: listen})
	s.mirror.Publish("/debian", s.archive.Publish(time.Now()))
	upstreams = append(upstreams, s.mirror.Addr())
	s.box = box.Start(t, s.settings(t, "MILLPOND_ALLOW_UPSTREAMS="+strings.Join(upstreams, ","))...)
	return s
}

// by is the way to the archive in a form: "direct", "proxy" or "path"; or "boot",
// which is "proxy" for what knows of it early.
func (s *site) by(form string) way {
	host := strings.TrimSuffix(s.mirror.Addr(), ":80")
	switch form {
	case "proxy", "boot":
		return way{proxy: s.box.URL, uri: "http://" + host + "/debian"}
	case "path":
		return way{uri: s.box.URL + "/" + host + "/debian"}
	}
	return way{uri: "http://" + host + "/debian"}
}

// TestClients runs each client straight to the mirror, then through a new box,
// twice in each form that the client knows, and once more with the mirror away.
// It must get the same bytes every time, and the second time the mirror must send
// nothing but Release files.
func TestClients(t *testing.T) {
	for _, a := range slices.Concat(aptClients, mirrorTools) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			need(t, a.needs)
			dir := ""
			if a.unpack != "" {
				dir = unpacked(t, a.unpack)
			}
			forms := a.forms
			if forms == nil {
				forms = []string{"proxy", "path"}
			}
			for _, form := range forms {
				t.Run(form, func(t *testing.T) { a.compare(t, clientSite(t, a.listen), form, dir) })
			}
		})
	}
}

// compare is TestClients for one form.
func (a *software) compare(t *testing.T, s *site, form, unpacked string) {
	want := a.fetch(t, s, s.by("direct"), unpacked)
	if len(want) == 0 {
		t.Fatal("the client fetched nothing from the mirror itself")
	}
	for _, turn := range []string{"first", "second"} {
		s.mirror.ResetLog()
		same(t, turn+" time", a.fetch(t, s, s.by(form), unpacked), want)
		onlyTheBox(t, s)
	}
	onlyReleases(t, s)
	s.mirror.Down()
	same(t, "without the mirror", a.fetch(t, s, s.by(form), unpacked), want)
	t.Logf("%d files, %d kB from the mirror at first", len(want), s.box.Summary().MirrorBytes/1000)
}

// onlyReleases checks that since the log was reset the mirror sent nothing but
// Release files. What a client tries and the archive has not does not count.
func onlyReleases(t *testing.T, s *site) {
	t.Helper()
	for _, r := range s.mirror.Log() {
		release := slices.Contains([]string{"InRelease", "Release", "Release.gpg"}, path.Base(r.Path)) &&
			path.Dir(path.Dir(r.Path)) == "/debian/dists"
		if !release && r.Sent > 0 && r.Status != http.StatusNotFound {
			t.Errorf("the mirror sent %d bytes of %s %s (%d) once more", r.Sent, r.Method, r.Path, r.Status)
		}
	}
}

// onlyTheBox checks that since the log was reset nobody but the box asked the
// mirror.
func onlyTheBox(t *testing.T, s *site) {
	t.Helper()
	for _, r := range s.mirror.Log() {
		if !strings.HasPrefix(r.UserAgent, "millpond") {
			t.Errorf("%s %s went past the box (%s)", r.Method, r.Path, r.UserAgent)
		}
	}
}

// same compares what a client got with what it should have.
func same(t *testing.T, when string, got, want map[string][]byte) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if b, ok := got[name]; !ok {
			t.Errorf("%s: no %s through the box", when, name)
		} else if !bytes.Equal(b, want[name]) {
			t.Errorf("%s: %s has %d bytes through the box, %d without, and they differ", when, name, len(b), len(want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s came through the box only", when, name)
		}
	}
}

// files reads what is below a directory, by the part of each path that follows
// after: a client keeps what it fetched under the name of the host.
func files(t *testing.T, dir, after string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		_, rest, found := strings.Cut(strings.TrimPrefix(name, dir), after)
		if !found {
			return nil
		}
		all[rest], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// need skips the test where a program is not installed; with CI set it fails.
func need(t *testing.T, program string) {
	t.Helper()
	_, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("CI") == "":
		t.Skipf("%v (install what .ci/packages names)", err)
	default:
		t.Fatal(err)
	}
}

// unpacked downloads a Debian package with the machine's apt and unpacks it.
// Some must not be installed: they would change what this machine's own apt
// fetches, or when.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	configuredMirror(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", `apt-get -q download "$1"; dpkg-deb -x ./*.deb .`, "sh", name)
	cmd.Dir = dir
	if err := system.Finish(cmd); err != nil {
		t.Fatal(err)
	}
	return dir
}
