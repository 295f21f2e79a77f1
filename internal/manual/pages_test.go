package manual

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pages returns the text of each page of the manual by its name from docs/.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	docs := filepath.Join(root, "docs")
	err := filepath.WalkDir(docs, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(docs, name)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each page is in the site's navigation, or its readers do not find it.
func TestNavigation(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(root, "mkdocs.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, nav, ok := strings.Cut(string(config), "\nnav:\n")
	if !ok {
		t.Fatal("mkdocs.yml has no nav")
	}
	for name := range pages(t) {
		if !strings.Contains(nav, ": "+name+"\n") {
			t.Errorf("nav in mkdocs.yml does not have %s", name)
		}
	}
}
