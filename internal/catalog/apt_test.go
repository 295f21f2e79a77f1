package catalog

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// oddReleases are changes of a Release that real archives or their tools make,
// or could make. Left out is a text without any field of a Release, which apt
// takes from a trusted archive, and which here would be a portal's page.
var oddReleases = map[string]func(text string) string{
	"as published":               func(s string) string { return s },
	"no Date":                    func(s string) string { return without(s, "Date") },
	"empty Date":                 func(s string) string { return field(s, "Date", "") },
	"nonsense":                   func(s string) string { return field(s, "Date", "yesterday") },
	"Date in another zone":       func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00 +0200") },
	"Date in a named zone":       func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00 CET") },
	"Date without zone":          func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00") },
	"Date in +0000":              func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00 +0000") },
	"Date in -0000":              func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00 -0000") },
	"Date in Z":                  func(s string) string { return field(s, "Date", "Sun, 01 Mar 2026 08:00:00 Z") },
	"Date of one digit":          func(s string) string { return field(s, "Date", "Sun, 1 Mar 2026 8:00:00 UTC") },
	"Date of RFC 850":            func(s string) string { return field(s, "Date", "Sunday, 01-Mar-26 08:00:00 GMT") },
	"Date of asctime":            func(s string) string { return field(s, "Date", "Sun Mar  1 08:00:00 2026") },
	"Date of the wrong weekday":  func(s string) string { return field(s, "Date", "Mon, 01 Mar 2026 08:00:00 UTC") },
	"Date of ISO 8601":           func(s string) string { return field(s, "Date", "2026-03-01T08:00:00Z") },
	"Date with more blanks":      func(s string) string { return field(s, "Date", "Sun,  01  Mar 2026\t08:00:00   UTC") },
	"Date on the next line":      func(s string) string { return field(s, "Date", "\n Sun, 01 Mar 2026 08:00:00 UTC") },
	"Valid-Until far":            func(s string) string { return "Valid-Until: Sun, 01 Mar 2099 08:00:00 UTC\n" + s },
	"Valid-Until empty":          func(s string) string { return "Valid-Until:\n" + s },
	"Valid-Until nonsense":       func(s string) string { return "Valid-Until: tomorrow\n" + s },
	"Valid-Until in a zone":      func(s string) string { return "Valid-Until: Sun, 01 Mar 2099 08:00:00 +0200\n" + s },
	"unknown fields":             func(s string) string { return "X-Build: 1\n y\n .\nNotAutomatic: yes\nSnapshots: no\n" + s },
	"comment lines":              func(s string) string { return strings.ReplaceAll(s, "SHA256:", "# one: two\nSHA256:") },
	"comment without colon":      func(s string) string { return strings.ReplaceAll(s, "Origin:", "# one\nOrigin:") },
	"no field":                   func(s string) string { return strings.ReplaceAll(s, "Label:", "something\nLabel:") },
	"no field at the end":        func(s string) string { return s + "something\n" },
	"no field at first":          func(s string) string { return "something\n" + s },
	"folded line at first":       func(s string) string { return " something\n" + s },
	"empty values":               func(s string) string { return field(field(s, "Origin", ""), "Suite", "") },
	"a name with a blank":        func(s string) string { return "Build Number: 1\nBuild : 2\n" + s },
	"a name that is not ASCII":   func(s string) string { return "Größe: 1\n-x: 3\n" + s },
	"a line that is a colon":     func(s string) string { return ": 1\n" + s },
	"field twice":                func(s string) string { return "Origin: One\nOrigin: Two\nSuite: other\n" + s },
	"list twice":                 func(s string) string { return s + "SHA256:\n" },
	"empty list first":           func(s string) string { return "SHA256:\n" + s },
	"CRLF":                       func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"empty lines first":          func(s string) string { return "\n\n" + s },
	"more stanzas":               func(s string) string { return s + "\nOrigin: evil\nSHA256:\n 00 1 a\n" },
	"blank lines between fields": func(s string) string { return strings.ReplaceAll(s, "SHA256:", " \t\nSHA256:") },
	"blank lines in a list":      func(s string) string { return strings.Replace(s, "SHA256:\n", "SHA256:\n \n", 1) },
	"very long lines": func(s string) string {
		return "Changelogs: " + strings.Repeat("x", 200_000) + "\nX:\n " + strings.Repeat("y", 200_000) + "\n" + s
	},
	"very long value": func(s string) string { return field(s, "Label", strings.Repeat("x", 100_000)) },
	"tabs": func(s string) string {
		return entries(s, func(f []string) string { return "\t" + strings.Join(f, "\t") })
	},
	"lower-case names": func(s string) string { return strings.NewReplacer("SHA256:", "sha256:", "Date:", "date:").Replace(s) },
	"dotted paths": func(s string) string {
		return entries(s, func(f []string) string { return " " + f[0] + " " + f[1] + " ./" + f[2] })
	},
	"absolute paths": func(s string) string {
		return entries(s, func(f []string) string { return " " + f[0] + " " + f[1] + " /" + f[2] })
	},
	"paths that climb": func(s string) string {
		return entries(s, func(f []string) string { return " " + f[0] + " " + f[1] + " ../stable/" + f[2] })
	},
	"a path that climbs more": func(s string) string { return s + " " + strings.Repeat("0", 64) + " 1 ../../x\n" },
	"upper-case hashes": func(s string) string {
		return entries(s, func(f []string) string { return " " + strings.ToUpper(f[0]) + " " + f[1] + " " + f[2] })
	},
	"sizes missing":            func(s string) string { return entries(s, func(f []string) string { return " " + f[0] + " " + f[2] }) },
	"one size missing":         func(s string) string { return s + " " + strings.Repeat("1", 64) + " main/x\n" },
	"entry of one word":        func(s string) string { return s + " x\n" },
	"entry of four words":      func(s string) string { return s + " " + strings.Repeat("1", 64) + " 1 main/a b\n" },
	"digest of zeros":          func(s string) string { return s + " " + strings.Repeat("0", 64) + " 1 main/x\n" },
	"digest too short":         func(s string) string { return s + " 0123 1 main/x\n" },
	"negative size":            func(s string) string { return s + " " + strings.Repeat("1", 64) + " -1 main/x\n" },
	"size with a unit":         func(s string) string { return s + " " + strings.Repeat("1", 64) + " 1k main/x\n" },
	"list on the field's line": func(s string) string { return strings.Replace(s, "SHA256:\n", "SHA256: ", 1) },
	"by-hash Yes":              func(s string) string { return field(s, "Acquire-By-Hash", "Yes") },
	"by-hash true":             func(s string) string { return field(s, "Acquire-By-Hash", "true") },
	"by-hash 1":                func(s string) string { return field(s, "Acquire-By-Hash", "1") },
	"by-hash 2":                func(s string) string { return field(s, "Acquire-By-Hash", "2") },
	"by-hash on":               func(s string) string { return field(s, "Acquire-By-Hash", "on") },
	"by-hash force":            func(s string) string { return field(s, "Acquire-By-Hash", "force") },
	"by-hash no":               func(s string) string { return field(s, "Acquire-By-Hash", "no") },
	"by-hash folded":           func(s string) string { return field(s, "Acquire-By-Hash", "\n yes") },
	"no fields but a list":     func(s string) string { return s[strings.Index(s, "SHA256:"):] },
	"no list":                  func(s string) string { return s[:strings.Index(s, "MD5Sum:")] },
	"Origin alone":             func(s string) string { return "Origin: Test\n" },
	"no newline at the end":    func(s string) string { return strings.TrimSuffix(s, "\n") },
}

