package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// mustHosts parses a list of hosts.
func mustHosts(t testing.TB, entries ...string) mirror.Hosts {
	t.Helper()
	hosts, err := mirror.ParseHosts(entries)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

func TestByName(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) {
		o.Hosts = mustHosts(t, "deb.example.org", "*.archive.example.net", "box.archive.example.net")
		o.OwnName = func(name string) bool { return strings.EqualFold(name, "box.archive.example.net") }
	})
	off := newBox(nil)
	for _, tt := range []struct{ name, host, target, want string }{
		{"file", "deb.example.org", "/debian/a", "http://deb.example.org/debian/a"},
		{"another spelling", "DEB.example.org.:80", "/debian/a", "http://deb.example.org/debian/a"},
		{"an empty port", "deb.example.org:", "/api/v1/summary", "http://deb.example.org/api/v1/summary"},
		{"zeros", "deb.example.org:0080", "/api/v1/summary", "http://deb.example.org/api/v1/summary"},
		{"a part of the name", "eb.example.org", "/debian/a", "nothing"},
		{"the domain of a wildcard", "archive.example.net", "/debian/a", "nothing"},
		{"a longer name", "deb.example.org.example.com", "/debian/a", "nothing"},
		{"a port that is none", "deb.example.org:80x", "/debian/a", "nothing"},
		{"wildcard", "de.archive.example.net", "/ubuntu/a?x", "http://de.archive.example.net/ubuntu/a?x"},
		{"another port", "deb.example.org:3142", "/debian/a", "nothing"},
		{"not on the list", "www.example.org", "/debian/a", "nothing"},
		{"the box's own name", "box.archive.example.net", "/api/v1/summary", "local"},
		{"an address", "192.0.2.1", "/api/v1/summary", "local"},
		{"a page's path", "deb.example.org", "/api/v1/summary", "http://deb.example.org/api/v1/summary"},
		{"health", "deb.example.org", "/healthz", "http://deb.example.org/healthz"},
		{"a host in the path", "deb.example.org", "/other.example.org/a", "http://deb.example.org/other.example.org/a"},
		{"the root", "deb.example.org", "/", "http://deb.example.org/"},
		{"a proxy's URL", "deb.example.org", "http://other.example.org/a", "http://other.example.org/a"},
		{"the marker of https", "box", "/https/deb.example.org/a", "https://deb.example.org/a"},
	} {
		r, err := request("GET", tt.target)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = cmpHost(r, tt.host)
		if got := where(b.targetOf(r)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got, want := where(off.targetOf(r)), where(targetOf(r)); got != want {
			t.Errorf("%s, without hosts: %s, want %s", tt.name, got, want)
		}
	}
	r, err := request("GET", "/debian/a")
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.TLS = "deb.example.org", new(tls.ConnectionState)
	if got := where(b.targetOf(r)); got != "nothing" {
		t.Errorf("by TLS with the box: %s", got)
	}
}

// cmpHost is the Host that net/http gives a request: that of its URL comes first.
func cmpHost(r *http.Request, field string) string {
	if r.URL.Host != "" {
		return r.URL.Host
	}
	return field
}

// A client that was led here by the archive's name gets the file, and one whose
// request has been here is told what leads in a circle.
func TestServedByName(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Hosts = mustHosts(t, "deb.example.org") }).serve(t)
	b.files[debURL] = gives([]byte("a package"), ledger.FromStore)
	get := func(fields string) string {
		return b.raw(t, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n%s\r\n", debPath, fields))
	}
	if got := get(""); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "\r\n\r\na package") {
		t.Errorf("got %q", got)
	}
	if got := get("Via: 1.1 millpond-test\r\n"); !strings.HasPrefix(got, "HTTP/1.1 508 ") || !strings.Contains(got, "MILLPOND_RESOLVER") {
		t.Errorf("a request that comes back: %q", got)
	}
	if logged := b.logged.String(); !strings.Contains(logged, "url="+debURL) {
		t.Errorf("the log does not say what was asked for:\n%s", logged)
	}
}

// A change of the lists counts for the next request, and hosts that were no upstreams are
// asked again.
func TestReplace(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Hosts, o.Tunnels = mustHosts(t, "a.example.org"), mustHosts(t, "a.example.org") })
	tunnel := func(hostport string) error {
		_, err := b.vetTunnel(&http.Request{RequestURI: hostport, Header: make(http.Header)})
		return err
	}
	if !b.HasName("a.example.org", 80) || b.HasName("b.example.org", 80) || tunnel("a.example.org:443") != nil || tunnel("b.example.org:443") == nil {
		t.Error("the lists of Options are not in force")
	}
	b.names.add("nas:3142")
	b.Replace(mustHosts(t, "b.example.org"), mustHosts(t, "b.example.org"))
	if b.HasName("a.example.org", 80) || !b.HasName("b.example.org", 80) || tunnel("a.example.org:443") == nil || tunnel("b.example.org:443") != nil {
		t.Error("the new lists are not in force")
	}
	if b.names.has("nas:3142") {
		t.Error("it is still known that a host is no upstream")
	}
	b.Replace(mirror.Hosts{}, mirror.Hosts{})
	if b.HasName("b.example.org", 80) || tunnel("b.example.org:443") == nil {
		t.Error("empty lists are not in force")
	}
}

// A hello is known for as long as its connection is open, and not longer.
func TestHellosAreForgotten(t *testing.T) {
	t.Parallel()
	var h hellos
	d := digest.Of([]byte("a hello"))
	for range 3 {
		leave, ok := h.enter(d)
		if !ok {
			t.Fatal("a hello of a connection that ended is taken for one that came back")
		}
		if _, ok := h.enter(d); ok {
			t.Error("a hello that came back is taken for a new one")
		}
		leave()
	}
	if len(h.open) > 0 {
		t.Errorf("%d hellos are kept", len(h.open))
	}
}

// A list that has a host lets nobody reach an address that the policy refuses.
func TestTunnelsNeedThePolicy(t *testing.T) {
	t.Parallel()
	b := newBox(func(o *Options) { o.Tunnels = mirror.AllHosts() })
	for hostport, refused := range map[string]bool{"10.0.0.5:443": true, "deb.example.org:3142": true, "deb.example.org:443": false} {
		_, err := b.vetTunnel(&http.Request{RequestURI: hostport, Header: make(http.Header)})
		if as := new(mirror.RefusedError); errors.As(err, &as) != refused {
			t.Errorf("%s: %v, refused should be %v", hostport, err, refused)
		}
	}
}
