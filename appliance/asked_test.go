package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// apt is the machine's own, with the site's key.
func (s *site) apt(t *testing.T, proxy string, source string) *aptest.Client {
	t.Helper()
	c := aptest.NewClient(t)
	c.Trust(s.Key)
	c.Sources("deb " + source + " stable main")
	if proxy != "" {
		c.Set("Acquire::http::Proxy", proxy)
	}
	return c
}

// withoutPlus serves what s has, but no name in which a '+' stands for itself,
// as object stores do, which read a blank there.
func (s *site) withoutPlus(t *testing.T, tls bool) (addr string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "+") {
			http.Error(w, "no such key", http.StatusForbidden)
			return
		}
		s.Mirror.ServeHTTP(w, r)
	}))
	if tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// Names with characters that apt escapes reach the mirror escaped, in all forms.
func TestEscapesReachTheMirror(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	deb := s.Add(aptest.Package{Name: "g++", Version: "2:1.0+b1~rc1", Size: 5000})
	s.Release(time.Now())
	plain, tls := s.withoutPlus(t, false), s.withoutPlus(t, true)
	for name, tt := range map[string]struct {
		proxied bool
		source  string
	}{
		"proxy":        {true, "http://" + plain + "/debian"},
		"path":         {false, "http://BOX/" + plain + "/debian"},
		"proxy, HTTPS": {true, "http://HTTPS///" + tls + "/debian"},
		"path, https":  {false, "http://BOX/https/" + tls + "/debian"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS="+plain+","+tls))
			proxy := ""
			if tt.proxied {
				proxy = b.url
			}
			c := s.apt(t, proxy, strings.Replace(tt.source, "BOX", b.Addr().String(), 1))
			c.MustApt("update")
			c.MustApt("install", "--download-only", "g++")
			if got, err := c.Downloaded("g++_2%3a1.0+b1~rc1_all.deb"); err != nil || !bytes.Equal(got, deb.Data) {
				t.Errorf("downloaded %d bytes, %v; want %d", len(got), err, len(deb.Data))
			}
			// Nor does it matter how another client writes it, or that no index lists it.
			s.Mirror.Put("/debian/pool/x+y~z:1.deb", []byte("unlisted"), time.Now())
			base := b.url + "/" + plain
			if strings.Contains(strings.ToLower(name), "https") {
				base = b.url + "/https/" + tls
			}
			for _, spelt := range []string{"x+y~z:1.deb", "x%2by%7Ez%3A1.deb"} {
				newClient(t, "").want(t, base+"/debian/pool/"+spelt, []byte("unlisted"))
			}
			newClient(t, "").want(t, base+"/debian/"+strings.ReplaceAll(deb.Path, "+", "%2B"), deb.Data)
		})
	}
}

// apt's usual max-age=0 does not have the mirror asked by every client of a site.
func TestUsualUpdate(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	b := start(t, s.environ(t.TempDir()))
	for range 3 {
		s.apt(t, b.url, s.Mirror.URL("/debian")).MustApt("update")
	}
	if n := s.Mirror.Requests("*/InRelease"); n != 1 {
		t.Errorf("the mirror was asked for InRelease %d times, want once in a TTL", n)
	}
}

// A list of mirrors by the proxy, as apt-transport-mirror(1) has it.
func TestMirrorList(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	b := start(t, s.environ(t.TempDir()))
	s.Mirror.Put("/mirrors.txt", []byte(s.Mirror.URL("/debian/")+"\n"), time.Now())
	c := s.apt(t, b.url, "mirror+http://"+s.Mirror.Addr()+"/mirrors.txt")
	c.MustApt("update")
	c.MustApt("install", "--download-only", "package0")
	if got, err := c.Downloaded(path.Base(s.debs[0].Path)); err != nil || !bytes.Equal(got, s.debs[0].Data) {
		t.Errorf("downloaded %d bytes, %v", len(got), err)
	}
}

// redirectedTo is another host, to which archives redirect.
func redirectedTo(t *testing.T, answer string) (base string) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// What a package downloads from a host that the administrator has named, by
// apt's helper, which is redirected.
func TestAnyPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	far := redirectedTo(t, "fonts")
	s.Mirror.Inject("/corefonts/*", aptest.Redirect(far+"/cdn/andale32.exe?token=x"))
	url := s.Mirror.URL("/corefonts/andale32.exe")
	farAddr := strings.TrimPrefix(far, "http://")

	b := start(t, s.environ(t.TempDir()))
	setting := "MILLPOND_ALLOW_UPSTREAMS=" + s.Mirror.Addr() + "/*"
	want := "403 Refused by millpond: not an archive path, " + setting + " would allow it"
	if resp, _ := newClient(t, b.url).get(t, http.MethodGet, url); !strings.HasPrefix(resp.Status, want+" (") {
		t.Errorf("without the setting: %s, want %s", resp.Status, want)
	}
	newClient(t, b.url).get(t, http.MethodGet, s.Mirror.URL("/")) // a probe: whatever the mirror says
	if n := s.Mirror.Requests("/"); n != 1 {
		t.Errorf("%d probes at the mirror, want 1", n)
	}

	b = start(t, s.environ(t.TempDir(), setting+","+farAddr))
	newClient(t, b.url).want(t, url, []byte("fonts"))
	c := s.apt(t, b.url, s.Mirror.URL("/debian"))
	if out, err := c.Run(t.Context(), "/usr/lib/apt/apt-helper", "download-file", url, c.Work+"/andale32.exe"); err != nil {
		t.Errorf("apt-helper: %v\n%s", err, out)
	}
	// Where it redirects to still has to be a destination that is allowed.
	b = start(t, s.environ(t.TempDir(), setting))
	if resp, _ := newClient(t, b.url).get(t, http.MethodGet, url); resp.StatusCode != 403 || !strings.Contains(resp.Status, "127.0.0.1") {
		t.Errorf("redirect to a refused host: %s", resp.Status)
	}
}

