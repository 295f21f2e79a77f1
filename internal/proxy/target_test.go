package proxy

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"millpond/internal/rings"
)

// request reads a request line's target as net/http does, come in at the
// address 192.0.2.1:3142.
func request(method, target string) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: box.example.org:3142\r\n\r\n")))
	if err != nil {
		return nil, err
	}
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3142}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local)), nil
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, target, want string }{
		{"proxy", "http://deb.example.org/debian/dists/x/InRelease", "http://deb.example.org/debian/dists/x/InRelease"},
		{"proxy with port", "http://deb.example.org:8080/a", "http://deb.example.org:8080/a"},
		{"proxy with the scheme's port", "http://deb.example.org:80/a", "http://deb.example.org/a"},
		{"proxy, upper case", "HTTP://DEB.example.ORG/A", "http://deb.example.org/A"},
		{"proxy, no dot", "http://mirror/a", "http://mirror/a"},
		{"proxy, no path", "http://deb.example.org", "http://deb.example.org/"},
		{"proxy, IPv6", "http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"},
		{"https by the proxy", "https://deb.example.org/a", "https://deb.example.org/a"},
		{"HTTPS marker", "http://HTTPS///deb.example.org/a/b", "https://deb.example.org/a/b"},
		{"https marker", "http://https///deb.example.org/a/b", "https://deb.example.org/a/b"},
		{"HTTPS marker, one slash", "http://HTTPS/deb.example.org/a/b", "https://deb.example.org/a/b"},
		{"HTTPS marker, port", "http://HTTPS///deb.example.org:8443/a", "https://deb.example.org:8443/a"},
		{"HTTPS marker, no host", "http://HTTPS///", "error"},
		{"origin", "/deb.example.org/debian/a", "http://deb.example.org/debian/a"},
		{"origin, several slashes", "//deb.example.org/debian/a", "http://deb.example.org/debian/a"},
		{"origin, port", "/mirror:8080/debian/a", "http://mirror:8080/debian/a"},
		{"origin, localhost", "/localhost/debian/a", "http://localhost/debian/a"},
		{"origin, IPv6", "/[2001:db8::1]:8080/debian/a", "http://[2001:db8::1]:8080/debian/a"},
		{"origin, HTTPS", "/HTTPS///deb.example.org/a", "https://deb.example.org/a"},
		{"origin, https", "/https/deb.example.org/a", "https://deb.example.org/a"},
		{"origin, https, no dot", "/https/mirror/a", "https://mirror/a"},
		{"escapes", "/deb.example.org/a%2bb%7Ec+d", "http://deb.example.org/a+b~c+d"},
		{"encoded slash", "/deb.example.org/a%2fb", "error"},
		{"climbing", "/deb.example.org/../a", "http://deb.example.org/a"},
		{"query", "http://deb.example.org/a?b", "http://deb.example.org/a?b"},
		{"empty query", "http://deb.example.org/a?", "http://deb.example.org/a?"},
		{"origin, query", "/deb.example.org/a?b=/c", "http://deb.example.org/a?b=/c"},
		{"https, query", "/https/deb.example.org/?b", "https://deb.example.org/?b"},
		{"directory", "http://deb.example.org/debian/", "http://deb.example.org/debian/"},
		{"origin, a host's root", "/deb.example.org/", "http://deb.example.org/"},
		{"origin, a word", "/archive/dists/stable/InRelease", "nothing"},
		{"origin, a word and a slash", "/archive/", "nothing"},
		{"self, a word", "http://192.0.2.1:3142/archive/x", "nothing"},
		{"page below a reserved word", "/api/archive.example.org/x", "local"},
		{"ring alone", "/ring/x", "local"},
		{"ring", "/ring/prod/deb.example.org/a", "http://deb.example.org/a in prod"},
		{"ring, https", "/ring/prod/https/deb.example.org/a", "https://deb.example.org/a in prod"},
		{"ring, HTTPS", "/ring/prod/HTTPS///deb.example.org/a", "https://deb.example.org/a in prod"},
		{"ring, self", "http://192.0.2.1:3142/ring/prod/deb.example.org/a", "http://deb.example.org/a in prod"},
		{"ring without a host", "/ring/prod/x", "local"},
		{"ring in a ring", "/ring/prod/ring/canary/deb.example.org/a", "local"},
		{"ring of a host", "http://deb.example.org/ring/prod/a.example.org/a", "http://deb.example.org/ring/prod/a.example.org/a"},
		{"snapshot", "/snapshot/20260131T120000Z/deb.example.org/a", "http://deb.example.org/a at 20260131T120000Z"},
		{"snapshot of a day", "/snapshot/20260131/https/deb.example.org/a", "https://deb.example.org/a at 20260131T000000Z"},
		{"snapshot of no time", "/snapshot/20260231/deb.example.org/a", "error"},
		{"snapshot in a ring", "/ring/prod/snapshot/20260131/deb.example.org/a", "local"},
		{"reserved word with a dot", "/setup.sh/x", "local"},
		{"page with a query", "/setup.sh?a/b", "local"},
		{"user", "http://me:secret@deb.example.org/a", "http://deb.example.org/a"},
		{"user, HTTPS", "http://HTTPS///me:secret@deb.example.org/a", "error"},
		{"scheme", "ftp://deb.example.org/a", "error"},
		{"no host", "http:///a", "error"},
		{"opaque", "http:deb.example.org", "error"},
		{"root", "/", "local"},
		{"api", "/api/v1/summary?x=1", "local"},
		{"health", "/healthz", "local"},
		{"page with a dot", "/favicon.ico", "local"},
		{"script", "/setup.sh", "local"},
		{"asset", "/assets/index-1f3a.js", "local"},
		{"hidden", "/.well-known/x", "local"},
		{"https alone", "/https", "local"},
		{"https without host", "/https/", "local"},
		{"dots", "/../x", "local"},
		{"self", "http://192.0.2.1:3142/api/v1/summary", "local"},
		{"self, localhost", "http://localhost:3142/", "local"},
		{"self, loopback", "http://127.0.0.1:3142", "local"},
		{"self, archive", "http://192.0.2.1:3142/deb.example.org/a", "http://deb.example.org/a"},
		{"self, other port", "http://192.0.2.1:3143/a", "http://192.0.2.1:3143/a"},
		{"self, no port", "http://192.0.2.1/a", "http://192.0.2.1/a"},
		{"self, https", "https://192.0.2.1:3142/a", "https://192.0.2.1:3142/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := request("GET", tt.target)
			if err != nil {
				t.Fatal(err)
			}
			if got := where(targetOf(r)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// where says in a word what a target is.
func where(t target) string {
	switch t.route {
	case toLocal:
		return "local"
	case toNothing:
		return "nothing"
	}
	l, err := t.location()
	if err != nil {
		return "error"
	}
	switch {
	case t.view.ring != "":
		return l.String() + " in " + t.view.ring
	case t.view.past():
		return l.String() + " at " + t.view.moment.Format(rings.TimeFormat)
	}
	return l.String()
}

func TestOriginForm(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"http://localhost:3142":          "/",
		"http://localhost:3142/a%20b?c=": "/a%20b?c=",
		"/x?y":                           "/x?y",
	} {
		r, err := request("GET", target)
		if err != nil {
			t.Fatal(err)
		}
		if r = originForm(r); r.RequestURI != want || r.URL.String() != want || r.URL.Host != "" {
			t.Errorf("%s: got %s and %s, want %s", target, r.RequestURI, r.URL, want)
		}
	}
}

// FuzzTarget: any request line is for one handler alone, and an archive's
// location is the same again when it is asked for by its URL.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"/", "/deb.example.org/debian/a", "http://deb.example.org/a", "http://HTTPS///deb.example.org/a", "/https/deb.example.org/a",
		"/HTTPS///x", "//a.b//c", "http:x", "http://a@b/c", "/%2e%2e/a", "/a.b/%2e%2e/c", "*", "http://[::1]:80/a", "/:/a", "https://a:443/b?c",
		"/localhost/%C3%A9", "http://https//", "http://192.0.2.1:3142/https/x.y/z", "/a.b/c#d", "http://nas:3142/https/a.b/c", "http://nas:3142/", "/archive/x", "http://a.b/c/?d/../e", "/a.b/?",
		"/ring/prod/a.b/c", "/ring/prod/https/a.b/c", "/snapshot/20260131T120000Z/a.b/c", "/snapshot/x/a.b/c", "/ring//a.b/c", "/ring/a.b/c/d.e/f", "/ring/p/ring/q/a.b/c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := request("GET", s)
		if err != nil {
			return
		}
		got := targetOf(r)
		if got.route == toTunnel || got.route == toLocal && got != (target{}) || (got.route == toNothing || got.route == toArchive && !got.absolute && got.scheme == "http") && isReserved(got.host) {
			t.Fatalf("GET %q is for %+v", s, got)
		}
		here := r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3142}))
		if own, ok := got.own(here); ok && (own.absolute || own.route != toArchive && own.route != toLocal) {
			t.Fatalf("GET %q would be for %+v", s, own)
		}
		if got.view.ring != "" && (got.view.past() || strings.Contains(got.view.ring, "/")) {
			t.Fatalf("GET %q is for %+v", s, got.view)
		}
		if got.route != toArchive {
			return
		}
		l, err := got.location()
		if err != nil {
			return
		}
		if l.Host == "" || !strings.HasPrefix(l.Path, "/") || l.Scheme != "http" && l.Scheme != "https" {
			t.Fatalf("GET %q is for %+v", s, l)
		}
		if strings.EqualFold(l.Host, "https") {
			return // no URL of its own leads there
		}
		again, err := request("GET", l.String())
		if err != nil {
			t.Fatalf("GET %q is for %s: %v", s, l, err)
		}
		if isSelf(again) {
			return
		}
		if l2, err := targetOf(again).location(); err != nil || l2 != l {
			t.Fatalf("GET %q is for %+v, which gives %+v, %v", s, l, l2, err)
		}
	})
}
