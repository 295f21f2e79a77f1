package apt

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/aptest"
)

// behind is an archive behind a real proxy, which alone can resolve its names, at the
// ports that anybody may reach.
type behind struct {
	*realProxy
	archive      *aptest.Archive
	plain, tls   *aptest.Mirror // archive.example.com
	near         *aptest.Mirror // an exception, by its address
	box          *box.Box
	packageNamed aptest.File
}

const (
	loggedIn = "bob:hunter2@"
	// behindAt is where the names of the proxy lead.
	behindAt    = "127.81.0.1"
	behindHosts = behindAt + " archive.example.com nas.lan forbidden.example.com\n127.81.0.9 dead.example.com\n"
	behindHTTP  = "http://archive.example.com/debian"
)

func newBehind(t *testing.T, program, login string) *behind {
	t.Helper()
	s := &behind{
		archive: aptest.NewArchive(trusted, aptest.Suite{NoByHash: true}),
		plain:   aptest.NewMirror(t, aptest.MirrorOptions{Listen: behindAt + ":80", Forget: true}),
		tls:     aptest.NewMirror(t, aptest.MirrorOptions{Listen: behindAt + ":443", TLS: true}),
		near:    aptest.NewMirror(t, aptest.MirrorOptions{}),
	}
	s.packageNamed = s.archive.Add(aptest.Package{Name: "one", Version: "1.0-1", Size: 200_000})
	s.archive.Add(aptest.Package{Name: "g++", Version: "1:2.0+b1~rc1-1", Size: 3000})
	s.publish()
	s.realProxy = startProxy(t, program, login, behindHosts)
	s.box = s.start(t, s.url())
	return s
}

// publish makes the next generation current.
func (s *behind) publish() {
	g := s.archive.Publish(time.Now())
	for _, m := range []*aptest.Mirror{s.plain, s.tls, s.near} {
		m.Publish("/debian", g)
	}
}

// start starts a box behind the proxy of that URL.
func (s *behind) start(t *testing.T, proxy string) *box.Box {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"archive.gpg": trusted.Public(), "ca.pem": s.tls.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return box.Start(t, "MILLPOND_KEYRING_DIR="+dir, "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"), "MILLPOND_INDEX_TTL=0s", "MILLPOND_LOG_LEVEL=debug",
		"MILLPOND_UPSTREAM_PROXY="+proxy, "MILLPOND_UPSTREAM_PROXY_EXCEPT=127.0.0.0/8", "MILLPOND_ALLOW_UPSTREAMS=127.0.0.1",
		// To be ignored.
		"HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1")
}

// client is a fresh apt behind a proxy.
func (s *behind) client(t *testing.T, proxy, uri string) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(trusted)
	c.TrustCA(s.tls.CertPEM())
	c.Proxy(proxy)
	c.Sources("deb " + uri + " stable main")
	return c
}

// TestUpstreamProxies has the real apt use archives of every form through a box
// behind a real proxy, of two kinds, with and without a login.
func TestUpstreamProxies(t *testing.T) {
	for _, program := range []string{"squid", "tinyproxy"} {
		for login, name := range map[string]string{"": program, loggedIn: program + " with a login"} {
			t.Run(name, func(t *testing.T) { newBehind(t, program, login).forms(t) })
		}
	}
}

func (s *behind) forms(t *testing.T) {
	for _, tt := range []struct {
		name, uri string
		mirror    *aptest.Mirror
	}{
		{"exception", "http://" + s.near.Addr() + "/debian", s.near},
		{"http", behindHTTP, s.plain},
		{"https", "http://HTTPS///archive.example.com/debian", s.tls},
		{"tunnel", "https://archive.example.com/debian", s.tls},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.mirror.ResetLog()
			c := s.client(t, s.box.URL, tt.uri)
			c.MustApt("update")
			c.MustApt("install", "--download-only", "one", "g++")
			if got, err := c.Downloaded("one_1.0-1_all.deb"); !bytes.Equal(got, s.packageNamed.Data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			// Only the proxy knows where the others are.
			if n := tt.mirror.Requests("*InRelease"); n != 1 {
				t.Errorf("the mirror was asked for InRelease %d times", n)
			}
			if said := s.log(); tt.mirror == s.near && strings.Contains(said, "GET") {
				t.Errorf("the proxy was asked %s", said)
			}
		})
	}
	t.Run("private name", func(t *testing.T) {
		out, err := s.client(t, s.box.URL, "http://nas.lan/debian").Apt(t.Context(), "update")
		if err == nil || !strings.Contains(out, "403  Refused by millpond: nas.lan has no public suffix and counts as private behind MILLPOND_UPSTREAM_PROXY, MILLPOND_ALLOW_UPSTREAMS=nas.lan would allow it") {
			t.Errorf("%v:\n%s", err, out)
		}
		if said := s.log(); strings.Contains(said, "nas.lan") || !strings.Contains(said, behindHTTP) {
			t.Errorf("the proxy was asked %s", said)
		}
	})
	s.keepsSecret(t, s.box)
}

