package floors

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the checkout, seen from this package's directory.
const root = "../.."

// documents returns the text of each Markdown file by its name from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all["README.md"] == "" || all["ARCHITECTURE.md"] == "" {
		t.Fatalf("found %v; the test looks in the wrong place", slices.Collect(maps.Keys(all)))
	}
	return all
}

var (
	// linked is the target of an inline link or image.
	linked = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// codeBlock is a fenced block, in which brackets are no links.
	codeBlock = regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```")
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	// notInAnchor is what GitHub leaves out of a heading's anchor.
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the anchors that GitHub gives the headings of a text.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		a := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(a, " ", "-"))
	}
	return all
}

func TestLinksOfDocuments(t *testing.T) {
	all := documents(t)
	for name, text := range all {
		for _, m := range linked.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], ":") {
				continue // elsewhere
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s links to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// namedTest is a test as documents name it: `store.TestKill` of internal/store,
// `e2e/apt.TestMirrorAway` of a directory from the root.
var namedTest = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9_]+)`")

// hasTest reports whether the package has the test.
func hasTest(t *testing.T, pkg, test string) bool {
	t.Helper()
	for _, dir := range []string{pkg, "internal/" + pkg} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(src), fmt.Sprintf("\nfunc %s(", test)) {
				return true
			}
		}
	}
	return false
}

func TestNamedTestsExist(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			if !hasTest(t, m[1], m[2]) {
				t.Errorf("%s names %s, which does not exist", name, m[0])
			}
		}
	}
}

// TestInvariantsNameTests holds each item of "What always holds" to naming what
// enforces it.
func TestInvariantsNameTests(t *testing.T) {
	_, section, found := strings.Cut(documents(t)["ARCHITECTURE.md"], "\n## What always holds\n")
	if !found {
		t.Fatal("ARCHITECTURE.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	items := regexp.MustCompile(`(?m)^\d+\. `).Split(section, -1)[1:]
	if len(items) < 7 {
		t.Errorf("%d invariants, want 7 at least", len(items))
	}
	for i, item := range items {
		if !namedTest.MatchString(item) {
			t.Errorf("invariant %d names no test:\n%s", i+1, item)
		}
	}
}
