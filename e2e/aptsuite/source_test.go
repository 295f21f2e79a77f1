package aptsuite

import (
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"millpond/e2e/internal/machine"
	"millpond/e2e/internal/system"
	"millpond/internal/aptest"
)

// environment is what a test of the suite reads when it begins.
//
//go:embed environment.sh
var environment []byte

// suite is apt's source, unpacked, with the programs that its tests need.
type suite struct {
	source, build string
	keys          string // directory with the key that the archives are signed with
}

// helpers are the programs of the source that the tests with a web server run,
// and how g++ makes them.
var helpers = map[string][]string{
	"aptwebserver":             {"aptwebserver.cc", "-lapt-pkg", "-lpthread"},
	"aptdropprivs":             {"aptdropprivs.cc", "-lapt-pkg"},
	"createdeb-cve-2020-27350": {"createdeb-cve-2020-27350.cc"},
	"extract-control":          {"extract-control.cc", "-lapt-pkg"},
	"libnoprofile.so":          {"-x", "c", "libnoprofile.c", "-shared", "-fPIC", "-ldl"},
	"mthdcat":                  {"mthdcat.cc", "-lapt-pkg"},
	"testdeb":                  {"testdeb.cc", "-lapt-pkg"},
}

// newSuite unpacks apt's source where its users can read it, and builds what
// the tests need.
func newSuite(t *testing.T) *suite {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-suite-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// apt's methods run as a user of their own.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, exec.Command("tar", "-C", dir, "-xf", sourcePackage(t)))
	unpacked, err := filepath.Glob(filepath.Join(dir, "*/test/integration/framework"))
	if err != nil || len(unpacked) != 1 {
		t.Fatalf("no suite in the source of apt: %v, %v", unpacked, err)
	}
	s := &suite{build: filepath.Join(dir, "build"), source: filepath.Clean(unpacked[0] + "/../../.."), keys: filepath.Join(dir, "keys")}
	if err := os.WriteFile(s.file("extra-environment"), environment, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.keys, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(s.file("joesixpack.pub"), filepath.Join(s.keys, "joesixpack.gpg")); err != nil {
		t.Fatal(err)
	}
	s.compile(t)
	return s
}

// file is the name of a file of the integration tests.
func (s *suite) file(name string) string { return filepath.Join(s.source, "test/integration", name) }

func (s *suite) compile(t *testing.T) {
	t.Helper()
	to := filepath.Join(s.build, "test/interactive-helper")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	// What cmake would write: nothing in it matters to the helpers.
	if err := os.WriteFile(filepath.Join(s.build, "config.h"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for name, args := range helpers {
		all.Go(func() {
			cmd := exec.Command("g++", append([]string{"-I", s.build, "-o", filepath.Join(to, name)}, args...)...)
			cmd.Dir = filepath.Join(s.source, "test/interactive-helper")
			if err := system.Finish(cmd); err != nil {
				t.Errorf("%v (install what .ci/packages names)", err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

var webServer = regexp.MustCompile(`changeto(https)?webserver|aptwebserver`)

// webTests are the tests that have a web server.
func (s *suite) webTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(s.file("test-*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if webServer.Match(text) {
			names = append(names, filepath.Base(f))
		}
	}
	slices.Sort(names)
	return names
}

// sourcePackage is the file with apt's source in the machine's distribution,
// from the machine's mirror. It is kept in the user's cache, with a name by the
// library of apt that the machine has.
func sourcePackage(t *testing.T) string {
	t.Helper()
	version, err := system.Output(t.Context(), "dpkg-query", "-W", "-f", "${Version}", "libapt-pkg-dev")
	if err != nil {
		t.Fatalf("%v (install what .ci/packages names)", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, "millpond/apt-suite/for-"+version+".tar.xz")
	switch _, err := os.Stat(kept); {
	case err == nil:
		return kept
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
	m, err := machine.Answering()
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	client := aptest.NewClient(t)
	client.Sources(m.Source("deb-src"))
	client.MustApt("update")
	client.MustApt("source", "--download-only", "apt")
	files, err := filepath.Glob(filepath.Join(client.Work, "apt_*.tar.xz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("apt-get source apt left %v, %v", files, err)
	}
	// Under its name when it is complete.
	must(t, exec.Command("sh", "-euc", `mkdir -p "${2%/*}"; cp "$1" "$2.new"; mv "$2.new" "$2"`, "sh", files[0], kept))
	return kept
}

func must(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := system.Finish(cmd); err != nil {
		t.Fatal(err)
	}
}
