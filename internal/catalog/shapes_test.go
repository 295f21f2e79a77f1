package catalog

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// TestArchivesAsAptAsks has the real apt update and download from archives of
// all shapes: the catalog knows all that it asked for, at the place where it
// asked.
func TestArchivesAsAptAsks(t *testing.T) {
	t.Parallel()
	const (
		index   = "main/binary-amd64/Packages"
		sha256  = "SHA256"
		deb     = "hello_1.0_amd64.deb"
		pool    = "pool/main/h/" + deb
		release = "/debian/dists/stable"
		source  = "/debian stable main"
	)
	for _, tc := range []struct {
		name     string
		source   string // of sources.list: path of the URL, suite and components
		release  string // the directory with the Release
		index    string // relative to that
		filename string
		path     string // of the package at the mirror
		hashes   string // by which the Release lists
		head     string // more fields of the Release
	}{
		{"usual", source, release, index, pool, "/debian/" + pool, sha256, ""},
		{"two slashes in the suite", "/debian stable/updates/x main", "/debian/dists/stable/updates/x", index, pool, "/debian/" + pool, sha256, ""},
		{"dists above", "/dists/repo stable main", "/dists/repo/dists/stable", index, pool, "/dists/repo/" + pool, sha256, ""},
		{"dists above and slashes", "/a/dists/b s/updates main", "/a/dists/b/dists/s/updates", index, pool, "/a/dists/b/" + pool, sha256, ""},
		{"dists in the suite", "/a b/dists/s main", "/a/dists/b/dists/s", index, pool, "/a/" + pool, sha256, ""},
		{"flat", "/repo ./", "/repo", "Packages", "./" + deb, "/repo/" + deb, sha256, ""},
		{"flat, at the root", " ./", "", "Packages", "./" + deb, "/" + deb, sha256, ""},
		{"flat, from above", "/repo stable/", "/repo/stable", "Packages", "stable/" + deb, "/repo/stable/" + deb, sha256, ""},
		{"flat, beside the directory", " apt/stable/", "/apt/stable", "Packages", "files/" + deb, "/files/" + deb, sha256, ""},
		{"flat below dists", "/x/dists/stable ./", "/x/dists/stable", "Packages", "./" + deb, "/x/dists/stable/" + deb, sha256, ""},
		{"flat in dists", "/x/dists stable/", "/x/dists/stable", "Packages", deb, "/x/dists/" + deb, sha256, ""},
		{"flat below dists, from the root", " x/dists/stable/", "/x/dists/stable", "Packages", "x/" + pool, "/x/" + pool, sha256, ""},

		{"./pool", source, release, index, "./" + pool, "/debian/" + pool, sha256, ""},
		{"/pool", source, release, index, "/" + pool, "/debian/" + pool, sha256, ""},
		{"//pool", source, release, index, "//" + pool, "/debian/" + pool, sha256, ""},
		{"pool//", source, release, index, "pool//main/./h//" + deb, "/debian/" + pool, sha256, ""},
		{"../pool", source, release, index, "x/../" + pool, "/debian/" + pool, sha256, ""},
		{"percent-encoded", source, release, index, "pool/a%2bb%20c%25d/" + deb, "", sha256, ""},
		{"characters of URLs", source, release, index, "pool/a+b~c:d=e@f,g;h!i$j&k'l(m)*n/" + deb, "", sha256, ""},
		{"a blank", source, release, index, "pool/a b/" + deb, "", sha256, ""},
		{"not ASCII", source, release, index, "pool/é/" + deb, "", sha256, ""},

		{"by-hash SHA256", source, release, index, pool, "/debian/" + pool, "SHA256", "Acquire-By-Hash: yes\n"},
		{"by-hash SHA512", source, release, index, pool, "/debian/" + pool, "SHA256 SHA512", "Acquire-By-Hash: yes\n"},
		{"by-hash of all hashes", source, release, index, pool, "/debian/" + pool, "MD5Sum SHA1 SHA512 SHA256", "Acquire-By-Hash: yes\n"},
		{"by-hash, flat", "/repo ./", "/repo", "Packages", "./" + deb, "/repo/" + deb, "MD5Sum SHA256 SHA512", "Acquire-By-Hash: yes\n"},
	} {
		for _, signed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, signed %v", tc.name, signed), func(t *testing.T) {
				t.Parallel()
				key := aptest.NewKey("archive")
				a := aptest.NewArchive(nil)
				file := a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
				list := a.Publish(day).File("dists/stable/" + index)
				list = bytes.Replace(list, []byte("Filename: "+file.Path), []byte("Filename: "+tc.filename), 1)
				m := aptest.NewMirror(t, aptest.MirrorOptions{})
				at := tc.path
				if at == "" {
					at = "/debian/" + tc.filename
				}
				m.Put(at, file.Data, day)
				text := listsBy("Suite: "+path.Base(tc.release)+"\nDate: "+day.Format(time.RFC1123)+"\nComponents: main\nArchitectures: amd64\n"+tc.head,
					map[string][]byte{tc.index: list}, strings.Fields(tc.hashes)...)
				m.Put(path.Join("/", tc.release, tc.index), list, day)
				if tc.head != "" {
					for by, sum := range sums(list) {
						m.Put(path.Join("/", tc.release, path.Dir(tc.index), "by-hash", by, sum), list, day)
					}
				}
				client := aptest.NewClient(t)
				source := "deb " + m.URL("/")
				if signed {
					client.Trust(key)
					m.Put(tc.release+"/InRelease", aptest.Clearsign(text, time.Now(), key), day)
				} else {
					source = "deb [trusted=yes] " + m.URL("/")
					m.Put(tc.release+"/Release", text, day)
				}
				client.Sources(strings.TrimSuffix(source, "/") + tc.source)
				client.MustApt("update")
				client.MustApt("install", "--download-only", "hello")

				c := newCatalog(t, key)
				for p, k := range replay(t, c, m) {
					if k == Unknown {
						t.Errorf("apt asked for %s, which is unknown", p)
					}
				}
				// Unsigned, that is for those clients alone who have its index.
				if signed || tc.name != "flat, beside the directory" {
					c.wantContent(t, Location{"http", m.Addr(), at, ""}.String(), file.Data, signed)
				}
				by := strings.Fields(tc.hashes)
				slices.Sort(by)
				if strongest := "*/by-hash/" + by[len(by)-1] + "/*"; tc.head != "" && m.Requests(strongest) == 0 {
					t.Errorf("apt did not ask for %s", strongest)
				}
			})
		}
	}
}