// keepsSecret looks for the password in all that a box tells.
func (s *behind) keepsSecret(t *testing.T, b *box.Box) {
	t.Helper()
	for what, text := range map[string]string{
		"log": b.Log(), "summary": string(b.Get("/api/v1/summary")), "readyz": string(b.Get("/readyz")), "settings": string(b.Get("/api/v1/settings")),
	} {
		if strings.Contains(text, "hunter") || strings.Contains(text, "Ym9iO") {
			t.Errorf("the %s of the box has the password in it", what)
		}
	}
}

// TestUpstreamProxyFails holds that what goes wrong between the box and a proxy ends
// apt's update as it ends without the box, and is said to be about the proxy.
func TestUpstreamProxyFails(t *testing.T) {
	for _, program := range []string{"squid", "tinyproxy"} {
		t.Run(program, func(t *testing.T) {
			s := newBehind(t, program, loggedIn)
			wrong := strings.Replace(s.url(), "hunter2", "hunter3", 1)
			unwelcome := s.start(t, wrong)
			for _, tt := range []struct {
				name, uri, direct string
				box               *box.Box
				want              string
			}{
				{"wrong login", behindHTTP, wrong, unwelcome, "502  millpond: the upstream proxy " + s.addr + " (MILLPOND_UPSTREAM_PROXY) refuses: it does not accept the login (40"},
				{"wrong login, tunnel", "https://archive.example.com/debian", wrong, unwelcome, "it does not accept the login (40"},
				{"forbidden", "http://forbidden.example.com/debian", s.url(), s.box, "502  millpond: the upstream proxy " + s.addr + " (MILLPOND_UPSTREAM_PROXY) refuses: it answers 403 "},
				{"forbidden, tunnel", "https://forbidden.example.com/debian", s.url(), s.box, "(MILLPOND_UPSTREAM_PROXY) refuses: it answers 403 "},
				{"dead mirror", "http://dead.example.com/debian", s.url(), s.box, "502  millpond: mirror dead.example.com:80 cannot be reached: dial tcp: the upstream proxy " + s.addr + " (MILLPOND_UPSTREAM_PROXY) answers 50"},
				{"dead mirror, tunnel", "https://dead.example.com/debian", s.url(), s.box, "mirror dead.example.com:443 cannot be reached"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					direct, derr := s.client(t, tt.direct, tt.uri).Apt(t.Context(), "update")
					out, err := s.client(t, tt.box.URL, tt.uri).Apt(t.Context(), "update")
					if exitStatus(err) != exitStatus(derr) || !strings.Contains(out, tt.want) {
						t.Errorf("got %s, direct %s; want %q in\n%s\ndirect:\n%s", exitStatus(err), exitStatus(derr), tt.want, out, direct)
					}
				})
			}
			s.keepsSecret(t, unwelcome)
			s.faults(t)
		})
	}
}

