package catalog

import (
	"encoding/hex"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, scheme, host, path, want string }{
		{"plain", "http", "deb.example.org", "/debian/dists/stable/InRelease", "http://deb.example.org/debian/dists/stable/InRelease"},
		{"case of scheme and host", "HTTPS", "Deb.Example.ORG", "/Debian", "https://deb.example.org/Debian"},
		{"own port of http", "http", "deb.example.org:80", "/a", "http://deb.example.org/a"},
		{"own port of https", "https", "deb.example.org:443", "/a", "https://deb.example.org/a"},
		{"port of the other scheme", "https", "deb.example.org:80", "/a", "https://deb.example.org:80/a"},
		{"port with zeros", "http", "deb.example.org:0080", "/a", "http://deb.example.org/a"},
		{"fully qualified", "http", "deb.example.org.", "/a", "http://deb.example.org/a"},
		{"underscore", "http", "apt_cache", "/a", "http://apt_cache/a"},
		{"IPv6", "http", "[2001:DB8:0::1]:8080", "/a", "http://[2001:db8::1]:8080/a"},
		{"plus and tilde stay", "http", "h", "/g++_1~rc1.deb", "http://h/g++_1~rc1.deb"},
		{"plus and tilde encoded", "http", "h", "/g%2b%2B_1%7Erc1.deb", "http://h/g++_1~rc1.deb"},
		{"epoch", "http", "h", "/a_1%3a2.deb", "http://h/a_1:2.deb"},
		{"space and percent", "http", "h", "/a%20b%2525", "http://h/a%20b%2525"},
		{"question mark of a name", "http", "h", "/a%3Fb", "http://h/a%3Fb"},
		{"not UTF-8", "http", "h", "/%ff", "http://h/%FF"},
		{"double slashes", "http", "h", "//debian//pool", "http://h/debian/pool"},
		{"directory", "http", "h", "/debian//pool/", "http://h/debian/pool/"},
		{"dots", "http", "h", "/./debian/./pool/.", "http://h/debian/pool/"},
		{"climbing", "http", "h", "/a/../b", "http://h/b"},
		{"climbing, encoded", "http", "h", "/a/%2e%2E/b", "http://h/b"},
		{"climbing at the end", "http", "h", "/a/b/..", "http://h/a/"},
		{"climbing out", "http", "h", "/../../a", "http://h/a"},
		{"climbing out to the root", "http", "h", "/a/../..", "http://h/"},
		{"query", "http", "h", "/a%3fb?c=d/../&e=%2f+", "http://h/a%3Fb?c=d/../&e=%2f+"},
		{"query of a directory", "http", "h", "/a/?b", "http://h/a/?b"},
		{"query of the root", "http", "h", "/?b", "http://h/?b"},
		{"empty query", "http", "h", "/a?", "http://h/a?"},
		{"query to be encoded", "http", "h", "/a?b c#d\xff?", "http://h/a?b%20c%23d%FF?"},
		{"dots in names", "http", "h", "/..a/b../c...d", "http://h/..a/b../c...d"},
		{"root", "http", "h", "/", "http://h/"},
		{"longest", "http", "h", "/" + strings.Repeat("a", maxPath-1), "http://h/" + strings.Repeat("a", maxPath-1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l, err := ParseLocation(tc.scheme, tc.host, tc.path)
			if err != nil || l.String() != tc.want {
				t.Errorf("got %q, %v; want %q", l, err, tc.want)
			}
		})
	}
}

func TestParseLocationRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, scheme, host, path string }{
		{"scheme", "ftp", "h", "/a"},
		{"no scheme", "", "h", "/a"},
		{"no host", "http", "", "/a"},
		{"only a port", "http", ":80", "/a"},
		{"port 0", "http", "h:0", "/a"},
		{"port too high", "http", "h:65536", "/a"},
		{"port of words", "http", "h:http", "/a"},
		{"empty port", "http", "h:", "/a"},
		{"user name", "http", "root@h", "/a"},
		{"host with a slash", "http", "h/x", "/a"},
		{"host with an escape", "http", "h%2f", "/a"},
		{"host with a space", "http", "h h", "/a"},
		{"host not ASCII", "http", "dëb.example.org", "/a"},
		{"empty label", "http", "deb..example.org", "/a"},
		{"IPv6 without brackets", "http", "2001:db8::1", "/a"},
		{"IPv4 in brackets", "http", "[192.0.2.1]", "/a"},
		{"IPv4 in IPv6", "http", "[::ffff:192.0.2.1]", "/a"},
		{"unclosed bracket", "http", "[2001:db8::1", "/a"},
		{"zone", "http", "[fe80::1%25eth0]", "/a"},
		{"long host", "http", strings.Repeat("a", 256), "/a"},
		{"relative", "http", "h", "debian"},
		{"no path", "http", "h", ""},
		{"fragment", "http", "h", "/a#b"},
		{"encoded slash", "http", "h", "/a%2Fb"},
		{"encoded slash, small", "http", "h", "/a/..%2fb"},
		{"NUL", "http", "h", "/a%00"},
		{"line feed", "http", "h", "/a%0ab"},
		{"DEL", "http", "h", "/a%7f"},
		{"raw control character", "http", "h", "/a\r\nb"},
		{"cut escape", "http", "h", "/a%2"},
		{"bad escape", "http", "h", "/a%zz"},
		{"signed escape", "http", "h", "/a%+1"},
		{"long path", "http", "h", "/" + strings.Repeat("a", maxPath)},
		{"line feed in a query", "http", "h", "/a?b\nc"},
		{"long query", "http", "h", "/a?" + strings.Repeat("a", maxPath+1)},
		{"endless path", "http", "h", strings.Repeat("/", 4*maxPath)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if l, err := ParseLocation(tc.scheme, tc.host, tc.path); err == nil {
				t.Errorf("took it as %q", l)
			}
		})
	}
}

