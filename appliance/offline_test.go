package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// trapDNS is a DNS server that is not to be asked. It knows no name.
func trapDNS(t *testing.T) (addr string, asked *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			asked.Add(1)
			if n > 3 {
				b[2], b[3] = b[2]|0x80, b[3]&0xf0|3
				_, _ = conn.WriteTo(b[:n], from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().String(), asked
}

// Offline, a box serves what it holds, and whatever it is asked for it sends nothing to a
// mirror and asks no DNS server: here the mirror is up, and sees who comes.
func TestOfflineBoxSendsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000, 7000)
	dns, lookups := trapDNS(t)
	dir := t.TempDir()
	addr := s.Mirror.Addr()
	environ := s.environ(dir, "MILLPOND_ADMIN_TOKEN="+adminToken, "MILLPOND_RESOLVER="+dns, "MILLPOND_INDEX_TTL=0s",
		"MILLPOND_ALLOW_UPSTREAMS="+addr+",unknown.example.org,deb.example.org",
		"MILLPOND_FOLLOW=http://"+addr+"/debian stable main amd64", "MILLPOND_PREFETCH=1GB", "MILLPOND_RINGS=early",
		"MILLPOND_MIRRORS=http://deb.example.org/debian="+s.Mirror.URL("/debian")+"|http://other.example.org/debian", "MILLPOND_HOSTS=deb.example.org")
	held := s.debs[:2]
	b := start(t, environ)
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, deb := range held {
		c.want(t, s.URL(deb.Path), deb.Data)
	}
	c.CloseIdleConnections()
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	s.AddPackage("newer", 4000)
	s.Release(time.Now()) // which the box does not know
	var connections atomic.Int64
	s.Mirror.OnRequest(func(aptest.Request) { connections.Add(1) })
	lookups.Store(0)

	b = start(t, append(environ, "MILLPOND_OFFLINE=yes"))
	c = newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, deb := range held {
		c.want(t, s.URL(deb.Path), deb.Data)
	}
	useOffline(t, s, b, c)

	// Damage is found, and not made up for.
	damageBlob(t, dir, digest.Of(held[0].Data))
	v, _, err := act[api.Verify](t.Context(), b.asked(), "verify", api.VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the check", func() bool {
		v, err = askAPI[api.Verify](t.Context(), b.asked(), http.MethodGet, "verify", adminToken, nil)
		return err == nil && !v.Running
	})
	if v.Damaged != 1 || v.NotAvailable != 1 {
		t.Errorf("offline, the check found %+v", v)
	}
	c.CloseIdleConnections()
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("an offline box sent %d requests to the mirror: %+v", n, s.Mirror.Log())
	}
	if n := lookups.Load(); n != 0 {
		t.Errorf("an offline box looked %d names up", n)
	}
}

// useOffline asks the box for all that would have it ask a mirror.
func useOffline(t *testing.T, s *site, b *box, c *client) {
	t.Helper()
	addr := s.Mirror.Addr()
	for _, url := range []string{
		s.URL(s.debs[2].Path), // listed, and not held
		s.URL("dists/stable/main/binary-arm64/Packages.xz"),
		s.URL("dists/other/InRelease"),
		s.URL("unlisted.deb"),
		"http://unknown.example.org/debian/dists/stable/InRelease",
		"http://deb.example.org/debian/dists/stable/InRelease",
		"http://HTTPS///" + addr + "/debian/dists/stable/InRelease",
	} {
		if resp, body := c.get(t, http.MethodGet, url, "Cache-Control", "no-cache"); resp.StatusCode < 400 {
			t.Errorf("GET %s: %s, %.80q", url, resp.Status, body)
		}
	}
	c.get(t, http.MethodGet, s.URL("dists/stable/InRelease"), "Cache-Control", "no-cache")
	c.get(t, http.MethodGet, s.URL("dists/stable/InRelease"), "Authorization", "Basic dTpw")
	direct := newClient(t, "")
	for _, path := range []string{
		addr + "/debian/dists/other/InRelease", "https/" + addr + "/debian/dists/stable/InRelease", "ring/early/" + addr + "/debian/dists/other/InRelease",
		"snapshot/20200101T000000Z/" + addr + "/debian/dists/stable/InRelease",
	} {
		direct.get(t, http.MethodGet, b.url+"/"+path)
	}
	direct.CloseIdleConnections()
	askUnder(t, b.Addr().String(), "deb.example.org", "/debian/dists/other/InRelease")
	for _, to := range []string{addr, "unknown.example.org:443"} {
		if status := connectTo(t, b.Addr().String(), to); status/100 == 2 {
			t.Errorf("CONNECT %s: %d", to, status)
		}
	}
	suite := s.Mirror.URL("/debian/dists/stable")
	for path, body := range map[string]string{
		"prefetch": `{}`, "purge": `{"what": "unknown.example.org"}`, "pin": `{"what": "package0"}`, "rings/early/promote": `{}`,
		"suites/accept": fmt.Sprintf(`{"suite": %q, "digest": %q}`, suite, digest.Of(nil)),
	} {
		_, _ = askRaw(t.Context(), b.asked(), http.MethodPost, path, adminToken, []byte(body)) // it may be refused
	}
	_ = b.names.round(t.Context(), []string{"deb.example.org"})
	_ = b.mirror.Takes(t.Context(), "http://unknown.example.org/debian") // as the page asks about tunnels
	dir, err := catalog.ParseURL(suite)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.follow.Update(t.Context(), dir)
	_ = b.fetch.Refresh(t.Context(), dir)
}

// connectTo asks for a tunnel, and returns the status of the answer.
func connectTo(t *testing.T, box, to string) int {
	t.Helper()
	conn, err := net.Dial("tcp", box)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(resp.Status, "200") {
		resp.Body.Close()
	}
	return resp.StatusCode
}