// faults are those of the mirror, which come as the proxy makes them: through the
// box apt's update ends as it does through the proxy alone.
func (s *behind) faults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault aptest.Fault
	}{
		{"mirror drops", aptest.Drop()},
		{"mirror cuts", aptest.Truncate(100)},
		{"mirror sends no HTTP", aptest.Raw("220 FTP\r\n\r\n")},
		{"mirror says 404", aptest.Status(http.StatusNotFound)},
		{"mirror says 403", aptest.Status(http.StatusForbidden)},
		{"mirror says 401", aptest.Status(http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="x"`)},
		{"mirror says 503", aptest.Status(http.StatusServiceUnavailable)},
		{"mirror says 500, empty", aptest.EmptyStatus(http.StatusInternalServerError)},
		{"mirror says 407", aptest.Status(http.StatusProxyAuthRequired, "Proxy-Authenticate", `Basic realm="x"`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.plain.Inject("*Release*", tt.fault)
			defer s.plain.ClearFaults()
			direct, derr := s.client(t, s.url(), behindHTTP).Apt(t.Context(), "update")
			out, err := s.client(t, s.box.URL, behindHTTP).Apt(t.Context(), "update")
			if exitStatus(err) != exitStatus(derr) {
				t.Errorf("got %s, direct %s:\n%s\ndirect:\n%s", exitStatus(err), exitStatus(derr), out, direct)
			}
		})
	}
}

// TestUpstreamProxyAway ends the proxy of a box that holds an archive, and starts it
// again.
func TestUpstreamProxyAway(t *testing.T) {
	s := newBehind(t, "squid", loggedIn)
	s.client(t, s.box.URL, behindHTTP).MustApt("update")
	s.stop()
	for range 2 { // of which the second does not wait
		c := s.client(t, s.box.URL, behindHTTP)
		c.MustApt("update")
		out, err := c.Apt(t.Context(), "install", "--download-only", "one")
		if err == nil || !strings.Contains(out, "502  millpond: the upstream proxy "+s.addr+" (MILLPOND_UPSTREAM_PROXY) does not answer: ") {
			t.Errorf("%v:\n%s", err, out)
		}
	}
	if ready := string(s.box.Get("/readyz")); !strings.Contains(ready, "upstream proxy "+s.addr) || strings.Contains(ready, "archive.example.com") {
		t.Errorf("readyz says %s", ready)
	}
	s.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 100})
	s.publish()
	s.run()
	// A tunnel finds out at once that the proxy is back.
	s.client(t, s.box.URL, "https://archive.example.com/debian").MustApt("update")
	c := s.client(t, s.box.URL, behindHTTP)
	c.MustApt("update")
	c.MustApt("install", "--download-only", "one", "new")
	if ready := string(s.box.Get("/readyz")); strings.Contains(ready, "upstream proxy") {
		t.Errorf("readyz says %s", ready)
	}
	s.keepsSecret(t, s.box)
}

// TestUpstreamCacheIsStale has a squid hold an archive's files for a day, whatever
// the mirror has since: the box gets the new generation, as apt does, and a package
// that was rebuilt under its name, which apt does not.
func TestUpstreamCacheIsStale(t *testing.T) {
	s := newBehind(t, "squid", "")
	proxy, err := url.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	through := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	hold := func(path string) string {
		resp, err := through.Get(behindHTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const index = "/dists/stable/main/binary-amd64/Packages.xz"
	held := map[string]string{}
	for _, path := range []string{"/dists/stable/InRelease", index, "/" + s.packageNamed.Path} {
		held[path] = hold(path)
	}
	s.archive.Remove("one")
	s.packageNamed = s.archive.Add(aptest.Package{Name: "one", Version: "1.0-1", Size: 200_000, Description: "rebuilt"})
	s.publish()
	for path, was := range held {
		if hold(path) != was {
			t.Fatalf("the squid did not hold %s", path)
		}
	}
	direct := s.client(t, s.url(), behindHTTP)
	direct.MustApt("update")
	if out, err := direct.Apt(t.Context(), "install", "--download-only", "one"); err == nil {
		t.Errorf("apt gets a rebuilt package past the squid by itself:\n%s", out)
	}
	c := s.client(t, s.box.URL, behindHTTP)
	c.MustApt("update")
	c.MustApt("install", "--download-only", "one")
	if got, err := c.Downloaded("one_1.0-1_all.deb"); !bytes.Equal(got, s.packageNamed.Data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestUpstreamBox has a box reach mirrors through another box, and one through itself.
func TestUpstreamBox(t *testing.T) {
	s := newSite(t)
	tls := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	tls.Publish("/debian", s.archive.Publish(time.Now()))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, tls.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	allowed := []string{"MILLPOND_ALLOW_UPSTREAMS=" + s.mirror.Addr() + "," + tls.Addr(), "SSL_CERT_FILE=" + ca, "MILLPOND_SWARM=false"}
	far := box.Start(t, s.settings(t, allowed...)...)
	near := box.Start(t, s.settings(t, append(allowed, "MILLPOND_UPSTREAM_PROXY="+far.URL)...)...)
	for _, uri := range []string{s.mirror.URL("/debian"), "http://HTTPS///" + tls.Addr() + "/debian", tls.URL("/debian")} {
		c := s.client(t)
		c.Proxy(near.URL)
		c.TrustCA(tls.CertPEM())
		c.Sources("deb " + uri + " stable main")
		c.MustApt("update")
		c.MustApt("install", "--download-only", "pkg00", "pkg11")
	}
	if got := far.Summary(); got.ClientBytes == 0 || got.TunnelBytes == 0 {
		t.Errorf("the other box served %d bytes and %d in tunnels", got.ClientBytes, got.TunnelBytes)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own := box.Start(t, s.settings(t, append(allowed, "MILLPOND_UPSTREAM_PROXY=http://"+l.Addr().String())...)...)
	go forward(l, strings.TrimPrefix(own.URL, "http://"))
	for uri, want := range map[string]string{
		s.mirror.URL("/debian"): "508  millpond: the mirror answered 508",
		tls.URL("/debian"):      "MILLPOND_UPSTREAM_PROXY) answers 508",
	} {
		c := s.client(t)
		c.Proxy(own.URL)
		c.Sources("deb " + uri + " stable main")
		if out, err := c.Apt(t.Context(), "update"); !strings.Contains(out, want) {
			t.Errorf("%v: want %q in\n%s", err, want, out)
		}
	}
}

// forward connects each connection to l with addr, until l is closed.
func forward(l net.Listener, addr string) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", addr)
		if err != nil {
			near.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1]) // either side may be gone
				pair[0].Close()
			}()
		}
	}
}