// Of these apt takes no hash from the lists.
var withoutHashes = []string{"no list", "Origin alone", "list twice", "empty lines first", "absolute paths", "dotted paths", "paths that climb"}

func without(s, name string) string {
	i := strings.Index(s, name+":")
	j := i + strings.IndexByte(s[i:], '\n') + 1
	return s[:i] + s[j:]
}

func field(s, name, value string) string {
	i := strings.Index(s, name+":")
	j := i + strings.IndexByte(s[i:], '\n')
	return s[:i] + name + ": " + value + s[j:]
}

// entries rewrites the entries of all lists.
func entries(s string, entry func(words []string) string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if f := strings.Fields(l); strings.HasPrefix(l, " ") && len(f) == 3 {
			lines[i] = entry(f)
		}
	}
	return strings.Join(lines, "\n")
}

// What the real apt takes for a Release, the box takes for one, and knows the
// index that apt asks for.
func TestReleasesThatAptAccepts(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt for some hundred Releases")
	}
	t.Parallel()
	key := aptest.NewKey("archive")
	a := aptest.NewArchive(key, aptest.Suite{NoPDiffs: true, Compressions: []string{"gz"}})
	deb := a.Add(aptest.Package{Name: "hello", Version: "1.0"})
	g := a.Publish(day)
	const dir = "dists/stable/"
	for name, change := range oddReleases {
		for _, signed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, signed %v", name, signed), func(t *testing.T) {
				t.Parallel()
				text := []byte(change(string(g.File(dir + "Release"))))
				m := aptest.NewMirror(t, aptest.MirrorOptions{})
				for p, data := range g.Files() {
					if path.Dir(p) != path.Clean(dir) {
						m.Put("/debian/"+p, data, day)
					}
				}
				client := aptest.NewClient(t)
				source := "deb " + m.URL("/debian") + " stable main"
				if signed {
					client.Trust(key)
					m.Put("/debian/"+dir+"InRelease", aptest.Clearsign(text, time.Now(), key), day)
				} else {
					source = strings.Replace(source, "deb", "deb [trusted=yes]", 1)
					m.Put("/debian/"+dir+"Release", text, day)
				}
				client.Sources(source)
				if out, err := client.Apt(t.Context(), "-o", "APT::Update::Error-Mode=any", "update"); err != nil {
					if name == "as published" {
						t.Error(err)
					}
					t.Logf("apt refuses it:\n%s", out)
					return
				}
				_, err := client.Apt(t.Context(), "install", "--download-only", "hello")
				c := newCatalog(t, key)
				known := replay(t, c, m)
				if installed := err == nil; installed && !slices.Contains(withoutHashes, name) {
					c.wantContent(t, m.URL("/debian/"+deb.Path), deb.Data, signed)
				} else if !installed && slices.Contains(slices.Collect(maps.Values(known)), Content) {
					t.Errorf("apt knows no package, the box knows %v", known)
				}
			})
		}
	}
}

