package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeProxy is an HTTP proxy to which every host is one server.
type fakeProxy struct {
	*httptest.Server
	to    string // address of the server
	login string // that it wants
	// answer, if not nil, makes the answer instead.
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	asked []string // "GET http://…", "CONNECT host:port"
	via   []string
}

func newFakeProxy(t *testing.T, to string) *fakeProxy {
	t.Helper()
	p := &fakeProxy{to: to}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(p.Close)
	return p
}

func (p *fakeProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI)
	p.via = append(p.via, r.Header.Get("Via"))
	p.mu.Unlock()
	switch {
	case r.Header.Get("Proxy-Authorization") != p.login:
		w.Header().Set("Proxy-Authenticate", `Basic realm="x"`)
		http.Error(w, "no", http.StatusProxyAuthRequired)
	case p.answer != nil && p.answer(w, r):
	case r.Method == http.MethodConnect:
		p.connect(w)
	case r.URL.IsAbs():
		(&httputil.ReverseProxy{Rewrite: func(q *httputil.ProxyRequest) {
			q.Out.URL.Host = p.to
		}}).ServeHTTP(w, r)
	default:
		http.Error(w, "not in absolute form", http.StatusBadRequest)
	}
}

func (p *fakeProxy) connect(w http.ResponseWriter) {
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	fmt.Fprint(near, "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
	done := make(chan struct{})
	go func() {
		io.Copy(far, near)
		far.Close()
		close(done)
	}()
	io.Copy(near, far)
	near.Close()
	<-done
}

func (p *fakeProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// client returns a client whose mirrors are reached through p, and that resolves no
// name.
func (p *fakeProxy) client(t *testing.T, o Options, login string, except ...string) *Client {
	t.Helper()
	if o.Policy == nil {
		o.Policy = mustPolicy(t)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.Policy.Through(mustUpstream(t, u.Scheme+"://"+login+u.Host, except...))
	c := New(o)
	t.Cleanup(func() { c.Close() })
	c.resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a name was resolved")
		return nil, errors.New("no resolver")
	}}
	return c
}

func TestThroughProxy(t *testing.T) {
	t.Parallel()
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the mirror got the proxy's login")
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "http://cdn.example.com/there", http.StatusFound)
		case "/private":
			http.Redirect(w, r, "http://nas.lan/there", http.StatusFound)
		default:
			io.WriteString(w, r.Host+" "+r.URL.EscapedPath())
		}
	}
	for _, tt := range []struct{ name, login, header string }{
		{"without a login", "", ""}, {"with a login", "bob:hunter2@", "Basic Ym9iOmh1bnRlcjI="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			http1 := httptest.NewServer(http.HandlerFunc(serve))
			defer http1.Close()
			p := newFakeProxy(t, http1.Listener.Addr().String())
			p.login = tt.header
			p.Start()
			c := p.client(t, Options{Via: "box"}, tt.login)
			for from, want := range map[string]string{
				"http://deb.example.org/a%2Bb":        "deb.example.org /a%2Bb",
				"http://deb.example.org/moved":        "cdn.example.com /there",
				"http://DEB.example.org/x":            "DEB.example.org /x",
				"http://192.0.2.1/x":                  "192.0.2.1 /x",
				"http://deb.example.org:80/moved":     "cdn.example.com /there",
				"http://xn--bcher-kva.example.org/g+": "xn--bcher-kva.example.org /g+",
			} {
				if got := readAll(t, c, Request{URL: from}); got != want {
					t.Errorf("%s: %q, want %q", from, got, want)
				}
			}
			_, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/private"})
			var r *RefusedError
			if !errors.As(err, &r) || r.Host != "nas.lan" {
				t.Errorf("redirect to a private name: %v", err)
			}
			conn, err := c.Dial(t.Context(), "deb.example.org:443")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET /tunnel HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n\r\n")
			if b, err := io.ReadAll(conn); !strings.HasSuffix(string(b), "/tunnel") || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			for _, asked := range p.requests() {
				if strings.Contains(asked, "nas.lan") {
					t.Errorf("the proxy was asked %s", asked)
				}
			}
			for i, via := range p.via {
				if via != "1.1 box" {
					t.Errorf("%s: Via is %q", p.asked[i], via)
				}
			}
		})
	}
}