// Of a host that may be asked for anything each query is a file of its own.
func TestQueries(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		io.WriteString(w, r.RequestURI)
	}))
	t.Cleanup(srv.Close)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS="+strings.TrimPrefix(srv.URL, "http://")+"/*"))
	targets := []string{"/get?file=a%2Fb+c&x=/../y", "/get?", "/get", "/get/", "/get/?x", "/?x", "/"}
	for range 2 {
		for _, target := range targets {
			newClient(t, b.url).want(t, srv.URL+target, []byte(target))
			newClient(t, "").want(t, b.url+"/"+strings.TrimPrefix(srv.URL, "http://")+target, []byte(target))
		}
	}
	if asked != len(targets) {
		t.Errorf("the host was asked %d times for %d files", asked, len(targets))
	}
}

// A box that is restricted serves and fetches nothing else, held or not, in no
// form; what it may serve it fetches from wherever the archive keeps it.
func TestOnlyArchives(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	s.Mirror.Publish("/other", s.now)
	far := redirectedTo(t, string(s.debs[0].Data))
	s.Mirror.Inject("/debian/pool/*", aptest.Redirect(far+"/cdn"))
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS=127.0.0.1", "MILLPOND_ONLY_ARCHIVES="+s.Mirror.Addr()+"/debian"))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	c.want(t, s.Mirror.URL("/debian/"+s.debs[0].Path), s.debs[0].Data)
	sum := digest.Of(s.now.File("dists/stable/main/binary-amd64/Packages.xz")).String()
	direct := newClient(t, "")
	for _, u := range []string{
		s.Mirror.URL("/other/dists/stable/InRelease"), s.Mirror.URL("/other/" + s.debs[0].Path), s.Mirror.URL("/"),
		s.Mirror.URL("/other/dists/stable/main/binary-amd64/by-hash/SHA256/" + sum),
		s.Mirror.URL("/debian/../other/dists/stable/InRelease"),
		far + "/debian/dists/stable/InRelease", "http://archive.example.org/",
	} {
		within, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []func() *http.Response{
			func() *http.Response { r, _ := c.get(t, http.MethodGet, u); return r },
			func() *http.Response { r, _ := c.get(t, http.MethodHead, u); return r },
			func() *http.Response {
				r, _ := direct.get(t, http.MethodGet, b.url+"/"+within.Host+within.EscapedPath())
				return r
			},
		} {
			if resp := got(); resp.StatusCode != 403 || !strings.Contains(resp.Status, " is not in MILLPOND_ONLY_ARCHIVES (") {
				t.Errorf("%s: %s, want it refused", u, resp.Status)
			}
		}
	}
	for _, r := range s.Mirror.Log() {
		if !strings.HasPrefix(r.Path, "/debian/") {
			t.Errorf("the mirror was asked for %s", r.Path)
		}
	}
}

// A source that names the box, asked for through the box as proxy, by a name
// and a port that the box does not know to be its own.
func TestOwnNameThroughProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	for name, host := range map[string]string{
		"port":                      "nas.example.org:8080",
		"name of a private address": "localhost",
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, s.environ(t.TempDir()))
			c := s.apt(t, b.url, "http://"+host+"/"+s.Mirror.Addr()+"/debian")
			c.MustApt("update")
			c.MustApt("install", "--download-only", "package0")
			if got, err := c.Downloaded(path.Base(s.debs[0].Path)); err != nil || !bytes.Equal(got, s.debs[0].Data) {
				t.Errorf("downloaded %d bytes, %v", len(got), err)
			}
			if n := s.Mirror.Requests("*.deb"); n > 2 {
				t.Errorf("the mirror was asked %d times", n)
			}
		})
	}
}

// Everything that the dashboard serves is reserved: the proxy takes it for no
// host.
func TestPagesAreReserved(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir()))
	c := newClient(t, "")
	pages := 0
	err := chi.Walk(b.dashboard.Handler().(chi.Routes), func(_, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		pages++
		first, _, _ := strings.Cut(strings.TrimPrefix(route, "/"), "/")
		if first == "" {
			return nil
		}
		if resp, _ := c.get(t, http.MethodGet, b.url+"/"+first+"/none"); resp.StatusCode != 404 {
			t.Errorf("/%s/none: %s, want the dashboard's 404", first, resp.Status)
		}
		return nil
	})
	if err != nil || pages < 20 {
		t.Fatalf("%d pages, %v", pages, err)
	}
}
