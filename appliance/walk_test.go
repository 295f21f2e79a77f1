package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// dial opens a raw connection to a box that cannot hang a test.
func dial(t *testing.T, b *box) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// The same archive, asked for in every form, is fetched from the mirror once.
// A small file may be complete before its first client opens it, and counts as
// from the store then.
func TestRequestForms(t *testing.T) {
	t.Parallel()
	plain := newSite(t, aptest.MirrorOptions{}, 5000, 400_000)
	tls := newSite(t, aptest.MirrorOptions{TLS: true}, 5000, 400_000)
	tests := []struct {
		name  string
		site  *site
		proxy bool
		base  string // what goes before the mirror's address
	}{
		{"GET http://host/path", plain, true, "http://"},
		{"GET /host/path", plain, false, "BOX/"},
		{"GET http://HTTPS///host/path", tls, true, "http://HTTPS///"},
		{"GET /https/host/path", tls, false, "BOX/https/"},
		{"GET /HTTPS///host/path", tls, false, "BOX/HTTPS///"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.site
			s.Mirror.ResetLog()
			b := start(t, s.environ(t.TempDir()))
			proxy := ""
			if tt.proxy {
				proxy = b.url
			}
			base := strings.Replace(tt.base, "BOX", b.url, 1) + s.Mirror.Addr() + "/debian"
			first, second := newClient(t, proxy), newClient(t, proxy)
			for _, c := range []*client{first, second} {
				c.update(t, s, base)
				for _, deb := range s.debs {
					c.want(t, base+"/"+deb.Path, deb.Data)
				}
			}
			sum := figures(t, b, func() int64 { return first.got + second.got }, func() int64 { return s.Mirror.BytesSent("*") })
			if first.got != second.got || sum.MirrorBytes != first.got || sum.SavedBytes != second.got {
				t.Errorf("clients got %d and %d; mirror_bytes %d and saved_bytes %d, want those", first.got, second.got, sum.MirrorBytes, sum.SavedBytes)
			}
			if sum.FromMirror > first.got || sum.FromMirror+sum.FromStore != first.got+second.got {
				t.Errorf("from mirror %d, from store %d; want at most %d from the mirror and %d in all",
					sum.FromMirror, sum.FromStore, first.got, first.got+second.got)
			}
			if want := int64(2 * (2 + len(s.debs))); sum.Requests != want {
				t.Errorf("requests %d, want %d", sum.Requests, want)
			}
			if n := s.Mirror.Requests("*.deb"); n != len(s.debs) {
				t.Errorf("the mirror was asked for debs %d times, want %d", n, len(s.debs))
			}
		})
	}
}

// What a cache in front of apt must do exactly, over one connection.
func TestConditionsAndRanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 600_000)
	b := start(t, s.environ(t.TempDir()))
	c := newClient(t, b.url)
	base := s.Mirror.URL("/debian")
	c.update(t, s, base)
	deb := s.debs[0]
	url, size := base+"/"+deb.Path, len(deb.Data)

	first, body := c.get(t, http.MethodGet, url)
	if first.StatusCode != 200 || !bytes.Equal(body, deb.Data) {
		t.Fatalf("GET: %s, %d bytes", first.Status, len(body))
	}
	etag, modified := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	if etag == "" || modified == "" || first.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("headers of a deb: %v", first.Header)
	}
	part := func(from, to int) []byte { return deb.Data[from:to] }
	tests := []struct {
		name   string
		header []string
		code   int
		body   []byte
	}{
		{"Range", []string{"Range", "bytes=1000-1999"}, 206, part(1000, 2000)},
		{"Range to the end", []string{"Range", "bytes=599000-"}, 206, part(599000, size)},
		{"Range of the last", []string{"Range", "bytes=-10"}, 206, part(size-10, size)},
		{"Range past the end", []string{"Range", fmt.Sprintf("bytes=%d-", size)}, 416, nil},
		{"If-Range by ETag", []string{"Range", "bytes=1000-1999", "If-Range", etag}, 206, part(1000, 2000)},
		{"If-Range by date", []string{"Range", "bytes=1000-1999", "If-Range", modified}, 206, part(1000, 2000)},
		{"If-Range of another file", []string{"Range", "bytes=1000-1999", "If-Range", `"other"`}, 200, deb.Data},
		{"If-None-Match", []string{"If-None-Match", etag}, 304, nil},
		{"If-None-Match of another file", []string{"If-None-Match", `"other"`}, 200, deb.Data},
		{"If-Modified-Since", []string{"If-Modified-Since", modified}, 304, nil},
		{"If-Modified-Since long ago", []string{"If-Modified-Since", "Thu, 01 Jan 1998 00:00:00 GMT"}, 200, deb.Data},
	}
	for _, tt := range tests {
		resp, body := c.get(t, http.MethodGet, url, tt.header...)
		if resp.StatusCode != tt.code || tt.body != nil && !bytes.Equal(body, tt.body) {
			t.Errorf("%s: %s with %d bytes, want %d with %d", tt.name, resp.Status, len(body), tt.code, len(tt.body))
		}
	}
	if resp, _ := c.get(t, http.MethodHead, url); resp.StatusCode != 200 || resp.ContentLength != int64(size) || resp.Header.Get("ETag") != etag {
		t.Errorf("HEAD: %s, length %d, ETag %s; want 200, %d, %s", resp.Status, resp.ContentLength, resp.Header.Get("ETag"), size, etag)
	}
	// A head, too, is the client's already.
	release := base + "/dists/stable/InRelease"
	resp, _ := c.get(t, http.MethodGet, release)
	if resp, body := c.get(t, http.MethodGet, release, "If-Modified-Since", resp.Header.Get("Last-Modified")); resp.StatusCode != 304 || len(body) > 0 {
		t.Errorf("InRelease that the client has: %s with %d bytes, want 304", resp.Status, len(body))
	}
	figures(t, b, func() int64 { return c.got }, func() int64 { return s.Mirror.BytesSent("*") })
}