func readAll(t *testing.T, c *Client, r Request) string {
	t.Helper()
	resp, err := c.Get(t.Context(), r)
	if err != nil {
		t.Errorf("%s: %v", r.URL, err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: %v", r.URL, err)
	}
	return string(b)
}

// TestTLSThroughProxy has TLS with the mirror in a tunnel, of a proxy that speaks TLS
// itself and of one that does not.
func TestTLSThroughProxy(t *testing.T) {
	t.Parallel()
	for _, byTLS := range []bool{false, true} {
		mirror := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+r.Proto) }))
		mirror.Config.ErrorLog = log.New(io.Discard, "", 0)
		mirror.StartTLS()
		defer mirror.Close()
		p := newFakeProxy(t, mirror.Listener.Addr().String())
		p.login = "Basic Ym9iOmh1bnRlcjI="
		if byTLS {
			p.StartTLS()
		} else {
			p.Start()
		}
		c := p.client(t, Options{}, "bob:hunter2@")
		roots := x509.NewCertPool()
		roots.AddCert(mirror.Certificate())
		c.proxied.https.TLSClientConfig = &tls.Config{RootCAs: roots}
		if byTLS {
			if _, err := c.Get(t.Context(), Request{URL: "https://example.com/x"}); !isUpstream(err, 0) {
				t.Errorf("a proxy of an unknown authority: %v", err)
			}
			c.proxyDown.clear(c.policy.upstream.String())
			c.proxyTLS = &tls.Config{RootCAs: x509.NewCertPool()}
			c.proxyTLS.RootCAs.AddCert(p.Certificate())
		}
		if got := readAll(t, c, Request{URL: "https://example.com/x"}); !strings.HasPrefix(got, "example.comHTTP/") {
			t.Errorf("got %q", got)
		}
		if got := p.requests(); len(got) != 1 || got[0] != "CONNECT example.com:443" {
			t.Errorf("the proxy was asked %q", got)
		}
		// The tunnel's certificate is the mirror's, not the name's that was asked for.
		var away *UnreachableError
		if _, err := c.Get(t.Context(), Request{URL: "https://archive.example.org/x"}); !errors.As(err, &away) || away.Host != "archive.example.org:443" {
			t.Errorf("a wrong certificate: %v", err)
		}
	}
}

func isUpstream(err error, code int) bool {
	var up *UpstreamError
	return errors.As(err, &up) && up.Code == code && strings.Contains(err.Error(), "MILLPOND_UPSTREAM_PROXY") && strings.Contains(err.Error(), up.Proxy)
}

// TestProxyExceptions are reached directly, judged by their addresses.
func TestProxyExceptions(t *testing.T) {
	t.Parallel()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("a mirror that is reached directly got the proxy's login")
		}
		io.WriteString(w, "direct")
	}))
	defer mirror.Close()
	p := newFakeProxy(t, "127.0.0.1:1")
	p.login = "Basic Ym9iOmh1bnRlcjI="
	p.Start()
	_, port, _ := net.SplitHostPort(mirror.Listener.Addr().String())
	c := p.client(t, Options{Policy: mustPolicy(t, "127.0.0.1")}, "bob:hunter2@", "near.example.org", "127.0.0.0/8")
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("127.0.0.1"), addrs("127.0.0.1"), addrs("10.1.2.3")}}).resolver()
	for _, host := range []string{"near.example.org", "127.0.0.1"} {
		if got := readAll(t, c, Request{URL: "http://" + host + ":" + port + "/x"}); got != "direct" {
			t.Errorf("%s: got %q", host, got)
		}
	}
	conn, err := c.Dial(t.Context(), "near.example.org:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	c.pool.Load().any.CloseIdleConnections()
	_, err = c.Dial(t.Context(), "near.example.org:443")
	var r *RefusedError
	if !errors.As(err, &r) || r.Addr != "10.1.2.3" {
		t.Errorf("an exception at a private address: %v", err)
	}
	if asked := p.requests(); len(asked) > 0 {
		t.Errorf("the proxy was asked %q", asked)
	}
}

