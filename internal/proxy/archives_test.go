package proxy

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
)

// realBox is a Proxy over the real parts, which trusts the key.
func realBox(t *testing.T, key *aptest.Key) (*box, *catalog.Catalog) {
	t.Helper()
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "archive.gpg"), key.Public(), 0o600); err != nil {
		t.Fatal(err)
	}
	parts := boxtest.New(t, boxtest.Options{Keys: keys})
	f := fetch.New(fetch.Options{
		Store: parts.Store, Catalog: parts.Catalog, Mirror: parts.Mirror, Names: parts.DB.Table("names"), TTL: time.Minute, Log: parts.Log,
	})
	t.Cleanup(func() { f.Close() })
	return newBox(func(o *Options) { o.Catalog, o.Fetcher = parts.Catalog, f }).serve(t), parts.Catalog
}

// A shape is an archive at a mirror, with the package hello.
type shape struct {
	sources []string // paths of URLs with suites and components
	at      string   // where the package is
	deb     []byte
	release bool // there is a Release
	shared  bool // other boxes get it from this one
}

// put makes a suite at the mirror, the index of which lists a file as hello. The
// Release lists by the hashes; with SHA512 the index has its name by that alone.
func put(m *aptest.Mirror, key *aptest.Key, dir, index, filename string, deb []byte, version, hashes string) {
	old := time.Now().Add(-time.Hour)
	list := fmt.Appendf(nil, "Package: hello\nVersion: %s\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\nFilename: %s\nSize: %d\nSHA256: %s\n",
		version, filename, len(deb), digest.Of(deb))
	release := fmt.Sprintf("Suite: %s\nDate: %s\nComponents: main\nArchitectures: amd64\nAcquire-By-Hash: yes\n",
		path.Base(dir), old.UTC().Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	at := dir + "/" + index
	if strings.Contains(hashes, "SHA256") {
		release += fmt.Sprintf("SHA256:\n %s %d %s\n", digest.Of(list), len(list), index)
	}
	if strings.Contains(hashes, "SHA512") {
		sum := sha512.Sum512(list)
		release += fmt.Sprintf("SHA512:\n %x %d %s\n", sum, len(list), index)
		at = fmt.Sprintf("%s/by-hash/SHA512/%x", path.Dir(at), sum)
	}
	m.Put(at, list, old)
	if key != nil {
		m.Put(dir+"/InRelease", aptest.Clearsign([]byte(release), old, key), old)
	}
}

// Archives of any shape work through the box as they do without it: for a
// second client at no cost, and for one whose box never saw the archive.
func TestRealAptAndShapesOfArchives(t *testing.T) {
	if testing.Short() {
		t.Skip("runs apt against several boxes")
	}
	t.Parallel()
	key := aptest.NewKey("archive")
	const index, file = "main/binary-amd64/Packages", "hello_2_all.deb"
	build := func(version string, size int) []byte {
		return aptest.NewArchive(nil).Add(aptest.Package{Name: "hello", Version: version, Size: size}).Data
	}
	deb, other := build("2", 400<<10), build("1", 300<<10)
	for name, make := range map[string]func(m *aptest.Mirror) shape{
		"flat, beside the directory": func(m *aptest.Mirror) shape {
			put(m, key, "/apt/stable", "Packages", "files/"+file, deb, "2", "SHA256")
			return shape{[]string{" apt/stable/"}, "/files/" + file, deb, true, true}
		},
		"flat, without Release": func(m *aptest.Mirror) shape {
			put(m, nil, "/repo", "Packages", "./"+file, deb, "2", "SHA256")
			return shape{[]string{"/repo ./"}, "/repo/" + file, deb, false, false}
		},
		"flat, below dists": func(m *aptest.Mirror) shape {
			put(m, key, "/x/dists/stable", "Packages", "./"+file, deb, "2", "SHA256")
			return shape{[]string{"/x/dists/stable ./"}, "/x/dists/stable/" + file, deb, true, true}
		},
		"by-hash SHA512": func(m *aptest.Mirror) shape {
			put(m, key, "/debian/dists/stable", index, "pool/"+file, deb, "2", "SHA256 SHA512")
			return shape{[]string{"/debian stable main"}, "/debian/pool/" + file, deb, true, true}
		},
		"SHA512 only": func(m *aptest.Mirror) shape {
			put(m, key, "/debian/dists/stable", index, "pool/"+file, deb, "2", "SHA512")
			return shape{[]string{"/debian stable main"}, "/debian/pool/" + file, deb, true, false}
		},
		"one path with two contents": func(m *aptest.Mirror) shape {
			put(m, key, "/debian/dists/a", index, "pool/"+file, other, "1", "SHA256")
			put(m, key, "/debian/dists/b", index, "pool/"+file, deb, "2", "SHA256")
			return shape{[]string{"/debian a main", "/debian b main"}, "/debian/pool/" + file, deb, true, true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := aptest.NewMirror(t, aptest.MirrorOptions{})
			s := make(m)
			m.Put(s.at, s.deb, time.Now().Add(-time.Hour))
			client := func(b *box) *aptest.Client {
				c := aptest.NewClient(t)
				c.Trust(key)
				if b != nil {
					c.Proxy("http://" + b.addr)
				}
				var lines []string
				for _, line := range s.sources {
					option := map[bool]string{true: "", false: "[trusted=yes] "}[s.release]
					lines = append(lines, "deb "+option+strings.TrimSuffix(m.URL("/"), "/")+line)
				}
				c.Sources(lines...)
				return c
			}
			install := func(c *aptest.Client) {
				t.Helper()
				c.MustApt("install", "--download-only", "hello")
				if got, err := c.Downloaded(file); err != nil || !bytes.Equal(got, s.deb) {
					t.Errorf("downloaded %d bytes, %v", len(got), err)
				}
			}
			direct := client(nil)
			direct.MustApt("update")
			install(direct)

			b, known := realBox(t, key)
			for range 2 {
				m.ResetLog()
				c := client(b)
				c.MustApt("update")
				install(c)
			}
			for _, r := range m.Log() {
				if base := path.Base(r.Path); r.Sent > 0 && s.release && base != "InRelease" {
					t.Errorf("the second client cost the mirror %d bytes of %s", r.Sent, r.Path)
				}
			}
			if _, with := known.Shared(digest.Of(s.deb)); (with > catalog.WithNobody) != s.shared {
				t.Errorf("shared with other boxes: %v, want %v", with, s.shared)
			}
			moved := client(b)
			moved.MustApt("update")
			fresh, _ := realBox(t, key)
			moved.Proxy("http://" + fresh.addr)
			install(moved)
		})
	}
}
