package mirror

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestCheckArchive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		only, host string
		port       int
		file       string
		ok         bool
	}{
		{"", "archive.example.org", 80, "/debian/dists/stable/InRelease", true},
		{"archive.example.org", "archive.example.org", 80, "/debian/dists/stable/InRelease", true},
		{"archive.example.org", "archive.example.org", 443, "/", true},
		{"archive.example.org", "ARCHIVE.example.org.", 8080, "/x", true},
		{"Archive.Example.org.", "archive.example.org", 80, "/x", true},
		{"archive.example.org", "deb.archive.example.org", 80, "/x", false},
		{"archive.example.org", "xarchive.example.org", 80, "/x", false},
		{"archive.example.org/debian", "archive.example.org", 80, "/debian/pool/x.deb", true},
		{"archive.example.org/debian/", "archive.example.org", 443, "/debian", true},
		{"archive.example.org/debian", "archive.example.org", 80, "/debian-security/pool/x.deb", false},
		{"archive.example.org/debian", "archive.example.org", 80, "/", false},
		{"archive.example.org/a%20b", "archive.example.org", 80, "/a b/x", true},
		{"archive.example.org/a/../b/.", "archive.example.org", 80, "/b/x", true},
		{"archive.example.org:8080/debian", "archive.example.org", 8080, "/debian/x", true},
		{"archive.example.org:8080/debian", "archive.example.org", 80, "/debian/x", false},
		{"mirror", "mirror", 80, "/x", true},
		{"*.example.org", "de.archive.example.org", 80, "/x", true},
		{"*.example.org", "example.org", 80, "/x", false},
		{"*.example.org", "archive-example.org", 80, "/x", false},
		{"*.example.org/ubuntu", "de.example.org", 80, "/ubuntu/x", true},
		{"10.1.2.3", "10.1.2.3", 80, "/x", true},
		{"10.1.2.3", "archive.example.org", 80, "/x", false},
		{"[fd00::1]:8080", "fd00:0::1", 8080, "/x", true},
		{"a.example.org, b.example.org/x", "b.example.org", 80, "/x/y", true},
		{"a.example.org, b.example.org/x", "c.example.org", 80, "/x/y", false},
	} {
		p := mustPolicy(t)
		var entries []string
		if tt.only != "" {
			entries = strings.Split(tt.only, ", ")
		}
		if err := p.Restrict(entries); err != nil {
			t.Errorf("%s: %v", tt.only, err)
			continue
		}
		err := p.CheckArchive(tt.host, tt.port, tt.file)
		var r *RefusedError
		if tt.ok != (err == nil) || err != nil && (!errors.As(err, &r) || r.Setting != "MILLPOND_ONLY_ARCHIVES" || r.Cure() != "") {
			t.Errorf("%s: %s:%d%s: %v, want it allowed %v", tt.only, tt.host, tt.port, tt.file, err, tt.ok)
		}
		if err != nil && !strings.HasSuffix(err.Error(), tt.host+tt.file+" is not in MILLPOND_ONLY_ARCHIVES") {
			t.Errorf("%s: the refusal is %q", tt.only, err)
		}
	}
}

