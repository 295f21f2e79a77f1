package mirror

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// raw answers with text as it is, and closes the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	const chunked = "Transfer-Encoding: chunked\n\n"
	for _, tt := range []struct {
		name   string
		req    Request // URL is the path
		answer string
		want   Response // Body aside
		body   string
		err    string // of Get
		cut    bool   // the body ends with io.ErrUnexpectedEOF
	}{
		{name: "whole", answer: "HTTP/1.1 200 OK\nContent-Length: 5\nETag: \"x1\"\nLast-Modified: Tue, 01 Jul 2025 10:00:00 GMT\n\nhello",
			want: Response{Status: 200, Size: 5, ETag: `"x1"`, LastModified: time.Date(2025, 7, 1, 10, 0, 0, 0, time.UTC)}, body: "hello"},
		{name: "chunked", answer: "HTTP/1.1 200 OK\n" + chunked + "5\nhello\n0\n\n", want: Response{Status: 200, Size: -1}, body: "hello"},
		{name: "until close", answer: "HTTP/1.0 200 OK\n\nhello", want: Response{Status: 200, Size: -1}, body: "hello"},
		{name: "longer than declared", answer: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello world", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "truncated", answer: "HTTP/1.1 200 OK\nContent-Length: 9\n\nhello", want: Response{Status: 200, Size: 9}, body: "hello", cut: true},
		{name: "truncated chunks", answer: "HTTP/1.1 200 OK\n" + chunked + "9\nhello", want: Response{Status: 200, Size: -1}, body: "hello", cut: true},
		{name: "broken chunks", answer: "HTTP/1.1 200 OK\n" + chunked + "5\nhello\nzz\n", want: Response{Status: 200, Size: -1}, body: "hello", cut: true},
		{name: "bad validators", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nETag: x1\nLast-Modified: yesterday\n\n", want: Response{Status: 200}},
		{name: "long validator", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nETag: \"" + strings.Repeat("a", 300) + "\"\n\n", want: Response{Status: 200}},
		{name: "weak validator", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nETag: W/\"a\"\n\n", want: Response{Status: 200, ETag: `W/"a"`}},

		{name: "of the same second", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nDate: Tue, 01 Jul 2025 10:00:00 GMT\nLast-Modified: Tue, 01 Jul 2025 10:00:00 GMT\n\n",
			want: Response{Status: 200, LastModified: time.Date(2025, 7, 1, 10, 0, 0, 0, time.UTC), Unsettled: true}},
		{name: "of the second before", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nDate: Tue, 01 Jul 2025 10:00:01 GMT\nLast-Modified: Tue, 01 Jul 2025 10:00:00 GMT\n\n",
			want: Response{Status: 200, LastModified: time.Date(2025, 7, 1, 10, 0, 0, 0, time.UTC)}},
		{name: "of a time to come", answer: "HTTP/1.1 200 OK\nContent-Length: 0\nDate: Tue, 01 Jul 2025 10:00:00 GMT\nLast-Modified: Tue, 01 Jul 2025 11:00:00 GMT\n\n",
			want: Response{Status: 200, LastModified: time.Date(2025, 7, 1, 11, 0, 0, 0, time.UTC), Unsettled: true}},

		{name: "range", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 3\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "llo"},
		{name: "range with length", req: Request{Offset: 2, Length: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-3/5\nContent-Length: 2\n\nll",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "ll"},
		{name: "length alone", req: Request{Length: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 0-1/5\nContent-Length: 2\n\nhe",
			want: Response{Status: 206, Size: 5}, body: "he"},
		{name: "length past the end", req: Request{Offset: 2, Length: 20}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 3\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "llo"},
		{name: "range of unknown size", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/*\nContent-Length: 3\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: -1}, body: "llo"},
		{name: "range ignored", req: Request{Offset: 2}, answer: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "range in chunks", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\n" + chunked + "3\nllo\n0\n\n",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "llo"},
		{name: "range in too few chunks", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\n" + chunked + "2\nll\n0\n\n",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "ll", cut: true},
		{name: "range in too many chunks", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\n" + chunked + "9\nllo world\n0\n\n",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "llo"},
		{name: "range elsewhere", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 1-4/5\nContent-Length: 4\n\nello", err: "from 1 on instead of 2"},
		{name: "range too short", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-3/5\nContent-Length: 2\n\nll", err: "to 3 instead of 4"},
		{name: "longer range", req: Request{Offset: 2, Length: 1}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 3\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "l"},
		{name: "longer range, unknown size", req: Request{Offset: 2, Length: 1}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/*\nContent-Length: 3\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: -1}, body: "l"},
		{name: "longer range, cut", req: Request{Offset: 2, Length: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 3\n\nl",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "l", cut: true},
		{name: "range of other length", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 4\n\nllo!", err: "Content-Length 4"},
		{name: "range without place", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Length: 3\n\nllo", err: "without a Content-Range"},
		{name: "range not asked", answer: "HTTP/1.1 206 P\nContent-Range: bytes 0-4/5\nContent-Length: 5\n\nhello", want: Response{Status: 206, Size: 5}, body: "hello"},
		{name: "range not asked, a part", answer: "HTTP/1.1 206 P\nContent-Range: bytes 0-3/5\nContent-Length: 4\n\nhell", err: "without a range"},
		{name: "range not asked, unknown size", answer: "HTTP/1.1 206 P\nContent-Range: bytes 0-3/*\nContent-Length: 4\n\nhell", err: "without a range"},
		{name: "range not asked, without place", answer: "HTTP/1.1 206 P\nContent-Length: 5\n\nhello", want: Response{Status: 206, Size: 5}, body: "hello"},
		{name: "weak If-Range is no range", req: Request{Offset: 2, IfRange: `W/"a"`}, answer: "HTTP/1.1 206 P\nContent-Range: bytes 2-4/5\nContent-Length: 3\n\nllo", err: "without a range"},
		{name: "range not satisfiable", req: Request{Offset: 9}, answer: "HTTP/1.1 416 No\nContent-Range: bytes */5\nContent-Length: 0\n\n", err: "416"},

		{name: "not modified", req: Request{IfNoneMatch: `"x1"`}, answer: "HTTP/1.1 304 NM\nETag: \"x1\"\n\n", want: Response{Status: 304, Size: -1, ETag: `"x1"`}},
		{name: "not modified since", req: Request{IfModifiedSince: "Tue, 01 Jul 2025 10:00:00 GMT"}, answer: "HTTP/1.1 304 NM\n\n", want: Response{Status: 304, Size: -1}},
		{name: "not modified, not asked", answer: "HTTP/1.1 304 NM\n\n", err: "304 to a request without a condition"},

		{name: "coded", answer: "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "coded range", req: Request{Offset: 2}, answer: "HTTP/1.1 206 P\nContent-Encoding: br\nContent-Range: bytes 2-4/5\n\nllo",
			want: Response{Status: 206, Offset: 2, Size: 5}, body: "llo"},
		{name: "no coding", answer: "HTTP/1.1 200 OK\nContent-Encoding: UTF-8\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "trailers", answer: "HTTP/1.1 200 OK\nTrailer: X\n" + chunked + "5\nhello\n0\nX: y\n\n", want: Response{Status: 200, Size: -1}, body: "hello"},
		{name: "empty, until close", answer: "HTTP/1.0 200 OK\n\n", want: Response{Status: 200, Size: -1}},
		{name: "identity", answer: "HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "own coding", req: Request{URL: "/Packages.gz"}, answer: "HTTP/1.1 200 OK\nContent-Encoding: x-gzip\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},

		{name: "missing", answer: "HTTP/1.1 404 NF\nContent-Length: 2\n\nno", err: "404 Not Found"},
		{name: "changed on the way", answer: "HTTP/1.1 203 NA\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "page", answer: "HTTP/1.1 200 OK\nContent-Type: Text/HTML; charset=utf-8\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5, HTML: true}, body: "hello"},
		{name: "created", answer: "HTTP/1.1 201 C\nContent-Length: 5\n\nhello", want: Response{Status: 200, Size: 5}, body: "hello"},
		{name: "reset", answer: "HTTP/1.1 205 RC\nContent-Length: 0\n\n", err: "205"},
		{name: "no content", answer: "HTTP/1.1 204 NC\n\n", err: "204"},
		{name: "moved to no URL", answer: "HTTP/1.1 302 F\nLocation: http://[x\nContent-Length: 0\n\n", err: "answer for http://127.0.0.1"},
		{name: "moved nowhere", answer: "HTTP/1.1 302 F\nContent-Length: 0\n\n", err: "302"},
		{name: "no HTTP", answer: "220 ready\n", err: "does not answer"},
		{name: "endless header", answer: "HTTP/1.1 200 OK\n" + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\n", 80) + "\n", err: "does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, c := newLoopback(t, raw(tt.answer), Options{})
			tt.req.URL = srv.URL + tt.req.URL
			resp, err := c.Get(t.Context(), tt.req)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %+v, %v, want an error with %q", resp, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if string(b) != tt.body || errors.Is(err, io.ErrUnexpectedEOF) != tt.cut || err != nil && !tt.cut {
				t.Errorf("read %q, %v, want %q, cut %v", b, err, tt.body, tt.cut)
			}
			tt.want.Body, tt.want.URL, tt.want.Private = resp.Body, tt.req.URL, "127.0.0.1 is a loopback address"
			if *resp != tt.want {
				t.Errorf("got %+v, want %+v", *resp, tt.want)
			}
		})
	}
}

func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		req  Request
		want map[string]string // empty: absent
	}{
		{"plain", Request{}, map[string]string{
			"Range": "", "If-Range": "", "If-None-Match": "", "If-Modified-Since": "", "Referer": "",
			"User-Agent": "millpond/test", "Via": "1.1 millpond-1f3a", "Accept-Encoding": "identity"}},
		{"to the end", Request{Offset: 7}, map[string]string{"Range": "bytes=7-"}},
		{"part", Request{Offset: 7, Length: 3}, map[string]string{"Range": "bytes=7-9"}},
		{"start", Request{Length: 3}, map[string]string{"Range": "bytes=0-2"}},
		{"huge", Request{Offset: 7, Length: 1<<63 - 1}, map[string]string{"Range": "bytes=7-9223372036854775807"}},
		{"guarded", Request{Offset: 7, IfRange: `"a"`}, map[string]string{"Range": "bytes=7-", "If-Range": `"a"`}},
		{"weakly guarded", Request{Offset: 7, IfRange: `W/"a"`}, map[string]string{"Range": "", "If-Range": ""}},
		{"guard without range", Request{IfRange: `"a"`}, map[string]string{"If-Range": ""}},
		{"conditional", Request{IfNoneMatch: `"a"`, IfModifiedSince: "Tue, 01 Jul 2025 10:00:00 GMT"},
			map[string]string{"If-None-Match": `"a"`, "If-Modified-Since": "Tue, 01 Jul 2025 10:00:00 GMT"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan http.Header, 2)
			srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
				got <- r.Header
				if r.URL.Path == "/" {
					w.Header().Set("Location", "/moved")
					w.WriteHeader(http.StatusFound)
					return
				}
				w.WriteHeader(http.StatusNotFound)
			}, Options{UserAgent: "millpond/test", Via: "millpond-1f3a"})
			tt.req.URL = srv.URL + "/"
			_, _ = c.Get(t.Context(), tt.req)
			for _, place := range []string{"first request", "redirected request"} {
				h := <-got
				for name, want := range tt.want {
					if h.Get(name) != want {
						t.Errorf("%s: %s is %q, want %q", place, name, h.Get(name), want)
					}
				}
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	defer c.Close()
	for _, r := range []Request{
		{}, {URL: "/debian"}, {URL: "ftp://deb.example.org/"}, {URL: "http:///x"}, {URL: "http://%zz/"},
		{URL: "http://" + strings.Repeat("a", 300) + "/"}, {URL: "http://deb.example.org/", Offset: -1},
		{URL: "http://deb.example.org/", Length: -1}, {URL: "http://deb.example.org:0/"},
	} {
		if _, err := c.Get(t.Context(), r); err == nil {
			t.Errorf("%+v was sent", r)
		}
	}
}

// meter counts bytes by host, and by the path asked for.
type meter struct {
	mu    sync.Mutex
	bytes map[string]int64
}

func (m *meter) add(f File, of Answer, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes == nil {
		m.bytes = make(map[string]int64)
	}
	m.bytes[f.Host] += n
	m.bytes[f.Path] += n
	m.bytes[fmt.Sprint(of.Status)] += n
	m.bytes["at "+of.Host] += n
}

func TestMeter(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 1000))
	}))
	defer other.Close()
	var m meter
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			w.Header().Set("Location", other.URL)
			w.WriteHeader(http.StatusMovedPermanently)
			w.Write(make([]byte, 300))
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
			w.Write(make([]byte, 1<<20))
		}
	}, Options{Meter: m.add})
	resp, err := c.Get(t.Context(), Request{URL: srv.URL + "/away"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	if resp.URL != other.URL {
		t.Errorf("answered by %s, want %s", resp.URL, other.URL)
	}
	here, there := strings.TrimPrefix(srv.URL, "http://"), strings.TrimPrefix(other.URL, "http://")
	// Both for the file that was asked for.
	if m.bytes[here] != 300 || m.bytes[there] != 1000 || m.bytes["/away"] != 1300 || len(m.bytes) != 7 {
		t.Errorf("metered %v, want 300 of %s and 1000 of %s", m.bytes, here, there)
	}
	if m.bytes["301"] != 300 || m.bytes["200"] != 1000 || m.bytes["at "+here] != 300 || m.bytes["at "+there] != 1000 {
		t.Errorf("metered by answer %v", m.bytes)
	}
	var status *StatusError
	if _, err := c.Get(t.Context(), Request{URL: srv.URL + "/missing"}); !errors.As(err, &status) || status.Code != 404 || status.URL != srv.URL+"/missing" {
		t.Errorf("got %v, want a 404", err)
	}
	if got := m.bytes[here] - 300; got != maxDrain {
		t.Errorf("metered %d bytes of an error of 1 MiB, want %d read", got, maxDrain)
	}
}

func TestMeterName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		scheme, host string
		port         int
		want         string
	}{
		{"http", "deb.example.org", 80, "deb.example.org"},
		{"https", "deb.example.org", 443, "deb.example.org"},
		{"http", "deb.example.org", 443, "deb.example.org:443"},
		{"http", "fd00::1", 80, "[fd00::1]"},
		{"http", "fd00::1", 81, "[fd00::1]:81"},
	} {
		if got := meterName(tt.scheme, tt.host, tt.port); got != tt.want {
			t.Errorf("%+v gave %s", tt, got)
		}
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var hops int
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		hops++
		left := 0
		if n, _ := fmt.Sscanf(r.URL.Path, "/%d", &left); n == 1 && left > 0 {
			http.Redirect(w, r, fmt.Sprintf("/%d", left-1), http.StatusFound)
			return
		}
		switch r.URL.Path {
		case "/private":
			http.Redirect(w, r, "http://127.0.0.3/secret", http.StatusFound)
		case "/port":
			http.Redirect(w, r, "http://deb.example.org:22/", http.StatusFound)
		case "/ftp":
			http.Redirect(w, r, "ftp://deb.example.org/", http.StatusFound)
		}
	}, Options{})
	// A public address, at a port that keeps it from being dialled.
	c.resolver = (&nameServer{answers: [][]netip.Addr{addrs("1.1.1.1")}}).resolver()
	resp, err := c.Get(t.Context(), Request{URL: srv.URL + "/10"})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.URL != srv.URL+"/0" {
		t.Errorf("ended at %s", resp.URL)
	}
	if _, err := c.Get(t.Context(), Request{URL: srv.URL + "/11"}); err == nil || !strings.Contains(err.Error(), "more than 10 redirects") {
		t.Errorf("11 redirects: %v", err)
	}
	for path, host := range map[string]string{"/private": "127.0.0.3", "/port": "deb.example.org:22", "/ftp": "deb.example.org"} {
		hops = 0
		_, err := c.Get(t.Context(), Request{URL: srv.URL + path})
		var r *RefusedError
		if !errors.As(err, &r) || r.Host != host || hops != 1 {
			t.Errorf("%s: %v after %d requests, want a refusal of %s", path, err, hops, host)
		}
	}
}