// replay shows c what a mirror has sent to apt, in that order, and returns what
// the files were. No Release may be refused, and no index unreadable.
func replay(t *testing.T, c *Catalog, m *aptest.Mirror) map[string]Kind {
	t.Helper()
	known := make(map[string]Kind)
	given := make(map[Location]digest.Digest)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, r := range m.Log() {
		if r.Status != http.StatusOK {
			continue
		}
		resp, err := client.Get(m.URL(r.Path))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(r.Path, resp.Status, err)
		}
		l := Location{"http", m.Addr(), r.Path, ""}
		if !Plausible(l) {
			t.Errorf("%s is not plausible", l)
		}
		e := c.Resolve(t.Context(), l, func(suite Location) digest.Digest { return given[suite] })
		known[r.Path] = e.Kind
		switch {
		case e.Kind == ReleaseFile:
			files := ReleaseFiles{Release: data}
			if l.Name() == "InRelease" {
				files = ReleaseFiles{InRelease: data}
			}
			g, err := c.learnRelease(l.Dir(), files)
			if err != nil {
				t.Errorf("apt accepts what the box refuses: %v", err)
			}
			given[l.Dir()] = g.ID
		case e.Index:
			if err := c.LearnIndex(t.Context(), e, bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
		}
		if e.Kind == Content && e.Digest != digest.Of(data) {
			t.Errorf("%s is taken for %s", r.Path, e.Digest.Short())
		}
	}
	return known
}