func TestRestrictFaults(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", "http://archive.example.org", "10.0.0.0/8", "archive.example.org:0", "*.10.1.2.3", "*", "a.*.example.org", "archive.example.org/*",
		"archive.example.org/x?y", "archive.example.org/%zz", "/debian", "a b", "fe80::1%eth0", "[archive.example.org]",
	}
	err := mustPolicy(t).Restrict(append(bad, "archive.example.org"))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(bad) {
		t.Fatalf("%d faults, want %d:\n%v", len(lines), len(bad), err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, "MILLPOND_ONLY_ARCHIVES: entry ") || !strings.Contains(line, `"`+bad[i]+`"`) {
			t.Errorf("fault %q does not name %q", line, bad[i])
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	h, err := ParseHosts([]string{"download.example.org", "*.example.net:8443", "nas:443", "[fd00::1]", "nas2", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host string
		port int
		ok   bool
	}{
		{"download.example.org", 443, true},
		{"Download.Example.org", 8443, true},
		{"x.download.example.org", 443, false},
		{"a.example.net", 8443, true},
		{"a.example.net", 443, false},
		{"nas", 443, true},
		{"fd00::1", 443, true},
		{"fd00::2", 443, false},
		{"nas2", 80, true},
		{"10.1.2.3", 8080, true},
		{"::ffff:10.1.2.3", 80, true},
		{"11.1.2.3", 80, false},
	} {
		if h.Has(tt.host, tt.port) != tt.ok {
			t.Errorf("%s:%d: want %v", tt.host, tt.port, tt.ok)
		}
		if at := "http://" + net.JoinHostPort(tt.host, strconv.Itoa(tt.port)) + "/debian"; h.HasURL(at) != tt.ok {
			t.Errorf("%s: want %v", at, tt.ok)
		}
	}
	for _, bad := range []string{"a b", "download.example.org/x", "https://download.example.org", "10.1.2.3/8"} {
		if _, err := ParseHosts([]string{bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestAllowsAnyPath(t *testing.T) {
	t.Parallel()
	p := mustPolicy(t, "downloads.example.org/*", "files.example.org:8080/*", "[fd00::1]:81/*", "10.1.2.3/*", "plain.example.org")
	for _, tt := range []struct {
		host string
		port int
		ok   bool
	}{
		{"downloads.example.org", 80, true},
		{"DOWNLOADS.example.org.", 8080, true},
		{"x.downloads.example.org", 80, false},
		{"files.example.org", 8080, true},
		{"files.example.org", 80, false},
		{"fd00:0::1", 81, true},
		{"fd00::1", 80, false},
		{"10.1.2.3", 443, true},
		{"plain.example.org", 80, false},
	} {
		if p.AllowsAnyPath(tt.host, tt.port) != tt.ok {
			t.Errorf("%s:%d: want %v", tt.host, tt.port, tt.ok)
		}
		// Such an entry allows the host as one without the path does.
		if err := p.CheckName(tt.host, tt.port); tt.ok && err != nil {
			t.Error(err)
		}
	}
	if new(Policy).AllowsAnyPath("downloads.example.org", 80) {
		t.Error("without an entry")
	}
}

// Only where a file is asked for counts, not where the archive keeps it; and no
// other way leads past the restriction.
func TestOnlyArchives(t *testing.T) {
	t.Parallel()
	elsewhere, _ := newLoopback(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "bytes") }, Options{})
	policy := mustPolicy(t, "127.0.0.1")
	var asked []string
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.Redirect(w, r, elsewhere.URL+"/cdn"+r.URL.Path, http.StatusFound)
	}, Options{Policy: policy})
	if err := policy.Restrict([]string{strings.TrimPrefix(srv.URL, "http://") + "/debian"}); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Get(t.Context(), Request{URL: srv.URL + "/debian/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "bytes" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	for _, path := range []string{"/other/x", "/debian/../other/x", "/debian/%2e%2e/other/x", "/debianx"} {
		_, err := c.Get(t.Context(), Request{URL: srv.URL + path})
		var r *RefusedError
		if !errors.As(err, &r) || IsUnreachable(err) {
			t.Errorf("%s: %v, want it refused", path, err)
		}
	}
	if len(asked) != 1 {
		t.Errorf("asked for %q", asked)
	}
}

func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"archive.example.org/debian", "*.example.org:8080", "[fd00::1]:80/x", "a/../..", "h/%2e%2e/x", "*.", "/", "a:b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		p, err := parsePlace(entry)
		if err != nil {
			return
		}
		if p.host == "" || p.host == "." || p.dir == "" || p.dir[0] != '/' {
			t.Fatalf("%q gave %+v", entry, p)
		}
		host := strings.TrimPrefix(p.host, ".")
		if p.host[0] == '.' {
			host = "x" + p.host
		}
		if !has([]place{p}, host, max(p.port, 1), p.dir) || has([]place{p}, "y"+host+"y", 1, p.dir) {
			t.Fatalf("%q does not have its own, or has another's", entry)
		}
	})
}
