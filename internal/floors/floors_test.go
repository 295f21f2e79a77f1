package floors

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floor says on which floor a package stands. A package imports floors below
// its own only, so never a sibling. Below them all lie disk, and digest, a word that
// everybody uses.
var floor = map[string]int{
	"appliance":          5,
	"internal/proxy":     4,
	"internal/dashboard": 4,
	"internal/fetch":     3,
	"internal/prefetch":  3,
	"internal/rings":     3,
	"internal/keep":      3,
	"internal/verify":    3,
	"internal/follow":    3,
	"internal/carry":     3,
	"internal/mirror":    2,
	"internal/swarm":     2,
	"internal/catalog":   1,
	"internal/store":     1,
	"internal/ledger":    1,
	"internal/clients":   1,
	"internal/digest":    -1,
	"internal/disk":      -1,
	"web":                0,
	"internal/deb":       0,
	"internal/deb822":    0,
	"internal/keyring":   0,
	"internal/kv":        0,
	"internal/peer":      0,
	"internal/broadcast": 0,
	"internal/recent":    0,
	"internal/api":       0,
	"internal/address":   0,
	"internal/hostnames": 0,
	"internal/logs":      0,
	"internal/party":     0,
	"internal/lag":       0,
	"internal/clock":     0,
	"internal/front":     0,
	"internal/jobs":      0,
	"internal/backup":    0,

	"internal/siteledger": 3,
}

// floorOf returns the floor of package p. A package nested in another one, as
// internal/fetch/pieces, is a part of it: it stands on the same floor.
func floorOf(p string) (n int, known bool) {
	for ; p != "."; p = path.Dir(p) {
		if n, known = floor[p]; known {
			return n, true
		}
	}
	return 0, false
}

// mayImport reports whether package p may import package imp: one of a lower
// floor, or a part of its own. A part is nobody else's, not even another
// part's: so it can be read without the whole.
func mayImport(p, imp string) bool {
	if strings.HasPrefix(imp, p+"/") {
		return path.Dir(imp) == p
	}
	if _, whole := floor[imp]; !whole {
		return false
	}
	mine, _ := floorOf(p)
	return floor[imp] < mine
}

// forTests are imported by tests alone and may import whatever they test.
var forTests = []string{"internal/aptest", "internal/boxtest", "internal/floors", "internal/manual", "internal/disk/disktest", "internal/store/storetest"}

// maxLines is how long a file may be: what one can hold in mind.
const maxLines = 400

// file is one parsed source file.
type file struct {
	name string // from the root
	pkg  string // its directory from the root
	test bool
	ast  *ast.File
	src  []byte
}

// The tests parse the source instead of asking `go list`: a cached result
// would hide a new import.
func sources(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []file
	for _, top := range []string{"appliance", "internal", "web"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(name string, d fs.DirEntry, err error) error {
			switch {
			case os.IsNotExist(err) && top == "web":
				return nil
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata"):
				return fs.SkipDir
			case d.IsDir() || filepath.Ext(name) != ".go":
				return nil
			}
			src, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			all = append(all, file{rel, path.Dir(rel), strings.HasSuffix(rel, "_test.go"), parsed, src})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %d files; the test looks in the wrong place", len(all))
	}
	return all
}

func (f file) imports(t *testing.T) []string {
	var all []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestImportsGoDown(t *testing.T) {
	for _, f := range sources(t) {
		if slices.Contains(forTests, f.pkg) {
			continue
		}
		if _, known := floorOf(f.pkg); !known {
			t.Errorf("%s: package %s stands on no floor; give it one here and in ARCHITECTURE.md", f.name, f.pkg)
			continue
		}
		for _, imp := range f.imports(t) {
			p, ours := strings.CutPrefix(imp, "millpond/")
			if !ours || p == f.pkg {
				continue
			}
			if slices.Contains(forTests, p) {
				if !f.test {
					t.Errorf("%s imports %s outside a test", f.name, p)
				}
				continue
			}
			if !mayImport(f.pkg, p) {
				t.Errorf("%s imports %s; only lower floors, and a package's own parts, are allowed", f.name, p)
			}
		}
	}
}

func TestMayImport(t *testing.T) {
	for _, c := range []struct {
		pkg, imp string
		want     bool
	}{
		{"internal/proxy", "internal/fetch", true},
		{"internal/fetch", "internal/proxy", false},
		{"internal/fetch", "internal/prefetch", false},
		{"internal/fetch", "internal/fetch/pieces", true},
		{"internal/fetch/pieces", "internal/peer", true},
		{"internal/fetch/pieces", "internal/fetch", false},
		{"internal/fetch/pieces", "internal/fetch/release", false},
		{"internal/proxy", "internal/fetch/pieces", false},
		{"appliance", "internal/fetch/pieces", false},
		{"internal/fetch/pieces", "internal/swarm", true},
		{"internal/fetch", "internal/absent", false},
	} {
		if got := mayImport(c.pkg, c.imp); got != c.want {
			t.Errorf("%s may import %s: %v, want %v", c.pkg, c.imp, got, c.want)
		}
	}
}

// A guest is a library that one package alone deals with.
func TestGuests(t *testing.T) {
	hosts := map[string][]string{
		"github.com/libp2p/go-":         {"internal/swarm"},
		"github.com/libp2p/zeroconf":    {"appliance"}, // mDNS for apt clients
		"github.com/dgraph-io/badger/":  {"internal/kv"},
		"github.com/ProtonMail/":        {"internal/keyring", "internal/aptest"},
		"github.com/caarlos0/env/":      {"appliance"},
		"github.com/prometheus/":        {"internal/dashboard"},
		"github.com/ipfs/go-datastore":  {"internal/kv", "internal/swarm", "internal/swarm/reputation"},
		"github.com/klauspost/compress": {"internal/catalog", "internal/aptest"},
	}
	for _, f := range sources(t) {
		for _, imp := range f.imports(t) {
			for guest, at := range hosts {
				if strings.HasPrefix(imp, guest) && !slices.Contains(at, f.pkg) {
					t.Errorf("%s imports %s, which is dealt with in %v alone", f.name, imp, at)
				}
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	comments := make(map[string]int)
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		comments[f.pkg] += 0
		if f.ast.Doc != nil {
			comments[f.pkg]++
			if text := f.ast.Doc.Text(); strings.Contains(text, "Copyright") || strings.Count(text, "\n") < 3 {
				t.Errorf("%s: the package comment is no short manual:\n%s", f.name, text)
			}
		}
	}
	for pkg, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", pkg, n)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, f := range sources(t) {
		if n := bytes.Count(f.src, []byte("\n")); n > maxLines && !f.test {
			t.Errorf("%s has %d lines; past %d a file holds two ideas", f.name, n, maxLines)
		}
	}
}

func TestModule(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("\nreplace ")) {
		t.Error("go.mod replaces a module; the build would differ from what is written")
	}
}

// Causes are logged under the key err: the dashboard's events show no other.
func TestLogKeys(t *testing.T) {
	for _, f := range sources(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "With"}, fn.Sel.Name) {
				return true
			}
			for _, arg := range call.Args[min(1, len(call.Args)):] {
				if key, ok := arg.(*ast.BasicLit); ok && slices.Contains([]string{`"error"`, `"Err"`, `"cause"`}, key.Value) {
					t.Errorf("%s: a log call has the key %s, want \"err\"", f.name, key.Value)
				}
			}
			return true
		})
	}
}
