package manual

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
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

// link is a link within the site, to a page, a heading or both; id is what one leads to.
var (
	link = regexp.MustCompile(`<a [^>]*href="([^":#]*)#([^"]+)"`)
	id   = regexp.MustCompile(`\sid="([^"]+)"`)
)

// brokenHeadings are the links of a site to headings that are not there, which mkdocs does
// not look for.
func brokenHeadings(pages map[string]string) (broken []string) {
	ids := make(map[string]bool)
	for name, text := range pages {
		for _, m := range id.FindAllStringSubmatch(text, -1) {
			ids[name+"#"+m[1]] = true
		}
	}
	for name, text := range pages {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			to := name
			if m[1] != "" {
				to = path.Join(path.Dir(name), m[1])
			}
			if !ids[to+"#"+m[2]] {
				broken = append(broken, name+" to "+to+"#"+m[2])
			}
		}
	}
	return broken
}

func TestBrokenHeadings(t *testing.T) {
	broken := brokenHeadings(map[string]string{
		"a.html":   `<a href="b/c.html#there">, <a href="#here">, <a class="x" href="b/c.html#nowhere">, <h2 id="here">`,
		"b/c.html": `<a href="../a.html#here">, <h2 id="there">, <a href="https://archive.example.org/a.html#x">`,
	})
	if want := []string{"a.html to b/c.html#nowhere"}; !slices.Equal(broken, want) {
		t.Errorf("got %q, want %q", broken, want)
	}
}

// mkdocs builds the site, finds no link that leads nowhere, and nothing on a page is loaded
// from another host.
func TestSite(t *testing.T) {
	site := t.TempDir()
	if err := system.Run("mkdocs", "build", "--strict", "--quiet", "--config-file", "../../mkdocs.yml", "--site-dir", site); err != nil {
		t.Fatal(err)
	}
	pages := make(map[string]string)
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
			rel, err := filepath.Rel(site, name)
			if err != nil {
				return err
			}
			pages[filepath.ToSlash(rel)] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 25 {
		t.Errorf("the site has %d pages", len(pages))
	}
	for _, broken := range brokenHeadings(pages) {
		t.Errorf("a link leads nowhere: %s", broken)
	}
	for _, taken := range []string{"SECURITY.html", "ARCHITECTURE.html", "troubleshooting/clients.html"} {
		if _, err := os.Stat(filepath.Join(site, taken)); err != nil {
			t.Error(err)
		}
	}
}
