package manual

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the glossary of docs/ from ARCHITECTURE.md")

// TestGlossary keeps the manual's glossary the table under "Words" of ARCHITECTURE.md. After
// a change of that:
//
//	go test ./internal/manual -run TestGlossary -update
func TestGlossary(t *testing.T) {
	const begin, end = "<!-- glossary -->\n", "<!-- /glossary -->"
	architecture, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(architecture), "\n## Words\n")
	_, table, ok := strings.Cut(section, "\n\n|")
	table, _, ok2 := strings.Cut(table, "\n\n")
	if !ok || !ok2 || strings.Count(table, "\n") < 30 {
		t.Fatal("ARCHITECTURE.md has no table under Words")
	}
	want := "|" + table + "\n"
	page := filepath.Join(root, "docs", "glossary.md")
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	has, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s and %s", page, begin, end)
	}
	switch {
	case has == want:
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not the table of ARCHITECTURE.md; run `go test ./internal/manual -run TestGlossary -update`", page)
	}
}