// TestProxyRefuses tells what the proxy says from what the mirror says.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	says := func(code int, header ...string) func(w http.ResponseWriter, _ *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			http.Error(w, "said", code)
			return true
		}
	}
	const (
		http1 = "http://deb.example.org/x"
		https = "https://deb.example.org/x"
	)
	for _, tt := range []struct {
		name, url, login string
		answer           func(w http.ResponseWriter, r *http.Request) bool
		code             int    // of an UpstreamError; -1: the mirror is unreachable, -2: its status
		says             string // in the message
		marked           bool   // the mirror counts as down
	}{
		{"wants a login", http1, "", nil, 407, "http://user:password@", false},
		{"wants a login for a tunnel", https, "", nil, 407, "http://user:password@", false},
		{"wrong login", http1, "bob:hunter3@", nil, 407, "does not accept the login", false},
		{"wrong login for a tunnel", https, "bob:hunter3@", nil, 407, "does not accept the login", false},
		{"tinyproxy does not accept the login", http1, "bob:hunter2@", says(401, "Server", "tinyproxy/1.11.1"), 401, "does not accept the login (401)", false},
		{"the mirror wants a login", http1, "bob:hunter2@", says(401, "WWW-Authenticate", `Basic realm="x"`), -2, "401", false},
		{"squid refuses", http1, "bob:hunter2@", says(403, "X-Squid-Error", "ERR_ACCESS_DENIED 0"), 403, "403 ERR_ACCESS_DENIED 0 for deb.example.org:80", false},
		{"tinyproxy refuses", http1, "bob:hunter2@", says(403, "Server", "tinyproxy/1.11.1"), 403, "403 Forbidden", false},
		{"no tunnel", https, "bob:hunter2@", says(403), 403, "403 Forbidden for deb.example.org:443", false},
		{"no tunnel but a redirect", https, "bob:hunter2@", says(302, "Location", "http://portal.example.org/"), 302, "302 Found", false},
		{"squid cannot connect", http1, "bob:hunter2@", says(503, "X-Squid-Error", "ERR_CONNECT_FAIL 111"), -1, "503 ERR_CONNECT_FAIL 111", true},
		{"squid cannot resolve", http1, "bob:hunter2@", says(503, "X-Squid-Error", "ERR_DNS_FAIL 0"), -1, "503 ERR_DNS_FAIL", true},
		{"squid got no answer", http1, "bob:hunter2@", says(502, "X-Squid-Error", "ERR_ZERO_SIZE_OBJECT 0"), -1, "502 ERR_ZERO_SIZE_OBJECT", false},
		{"tinyproxy cannot connect", http1, "bob:hunter2@", says(500, "Server", "tinyproxy/1.11.1"), -1, "500 Internal Server Error", true},
		{"no tunnel to a dead mirror", https, "bob:hunter2@", says(503, "X-Squid-Error", "ERR_CONNECT_FAIL 111"), -1, "503 ERR_CONNECT_FAIL 111", true},
		{"no tunnel, with no reason", https, "bob:hunter2@", says(500), -1, "500 Internal Server Error", true},
		{"the mirror's 403", http1, "bob:hunter2@", says(403, "Server", "nginx"), -2, "403", false},
		{"the mirror's 503", http1, "bob:hunter2@", says(503, "Retry-After", "9"), -2, "503", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newFakeProxy(t, "127.0.0.1:1")
			p.login, p.answer = "Basic Ym9iOmh1bnRlcjI=", tt.answer
			p.Start()
			c := p.client(t, Options{}, tt.login)
			_, err := c.Get(t.Context(), Request{URL: tt.url})
			var away *UnreachableError
			var status *StatusError
			switch {
			case tt.code == -1 && (!errors.As(err, &away) || !strings.HasPrefix(away.Host, "deb.example.org:") || !strings.Contains(err.Error(), "MILLPOND_UPSTREAM_PROXY")),
				tt.code == -2 && !errors.As(err, &status),
				tt.code >= 0 && !isUpstream(err, tt.code),
				!strings.Contains(err.Error(), tt.says),
				strings.Contains(err.Error(), "hunter"):
				t.Errorf("got %v", err)
			}
			if marked := len(c.Away()) > 0; marked != tt.marked || c.AwayUpstream() != "" {
				t.Errorf("down: %v, proxy %q", c.Away(), c.AwayUpstream())
			}
			if tt.code >= 0 && !IsUnreachable(err) {
				t.Error("what is held would not be served")
			}
		})
	}
}