func TestLocationParts(t *testing.T) {
	t.Parallel()
	l := Location{Scheme: "http", Host: "h", Path: "/debian/pool/a.deb"}
	if got := l.Name(); got != "a.deb" {
		t.Errorf("name %q", got)
	}
	if got := l.Dir(); got.Path != "/debian/pool" || got.Host != "h" {
		t.Errorf("directory %v", got)
	}
	root := Location{Scheme: "http", Host: "h", Path: "/"}
	if root.Name() != "" || root.Dir() != root {
		t.Errorf("root: name %q, directory %v", root.Name(), root.Dir())
	}
	for rel, want := range map[string]string{"x/y": "/debian/x/y", "./x": "/debian/x", "../x": "/debian/x", "a/../../../x": "/debian/x", "": "/debian"} {
		if got := (Location{Scheme: "http", Host: "h", Path: "/debian", Tail: "?x"}).Join(rel); got.Path != want {
			t.Errorf("Join(%q) = %q, want %q", rel, got.Path, want)
		}
	}
	if got := root.Join("x"); got.Path != "/x" {
		t.Errorf("root joined: %q", got.Path)
	}
	var dirs []string
	for dir, rel := range l.parents {
		dirs = append(dirs, dir.Path+" "+rel)
	}
	l.Tail = "/?x"
	for dir := range l.parents {
		if dir.Tail != "" {
			t.Errorf("parent %v has a tail", dir)
		}
	}
	if got, want := strings.Join(dirs, ", "), "/debian/pool a.deb, /debian pool/a.deb, / debian/pool/a.deb"; got != want {
		t.Errorf("parents %q, want %q", got, want)
	}
	for range root.parents {
		t.Error("the root has a parent")
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, seed := range []string{"/debian/pool/main/g/g++_1%3a2~rc_amd64.deb", "//a/./b/", "/%2e%2e/%2fx", "/%", "/a%00?x#y", "/%25%32%66", "/\xff%C3%A9", "/a/?b#c d", "/a/../.?"} {
		f.Add("http", "deb.example.org:8080", seed)
	}
	f.Add("HTTPS", "[2001:DB8::1]:443", "/")
	f.Add("http", "Deb.Example.Org.", "/a")
	f.Fuzz(func(t *testing.T, scheme, host, escaped string) {
		if strings.HasPrefix(escaped, "/") && isPlainPath(escaped) {
			encoded := "/%" + hex.EncodeToString([]byte(escaped[1:2])) + escaped[2:] // not plain
			if clean, slash, err := parsePath(encoded); clean != escaped || slash != "" || err != nil {
				t.Fatalf("%q is taken for plain, and is %q, %q, %v when decoded", escaped, clean, slash, err)
			}
		}
		l, err := ParseLocation(scheme, host, escaped)
		if err != nil {
			if l != (Location{}) {
				t.Fatalf("%v beside an error", l)
			}
			return
		}
		if !path.IsAbs(l.Path) || path.Clean(l.Path) != l.Path || len(l.Path) > maxPath || len(l.Host) > maxHost || l.Host == "" {
			t.Fatalf("%#v is not clean", l)
		}
		if strings.ContainsFunc(l.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%#v has a control character", l)
		}
		// Slashes come from the request's own slashes only, and what is no path
		// is behind it.
		if !regexp.MustCompile(`^/?(\?[!-~]*)?$`).MatchString(l.Tail) || strings.Contains(l.Tail, "#") {
			t.Fatalf("%#v has a tail that is none", l)
		}
		if got, had := strings.Count(l.Path, "/"), strings.Count(escaped, "/"); got > had {
			t.Fatalf("%q has %d slashes, %q had %d", l.Path, got, escaped, had)
		}
		again, err := ParseURL(l.String())
		if err != nil || again != l {
			t.Fatalf("%#v reads back from %q as %#v, %v", l, l, again, err)
		}
		l.Tail = ""
		if l.Dir().Join(l.Name()) != l {
			t.Fatalf("%#v is not its name %q in its directory", l, l.Name())
		}
	})
}

// As apt writes them (its Acquire::URIEncode).
func TestURL(t *testing.T) {
	for path, want := range map[string]string{
		"/g%2b%2B_1%7Erc1.deb":  "http://h/g%2b%2b_1%7erc1.deb",
		"/g++_1~rc1.deb":        "http://h/g%2b%2b_1%7erc1.deb",
		"/a_1%253a2.deb":        "http://h/a_1%253a2.deb",
		"/a:b,c=d@e_1-2(3)!.gz": "http://h/a:b,c=d@e_1-2(3)!.gz",
		"/with blank":           "http://h/with%20blank",
	} {
		l, err := ParseLocation("http", "h", path)
		if err != nil || l.URL() != want {
			t.Errorf("%s: %q, %v, want %q", path, l.URL(), err, want)
		}
		again, err := ParseLocation("http", "h", strings.TrimPrefix(l.URL(), "http://h"))
		if err != nil || again != l {
			t.Errorf("%s: read back as %v, %v", path, again, err)
		}
	}
}

func TestLocationMoved(t *testing.T) {
	t.Parallel()
	from, to := at(t, "http://archive.example.org/debian/dists/stable"), at(t, "https://mirror.example.net/d/dists/stable")
	for url, want := range map[string]string{
		"http://archive.example.org/debian/dists/stable/main/x":  "https://mirror.example.net/d/dists/stable/main/x",
		"http://archive.example.org/debian/dists/stable2/main/x": "http://archive.example.org/debian/dists/stable2/main/x",
		"http://other.example.org/debian/dists/stable/main/x":    "http://other.example.org/debian/dists/stable/main/x",
	} {
		if got := at(t, url).Moved(from, to); got != at(t, want) {
			t.Errorf("%s moved to %s, want %s", url, got, want)
		}
	}
}

// Join does not clean what is clean, with the same result.
func TestJoin(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/", "/debian", "/debian/dists/stable"} {
		for _, rel := range []string{"a", "a/b", "a..b", "a/b..c", "", ".", "..", "../a", "a/../../..", "a//b", "/a", "a/", "a/.", "a/./b", ".hidden", "a/.hidden", "100%"} {
			l := Location{Scheme: "http", Host: "archive.example.org", Path: dir}
			if got, want := l.Join(rel).Path, path.Join(dir, path.Clean("/"+rel)); got != want {
				t.Errorf("%s and %q: %s, want %s", dir, rel, got, want)
			}
		}
	}
}
