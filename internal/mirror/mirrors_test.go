package mirror

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func mustMirrors(t *testing.T, entries ...string) Mirrors {
	t.Helper()
	m, err := ParseMirrors(entries)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMirrorsOfAnArchive(t *testing.T) {
	t.Parallel()
	m := mustMirrors(t,
		"http://archive.example.org/debian=http://a.example/pub/d%20b/|https://b.example:8443",
		"http://archive.example.org/debian/special=http://c.example/x",
		"HTTP://Archive.Example.net:80=http://10.1.2.3:8080/all/",
		"http://[FD00::1]/x=http://a.example/ipv6",
	)
	for file, want := range map[string]string{
		"http://archive.example.org/debian/dists/s/InRelease":        "http://a.example/pub/d%20b/dists/s/InRelease https://b.example:8443/dists/s/InRelease",
		"http://archive.example.org:80/debian/a%2bb?x=/y":            "http://a.example/pub/d%20b/a%2bb?x=/y https://b.example:8443/a%2bb?x=/y",
		"http://archive.example.org/debian/special/pool/a%20b.deb":   "http://c.example/x/pool/a%20b.deb",
		"http://archive.example.org/debian/dir/":                     "http://a.example/pub/d%20b/dir/ https://b.example:8443/dir/",
		"http://archive.example.org/debian-security/dists/InRelease": "",
		"https://archive.example.org/debian/dists/InRelease":         "",
		"http://archive.example.org:8080/debian/dists/InRelease":     "",
		"http://archive.example.net/InRelease":                       "http://10.1.2.3:8080/all/InRelease",
		"http://[fd00:0::1]/x/InRelease":                             "http://a.example/ipv6/InRelease",
		"http://a.example/pub/d%20b/InRelease":                       "",
	} {
		u, err := url.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if a, ok := m.of(u); ok {
			for _, d := range a.mirrors {
				got = append(got, a.at(d, u))
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s is at %q, want %q", file, g, want)
		}
	}
}

// appliance's test of the setting has the malformed entries.
func TestMirrorsAreBounded(t *testing.T) {
	t.Parallel()
	var archives, mirrors []string
	for i := range maxArchives + 1 {
		archives = append(archives, fmt.Sprintf("http://%d.example.org=http://a.example", i))
	}
	for i := range maxMirrors + 1 {
		mirrors = append(mirrors, fmt.Sprintf("http://%d.example.net/debian", i))
	}
	entry := func(n int) []string { return []string{"http://a.example=" + strings.Join(mirrors[:n], "|")} }
	for _, good := range [][]string{nil, archives[:maxArchives], entry(maxMirrors)} {
		if _, err := ParseMirrors(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][]string{archives, entry(maxMirrors + 1)} {
		if _, err := ParseMirrors(bad); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("got %v", err)
		}
	}
}

// A mirror that is named may be dialled wherever it is; the name of an archive
// stands for its mirrors.
func TestMirrorsAreAllowed(t *testing.T) {
	t.Parallel()
	p := new(Policy)
	p.Allow(mustMirrors(t, "http://archive.example.org:9999/debian=http://10.1.2.3:8080/debian|http://local.example:8081"))
	private := netip.MustParseAddr("10.9.9.9")
	for _, c := range []struct {
		host     string
		port     int
		addr     string
		name, ok bool
	}{
		{"10.1.2.3", 8080, "10.1.2.3", true, true},
		{"10.1.2.3", 80, "10.1.2.3", false, false},
		{"local.example", 8081, private.String(), true, true},
		{"local.example", 8082, private.String(), false, false},
		{"archive.example.org", 9999, private.String(), true, false},
		{"archive.example.org", 9999, "192.0.2.1", true, false},
		{"other.example.org", 9999, "192.0.2.1", false, false},
	} {
		if err := p.CheckName(c.host, c.port); (err == nil) != c.name {
			t.Errorf("name %s:%d: %v", c.host, c.port, err)
		}
		if err := p.Check(c.host, c.port, netip.MustParseAddr(c.addr)); (err == nil) != c.ok {
			t.Errorf("%s:%d at %s: %v", c.host, c.port, c.addr, err)
		}
	}
}