// TestProxyAway marks the proxy and no host, and asks it again when it is back.
func TestProxyAway(t *testing.T) {
	t.Parallel()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "back") }))
	defer mirror.Close()
	p := newFakeProxy(t, mirror.Listener.Addr().String())
	addr := p.Listener.Addr().String()
	p.Listener.Close()
	p.URL = "http://" + addr
	c := p.client(t, Options{DownFor: time.Hour}, "bob:hunter2@")
	for i, url := range []string{"http://deb.example.org/x", "http://archive.example.org/x", "https://archive.example.org/x"} {
		_, err := c.Get(t.Context(), Request{URL: url})
		if !isUpstream(err, 0) || errors.Is(err, errLeftAlone) != (i > 0) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := c.Dial(t.Context(), "archive.example.org:443"); !isUpstream(err, 0) || errors.Is(err, errLeftAlone) {
		t.Errorf("a tunnel: %v", err)
	}
	if away := c.Away(); len(away) > 0 || c.AwayUpstream() != addr {
		t.Errorf("away: hosts %v, proxy %q", away, c.AwayUpstream())
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.Listener, p.URL = l, ""
	p.login = "Basic Ym9iOmh1bnRlcjI="
	p.Start()
	// A tunnel always tries, and finds that it is back.
	conn, err := c.Dial(t.Context(), "archive.example.org:443")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if c.AwayUpstream() != "" {
		t.Error("the proxy is still away")
	}
	if got := readAll(t, c, Request{URL: "http://deb.example.org/x"}); got != "back" {
		t.Errorf("got %q", got)
	}
}

// TestProxyAwayIsNoMirrors holds that mirrors of an archive keep their rank, and a
// redirect its error, when it is the proxy that is wrong.
func TestProxyAwayIsNoMirrors(t *testing.T) {
	t.Parallel()
	mirrors, err := ParseMirrors([]string{"http://deb.example.org/debian=http://a.example.org/debian|http://b.example.org/debian"})
	if err != nil {
		t.Fatal(err)
	}
	p := newFakeProxy(t, "127.0.0.1:1")
	p.login = "Basic Ym9iOmh1bnRlcjI="
	p.Start()
	c := p.client(t, Options{Mirrors: mirrors}, "")
	if _, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/debian/x"}); !isUpstream(err, 407) {
		t.Errorf("without a login: %v", err)
	}
	p.Close()
	if _, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/debian/x"}); !isUpstream(err, 0) {
		t.Errorf("away: %v", err)
	}
	for _, m := range c.Health() {
		if m.Down != "" {
			t.Errorf("%s counts as failing: %s", m.URL, m.Down)
		}
	}
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: "deb.example.org"}, Response: new(http.Response)}
	bad := &UpstreamError{Err: &tls.CertificateVerificationError{Err: io.EOF}}
	if err := unverified(req, bad); err != error(bad) {
		t.Errorf("a proxy without a valid certificate: %v", err)
	}
}