// A loop is found as soon as apt finds it. A mirror that sends a client away and
// has the file when it comes back is none.
func TestRedirectLoops(t *testing.T) {
	t.Parallel()
	var hops, returned int
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		hops++
		switch r.URL.Path {
		case "/self":
			http.Redirect(w, r, "/self", http.StatusFound)
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, "/a", http.StatusFound)
		case "/fetch":
			if returned++; returned == 1 {
				http.Redirect(w, r, "/wait", http.StatusFound)
			}
		case "/wait":
			http.Redirect(w, r, "/fetch", http.StatusFound)
		}
	}, Options{})
	for path, want := range map[string]int{"/self": 1, "/a": 3, "/fetch": 3} {
		hops = 0
		resp, err := c.Get(t.Context(), Request{URL: srv.URL + path})
		var answer *AnswerError
		switch {
		case hops != want:
			t.Errorf("%s: %d requests, want %d", path, hops, want)
		case path == "/fetch" && err != nil:
			t.Errorf("%s: %v", path, err)
		case path != "/fetch" && (!errors.As(err, &answer) || !strings.Contains(err.Error(), "loop")):
			t.Errorf("%s: %v, want a loop of the mirror", path, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed to http") }))
	defer plain.Close()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "9")
			io.WriteString(w, "hello")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, r.Proto)
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := New(Options{Policy: mustPolicy(t, "127.0.0.1")})
	defer c.Close()
	c.pool.Load().any.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c.pool.Load().any.TLSClientConfig.NextProtos = nil

	for path, want := range map[string]string{"/": "HTTP/2.0", "/cut": "hello"} {
		resp, err := c.Get(t.Context(), Request{URL: srv.URL + path})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != want || errors.Is(err, io.ErrUnexpectedEOF) != (path == "/cut") {
			t.Errorf("%s: read %q, %v, want %q", path, b, err, want)
		}
	}
	var r *RefusedError
	if _, err := c.Get(t.Context(), Request{URL: srv.URL + "/down"}); !errors.As(err, &r) || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("downgrade: %v, want it refused", err)
	}
	stranger := New(Options{Policy: mustPolicy(t, "127.0.0.1")})
	defer stranger.Close()
	var away *UnreachableError
	if _, err := stranger.Get(t.Context(), Request{URL: srv.URL}); !errors.As(err, &away) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown certificate: %v, want it unreachable", err)
	}
	var asked atomic.Int64
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, srv.URL+"/a%2bb?c", http.StatusMovedPermanently)
	}))
	defer first.Close()
	var unverified *UnverifiedError
	if _, err := stranger.Get(t.Context(), Request{URL: first.URL}); !errors.As(err, &unverified) || unverified.URL != srv.URL+"/a%2bb?c" || !IsUnreachable(err) || asked.Load() != 1 {
		t.Errorf("redirect to an unknown certificate: %v after %d requests, want the URL after one", err, asked.Load())
	}
}