// oddIndices are changes of a Packages index with two packages.
var oddIndices = map[string]func(text string) string{
	"as published":            func(s string) string { return s },
	"CRLF":                    func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"empty lines":             func(s string) string { return "\n\n" + strings.ReplaceAll(s, "\n\n", "\n\n\n\n") },
	"blanks in empty lines":   func(s string) string { return strings.ReplaceAll(s, "Filename:", " \t\nFilename:") },
	"comments":                func(s string) string { return strings.ReplaceAll(s, "Filename:", "# a: x\n# b\nFilename:") },
	"a line that is no field": func(s string) string { return strings.Replace(s, "Section:", "something\nSection:", 1) },
	"a folded line at first":  func(s string) string { return " something\n" + s },
	"a field without value":   func(s string) string { return strings.Replace(s, "Section:", "Homepage:\nSection:", 1) },
	"a field twice": func(s string) string {
		return strings.Replace(s, "Filename:", "Filename: pool/other.deb\nFilename:", 1)
	},
	"names with blanks": func(s string) string { return strings.Replace(s, "Section:", "Built On: x\nSection :", 1) },
	"blanks after names": func(s string) string {
		return strings.NewReplacer("Filename:", "Filename :", "SHA256:", "SHA256\t:").Replace(s)
	},
	"names in lower case": func(s string) string {
		return strings.NewReplacer("Filename:", "filename:", "SHA256:", "sha256:").Replace(s)
	},
	"names not ASCII": func(s string) string { return strings.Replace(s, "Section:", "Größe: x\n: y\n-z: 1\nSection:", 1) },
	"values on the next line": func(s string) string {
		return strings.NewReplacer("Filename: ", "Filename:\n ", "SHA256: ", "SHA256:\n ").Replace(s)
	},
	"more blanks": func(s string) string {
		return strings.NewReplacer("Filename: ", "Filename:\t  ", "SHA256: ", "SHA256:").Replace(s)
	},
	"upper-case digits": func(s string) string {
		i := strings.LastIndex(s, "SHA256: ") + len("SHA256: ")
		return s[:i] + strings.ToUpper(s[i:i+64]) + s[i+64:]
	},
	"a stanza without SHA256": func(s string) string {
		return "Package: a\nVersion: 1\nArchitecture: all\nFilename: a.deb\nSize: 1\nMD5sum: 00\n\n" + s
	},
	"a stanza without all": func(s string) string { return "Package: a\nVersion: 1\nArchitecture: all\n\n" + s },
	"a size that is none": func(s string) string {
		return "Package: a\nVersion: 1\nArchitecture: all\nFilename: a.deb\nSize: x\n\n" + s
	},
	"a path over all bounds": func(s string) string {
		return "Package: a\nVersion: 1\nArchitecture: all\nFilename: " + strings.Repeat("a", 70_000) + "\n\n" + s
	},
	"very long lines": func(s string) string {
		return strings.ReplaceAll(s, "Section:", "Depends-X: "+strings.Repeat("x, ", 50_000)+"\nSection:")
	},
	"text that is not UTF-8":   func(s string) string { return strings.ReplaceAll(s, "Section:", "X-Author: J\xf6rg\nSection:") },
	"no newline at the end":    func(s string) string { return strings.TrimRight(s, "\n") },
	"more newlines at the end": func(s string) string { return s + "\n\n" },
}

// An index that the real apt reads is read here, and what apt can fetch is known.
func TestIndicesThatAptAccepts(t *testing.T) {
	t.Parallel()
	for name, change := range oddIndices {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := aptest.NewArchive(nil)
			a.Add(aptest.Package{Name: "goodbye", Version: "1.0", Arch: "amd64"})
			file := a.Add(aptest.Package{Name: "hello", Version: "1.0", Arch: "amd64"})
			const dir, index = "/debian/dists/stable/", "main/binary-amd64/Packages"
			list := []byte(change(string(a.Publish(day).File("dists/stable/" + index))))
			m := aptest.NewMirror(t, aptest.MirrorOptions{})
			m.Put("/debian/"+file.Path, file.Data, day)
			m.Put(dir+index, list, day)
			head := "Suite: stable\nDate: " + day.Format(time.RFC1123) + "\nComponents: main\nArchitectures: amd64\n"
			m.Put(dir+"Release", listsBy(head, map[string][]byte{index: list}, "SHA256"), day)
			client := aptest.NewClient(t)
			client.Sources("deb [trusted=yes] " + m.URL("/debian") + " stable main")
			out, err := client.Apt(t.Context(), "update")
			if err == nil {
				out, err = client.Apt(t.Context(), "install", "--download-only", "hello")
			}
			if err != nil {
				if name == "as published" {
					t.Error(err)
				}
				t.Logf("apt refuses it:\n%s", out)
				return
			}
			c := newCatalog(t)
			replay(t, c, m)
			c.wantContent(t, m.URL("/debian/"+file.Path), file.Data, false)
		})
	}
}
