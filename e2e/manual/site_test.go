package manual

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"millpond/e2e/internal/system"
)

// loaded is what a browser loads for a page by itself: scripts, styles, fonts and pictures.
var loaded = regexp.MustCompile(`(?:<(?:script|img|iframe|source)[^>]*\ssrc|<link[^>]*\shref|url\()=?["']?((?:https?:)?//[^"' )>]+)`)

func TestLoaded(t *testing.T) {
	for text, want := range map[string]bool{
		`<link rel="stylesheet" href="https://fonts.example.org/css">`: true,
		`<script src=//cdn.example.org/x.js></script>`:                 true,
		`@font-face{src:url(http://cdn.example.org/f.woff)}`:           true,
		`<a href="https://archive.example.org/">`:                      false,
		`<script src="assets/x.js"></script>`:                          false,
	} {
		if loaded.MatchString(text) != want {
			t.Errorf("%s: found %v", text, !want)
		}
	}
}

// mkdocs builds the site, finds no link that leads nowhere, and nothing on a page is loaded
// from another host.
func TestSite(t *testing.T) {
	site := t.TempDir()
	if err := system.Run("mkdocs", "build", "--strict", "--quiet", "--config-file", "../../mkdocs.yml", "--site-dir", site); err != nil {
		t.Fatal(err)
	}
	pages := 0
	err := filepath.WalkDir(site, func(name string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(name)
		if err != nil || ext != ".html" && ext != ".css" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range loaded.FindAllStringSubmatch(string(text), -1) {
			t.Errorf("%s loads %s", filepath.Base(name), m[1])
		}
		if ext == ".html" {
			pages++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages < 25 {
		t.Errorf("the site has %d pages", pages)
	}
	for _, taken := range []string{"SECURITY.html", "ARCHITECTURE.html", "troubleshooting/clients.html"} {
		if _, err := os.Stat(filepath.Join(site, taken)); err != nil {
			t.Error(err)
		}
	}
}