// TestNoProxy relies on TestMain, which sets one for the process.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.IsAbs() {
			t.Errorf("asked as a proxy for %s", r.URL)
		}
	}, Options{Policy: mustPolicy(t, "deb.example.org")})
	names := &nameServer{answers: [][]netip.Addr{addrs("127.0.0.1")}}
	c.resolver = names.resolver()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "http://"), ":")
	resp, err := c.Get(t.Context(), Request{URL: "http://deb.example.org:" + port + "/"})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestCacheControl holds what caches on the way are told, and that one that answers
// is noticed.
func TestCacheControl(t *testing.T) {
	t.Parallel()
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cached" {
			w.Header().Set("Age", "0")
		}
		io.WriteString(w, r.Header.Get("Cache-Control")+"|"+r.Header.Get("Pragma"))
	}, Options{})
	for _, tt := range []struct {
		request Request
		want    string
	}{
		{Request{}, "|"},
		{Request{Revalidate: true}, "max-age=0|"},
		{Request{Revalidate: true, Reload: true}, "no-cache|no-cache"},
		{Request{Login: "Basic x"}, "max-age=0|"},
		{Copy{}.Request(""), "max-age=0|"},
	} {
		for path, cached := range map[string]bool{"/x": false, "/cached": true} {
			tt.request.URL = srv.URL + path
			resp, err := c.Get(t.Context(), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != tt.want || err != nil || resp.Cached != cached {
				t.Errorf("%+v: sent %q, cached %v, %v; want %q", tt.request, b, resp.Cached, err, tt.want)
			}
		}
	}
}
