package mirror

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Where anybody can fetch a file is a public address at a standard port that no
// setting was needed for.
func TestPrivate(t *testing.T) {
	t.Parallel()
	mirrors, err := ParseMirrors([]string{"http://archive.example.org=http://mirror.lan|http://odd.example.org:8080|http://a.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		allow, host string
		port        int
		addr        string
		why         string // part of it; empty if it is not private
	}{
		{"", "archive.example.org", 80, "1.1.1.1", ""},
		{"", "archive.example.org", 443, "2a00::1", ""},
		{"", "archive.example.org", 80, "64:ff9b::101:101", ""},
		{"", "a.example.org", 80, "1.1.1.1", ""},
		{"10.0.0.0/8", "archive.example.org", 80, "1.1.1.1", ""},
		{"other.example.org", "archive.example.org", 80, "1.1.1.1", ""},
		{"", "mirror.lan", 80, "10.1.2.3", "10.1.2.3 is a private address"},
		{"", "odd.example.org", 8080, "1.1.1.1", "port 8080"},
		{"10.0.0.0/8", "archive.example.org", 80, "10.1.2.3", "a private address"},
		{"10.0.0.0/8", "archive.example.org", 80, "64:ff9b::a01:203", "a private address"},
		{"10.0.0.0/8", "archive.example.org", 80, "64:ff9b:1:a01:2:300::", "a private address"},
		{"127.0.0.1", "archive.example.org", 80, "::ffff:127.0.0.1", "a loopback address"},
		{"archive.example.org", "archive.example.org", 80, "1.1.1.1", "MILLPOND_ALLOW_UPSTREAMS has it"},
		{"1.1.1.0/24", "archive.example.org", 80, "1.1.1.1", "MILLPOND_ALLOW_UPSTREAMS has it"},
		{"1.1.1.0/24", "archive.example.org", 80, "64:ff9b::101:101", "MILLPOND_ALLOW_UPSTREAMS has it"},
		{"", "archive.example.org", 80, "198.51.100.7", "for documentation"},
		{"", "archive.example.org", 80, "2001:db8::7", "for documentation"},
	} {
		var allow []string
		if tt.allow != "" {
			allow = []string{tt.allow}
		}
		p := mustPolicy(t, allow...)
		p.Allow(mirrors)
		why := p.now().private(tt.host, tt.port, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.addr), uint16(tt.port))))
		if (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
			t.Errorf("%q allowed, %s:%d at %s: %q, want %q", tt.allow, tt.host, tt.port, tt.addr, why, tt.why)
		}
	}
}

// An answer says that it came from a private place, on a connection that was there
// already too, when it is a 304, and after a redirect from there or to there.
func TestResponsePrivate(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		switch to := r.URL.Query().Get("to"); {
		case to != "":
			http.Redirect(w, r, to, http.StatusFound)
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		default:
			fmt.Fprint(w, "file")
		}
	}
	srv, c := newLoopback(t, serve, Options{})
	// No test reaches the public Internet; its server here says that it is there.
	open := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(open.Close)
	dial := c.pool.Load().any.DialContext
	const public = "http://archive.example.org"
	c.pool.Load().any.DialContext = func(ctx context.Context, network, hostport string) (net.Conn, error) {
		if hostport != "archive.example.org:80" {
			return dial(ctx, network, hostport)
		}
		conn, err := net.Dial(network, open.Listener.Addr().String())
		return publicConn{conn}, err
	}
	for _, tt := range []struct {
		url     string
		private bool
	}{
		{srv.URL, true},
		{public, false},
		{public + "/?to=" + public + "/x", false},
		{srv.URL + "/?to=" + public, true},
		{public + "/?to=" + srv.URL, true},
	} {
		for _, tag := range []string{"", `"x"`} {
			resp, err := c.Get(t.Context(), Request{URL: tt.url, IfNoneMatch: tag})
			if err != nil {
				t.Fatalf("%s: %v", tt.url, err)
			}
			resp.Body.Close()
			if (resp.Private != "") != tt.private {
				t.Errorf("%s, %q: %q, want private %v", tt.url, tag, resp.Private, tt.private)
			}
		}
	}
	resp, err := c.Get(t.Context(), Request{URL: public, Login: Basic("alice", "secret")})
	if err != nil || resp.Private != "a login was sent" {
		t.Errorf("with a login: %+v, %v", resp, err)
	}
	resp.Body.Close()
}

// publicConn is a connection that looks like one to a public address.
type publicConn struct{ net.Conn }

func (publicConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(1, 1, 1, 1), Port: 80} }

// Behind an upstream proxy it is not known where a name leads.
func TestPrivateBehindAProxy(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "file") }))
	t.Cleanup(proxy.Close)
	up, err := ParseUpstream(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := new(Policy)
	p.Through(up)
	c := New(Options{Policy: p})
	t.Cleanup(func() { c.Close() })
	resp, err := c.Get(t.Context(), Request{URL: "http://archive.example.org/"})
	if err != nil || !strings.Contains(resp.Private, "MILLPOND_UPSTREAM_PROXY") {
		t.Fatalf("%+v, %v", resp, err)
	}
	resp.Body.Close()
}
