package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"millpond/internal/aptest"
)

// askUnder sends a request for a path to an address, under a name.
func askUnder(t *testing.T, addr, name, path string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, name)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A box at several addresses serves an archive under its name on each of them, and its
// own page under all other names.
func TestServesByName(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 3000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_LISTEN=127.0.0.1:0,127.77.18.1:0", "MILLPOND_HOSTS=default,deb.example.org,*.example.net",
		"MILLPOND_MIRRORS=http://deb.example.org/debian="+s.Mirror.URL("/debian"), "MILLPOND_DASHBOARD_ACCESS=box.example.net"))
	if len(b.clients) != 2 {
		t.Fatalf("%d addresses", len(b.clients))
	}
	for _, l := range b.clients {
		addr := l.Addr().String()
		if status, body := askUnder(t, addr, "deb.example.org", "/debian/dists/stable/InRelease"); status != 200 || !strings.Contains(body, "BEGIN PGP SIGNED MESSAGE") {
			t.Errorf("%s: %d %.100q", addr, status, body)
		}
		for _, name := range []string{addr, "box.example.net", "box"} {
			if status, body := askUnder(t, addr, name, "/api/v1/summary"); status != 200 || !strings.HasPrefix(body, "{") {
				t.Errorf("%s as %s: %d %.100q", addr, name, status, body)
			}
		}
		if status, _ := askUnder(t, addr, "deb.example.org", "/api/v1/summary"); status != 403 {
			t.Errorf("%s: the API is served under an archive's name: %d", addr, status)
		}
	}
}

// A name that leads the box to itself is refused with what would help.
func TestNameOfTheBoxItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS=127.0.0.0/8"))
	_, port, _ := net.SplitHostPort(b.Addr().String())
	proxy, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}}
	for at, want := range map[string]bool{"0.0.0.0": true, "[::]": true, "127.0.0.9": false} {
		if got := b.listensAt(netip.MustParseAddrPort(at + ":" + port)); got != want {
			t.Errorf("a connection to %s comes to the box: %v, want %v", at, got, want)
		}
	}
	resp, err := client.Get("http://localhost.:" + port + "/debian/dists/stable/InRelease")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusLoopDetected || !strings.Contains(string(body), "MILLPOND_RESOLVER") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