func TestProxyOffline(t *testing.T) {
	t.Parallel()
	p := newFakeProxy(t, "127.0.0.1:1")
	p.Config.ConnState = func(net.Conn, http.ConnState) { t.Error("a connection") }
	p.Start()
	c := p.client(t, Options{Offline: true}, "")
	if _, err := c.Get(t.Context(), Request{URL: "http://deb.example.org/x"}); !errors.Is(err, ErrOffline) {
		t.Errorf("Get: %v", err)
	}
	if _, err := c.Dial(t.Context(), "deb.example.org:443"); !errors.Is(err, ErrOffline) {
		t.Errorf("Dial: %v", err)
	}
	if _, err := c.dialProxy(t.Context()); !errors.Is(err, ErrOffline) {
		t.Errorf("dialling the proxy: %v", err)
	}
}

// TestTunnelKeepsEarlyBytes has the far end speak before it is spoken to.
func TestTunnelKeepsEarlyBytes(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	defer c.Close()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		if _, err := readHead(far); err != nil {
			t.Error(err)
		}
		io.WriteString(far, "HTTP/1.0 200 OK\n\nhello")
	}()
	if err := c.openTunnel(t.Context(), near, "deb.example.org:443"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(near); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestProxyIsSilent ends the wait for a tunnel, and that of a client that leaves.
func TestProxyIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{})
		defer c.Close()
		for _, patience := range []time.Duration{time.Second, time.Hour} {
			near, far := net.Pipe()
			heard := make(chan struct{})
			go func() {
				defer close(heard)
				if _, err := readHead(far); err != nil {
					t.Error(err)
				}
				io.Copy(io.Discard, far)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			begun := time.Now()
			err := c.openTunnel(ctx, near, "deb.example.org:443")
			cancel()
			<-heard
			var op *net.OpError
			if took := time.Since(begun); err == nil || took != min(patience, tunnelTimeout) || errors.As(err, &op) == (patience < tunnelTimeout) {
				t.Errorf("%v after %v", err, took)
			}
		}
	})
}

// TestProxyHeaderIsBounded ends a header that does not end.
func TestProxyHeaderIsBounded(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	defer c.Close()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		if _, err := readHead(far); err != nil {
			t.Error(err)
		}
		for line := []byte("X: " + strings.Repeat("y", 1000) + "\r\n"); ; {
			if _, err := far.Write(line); err != nil {
				return
			}
		}
	}()
	if err := c.openTunnel(t.Context(), near, "deb.example.org:443"); !isUpstream(err, 0) && !strings.Contains(fmt.Sprint(err), "header longer") {
		t.Errorf("got %v", err)
	}
	near.Close()
}

// An archive's name stands for its mirrors: the proxy is not asked for what else that
// host has, nor for what a client's own login is for.
func TestArchiveIsNoDestinationOfProxy(t *testing.T) {
	t.Parallel()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	defer mirror.Close()
	p := newFakeProxy(t, mirror.Listener.Addr().String())
	p.Start()
	m := mustMirrors(t, "http://debian/debian=http://mirror.example.org/debian", "http://10.1.2.3:8080/x=http://mirror.example.org/x")
	policy := mustPolicy(t)
	policy.Allow(m)
	c := p.client(t, Options{Policy: policy, Mirrors: m}, "")
	for _, u := range []string{"http://debian/debian/dists/s/InRelease", "http://10.1.2.3:8080/x/dists/s/InRelease"} {
		if got := readAll(t, c, Request{URL: u}); got != "mirror.example.org" {
			t.Errorf("%s came from %s", u, got)
		}
	}
	asked := len(p.requests())
	var refused *RefusedError
	for _, r := range []Request{
		{URL: "http://debian/secret/dists/s/InRelease"},
		{URL: "http://debian/debian/dists/s/InRelease", Login: Basic("client", "1")},
		{URL: "http://10.1.2.3:8080/secret/dists/s/InRelease"},
	} {
		if resp, err := c.Get(t.Context(), r); !errors.As(err, &refused) {
			t.Errorf("%s: %v, %v; want it refused", r.URL, resp, err)
		}
	}
	if conn, err := c.Dial(t.Context(), "10.1.2.3:8080"); !errors.As(err, &refused) {
		t.Errorf("tunnel: %v, %v; want it refused", conn, err)
	}
	if p := p.requests()[asked:]; len(p) > 0 {
		t.Errorf("the proxy was asked %q", p)
	}
}