// HEAD of a file that the box does not hold tells its size without a download.
func TestHeadOfAbsentFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 600_000)
	b := start(t, s.environ(t.TempDir()))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	resp, _ := c.get(t, http.MethodHead, s.Mirror.URL("/debian/"+s.debs[0].Path))
	if resp.StatusCode != 200 || resp.ContentLength != int64(len(s.debs[0].Data)) {
		t.Errorf("HEAD: %s, length %d, want 200 and %d", resp.Status, resp.ContentLength, len(s.debs[0].Data))
	}
}

// apt sends up to ten requests before it reads an answer; a missing file among
// them must not upset the others.
func TestPipeline(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000, 300_000, 2000, 700_000, 3000, 4000, 5000, 6000, 7000)
	b := start(t, s.environ(t.TempDir()))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, warm := range []bool{false, true} {
		conn := dial(t, b)
		var requests strings.Builder
		var want [][]byte // nil for the missing file
		ask := func(path string, data []byte) {
			fmt.Fprintf(&requests, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", s.Mirror.URL("/debian/"+path), s.Mirror.Addr())
			want = append(want, data)
		}
		for i, deb := range s.debs {
			if i == 5 {
				ask("pool/main/m/missing/missing_1.0_amd64.deb", nil)
			}
			ask(deb.Path, deb.Data)
		}
		if _, err := io.WriteString(conn, requests.String()); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		for i, data := range want {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("warm %v: answer %d: %v", warm, i, err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			code := http.StatusOK
			if data == nil {
				code = http.StatusNotFound
			}
			if err != nil || resp.StatusCode != code || data != nil && !bytes.Equal(body, data) || resp.Close {
				t.Fatalf("warm %v: answer %d: %s, %d bytes, close %v, %v; want %d with %d bytes and the connection kept",
					warm, i, resp.Status, len(body), resp.Close, err, code, len(data))
			}
			if data != nil {
				c.got += int64(len(body))
			}
		}
		conn.Close()
	}
	figures(t, b, func() int64 { return c.got }, func() int64 { return s.Mirror.BytesSent("*") })
}

func TestHTTP10(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 300_000)
	b := start(t, s.environ(t.TempDir()))
	newClient(t, b.url).update(t, s, s.Mirror.URL("/debian"))
	deb := s.debs[0]
	for _, target := range []string{s.Mirror.URL("/debian/" + deb.Path), "/" + s.Mirror.Addr() + "/debian/" + deb.Path} {
		conn := dial(t, b)
		fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", target)
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		header, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
		if !bytes.HasPrefix(header, []byte("HTTP/1.0 200 ")) || !bytes.Equal(body, deb.Data) ||
			!bytes.Contains(header, []byte("Content-Length: "+strconv.Itoa(len(deb.Data)))) || bytes.Contains(header, []byte("chunked")) {
			t.Errorf("%s: %d bytes after\n%s", target, len(body), header)
		}
	}
}

// Two boxes in one process, the second behind the first: what one delivers the
// other takes, and nothing is counted twice or lost.
func TestTwoBoxes(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000, 600_000)
	front := start(t, s.environ(t.TempDir()))
	back := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS="+front.Addr().String()))
	a, b := newClient(t, back.url), newClient(t, back.url)
	base := front.url + "/" + s.Mirror.Addr() + "/debian"
	for _, c := range []*client{a, b} {
		c.update(t, s, base)
		for _, deb := range s.debs {
			c.want(t, base+"/"+deb.Path, deb.Data)
		}
	}
	f := figures(t, front, func() int64 { return a.got }, func() int64 { return s.Mirror.BytesSent("*") })
	figures(t, back, func() int64 { return a.got + b.got }, func() int64 { return f.ClientBytes })
}

// A request for the box itself ends there, also where its address is allowed as upstream.
func TestLoop(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ALLOW_UPSTREAMS=127.0.0.1"))
	self := b.Addr().String()
	resp, _ := newClient(t, "").get(t, http.MethodGet, b.url+"/"+self+"/debian/dists/stable/InRelease")
	if resp.StatusCode != http.StatusLoopDetected || !strings.Contains(resp.Status, self+" is this box itself") {
		t.Errorf("a loop: %s", resp.Status)
	}
}

func TestDashboardListener(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_DASHBOARD_LISTEN=127.0.0.1:0"))
	people := "http://" + b.servers[1].listener.Addr().String()
	c := newClient(t, "")
	for _, tt := range []struct {
		url  string
		code int
	}{
		{people + "/", 200}, {people + "/api/v1/summary", 200}, {people + "/metrics", 200},
		{people + "/healthz", 200}, {people + "/readyz", 200},
		{people + "/" + s.Mirror.Addr() + "/debian/dists/stable/InRelease", 404},
		{b.url + "/", 404}, {b.url + "/api/v1/summary", 404}, {b.url + "/metrics", 404},
		{b.url + "/healthz", 200}, {b.url + "/readyz", 200},
		{b.url + "/" + s.Mirror.Addr() + "/debian/dists/stable/InRelease", 200},
	} {
		if resp, body := c.get(t, http.MethodGet, tt.url); resp.StatusCode != tt.code {
			t.Errorf("GET %s: %s, want %d: %s", tt.url, resp.Status, tt.code, body)
		}
	}
	_, page := c.get(t, http.MethodGet, people+"/setup.sh")
	if want := "box='" + b.Addr().String() + "'"; !strings.Contains(string(page), want) {
		t.Errorf("the script does not send clients to %s:\n%s", want, page)
	}
}
