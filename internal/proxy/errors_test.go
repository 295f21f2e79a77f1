package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/peer"
)

// finals are those of TestStatusLines that have no body, which makes them final
// for apt.
const finals = "busy\ntoo many\nbroken mirror\nnot implemented\nmoved nowhere\nno range\nno file\nlogin for a proxy\nupstream proxy refuses\nmoved\nwrong bytes\nno Release\n"

// The status line is all that apt shows of an error, so each is held to its
// bytes.
func TestStatusLines(t *testing.T) {
	t.Parallel()
	dead := &mirror.UnreachableError{Host: "deb.example.org:80", Err: errors.New("connection refused")}
	says := func(code int, after time.Duration) error {
		return &mirror.StatusError{URL: debURL, Code: code, RetryAfter: after}
	}
	for _, tt := range []struct {
		name, request string
		err           error // of Get
		want          string
	}{
		{"missing", "GET " + debURL, says(404, 0), "404 Not Found"},
		{"mirror's 403", "GET " + debURL, says(403, 0), "403 Forbidden"},
		{"login", "GET " + debURL, says(401, 0), "401 Unauthorized"},
		{"gone", "GET " + debURL, says(410, 0), "410 Gone"},
		{"busy", "GET " + debURL, says(503, 1500*time.Millisecond), "503 millpond: the mirror answered 503 for " + debURL},
		{"too many", "GET " + debURL, says(429, 0), "429 millpond: the mirror answered 429 for " + debURL},
		{"broken mirror", "GET " + debURL, says(500, 0), "500 millpond: the mirror answered 500 for " + debURL},
		{"not implemented", "GET " + debURL, says(501, 0), "501 millpond: the mirror answered 501 for " + debURL},
		{"with a body", "GET " + debURL, &mirror.StatusError{URL: debURL, Code: 504, Body: true}, "504 millpond: the mirror answered 504 for " + debURL},
		{"moved nowhere", "GET " + debURL, says(302, 0), "502 millpond: the mirror answered 302 for " + debURL},
		{"no range", "GET " + debURL, says(416, 0), "502 millpond: the mirror answered 416 for " + debURL},
		{"no file", "GET " + debURL, &mirror.AnswerError{URL: debURL, Err: errors.New("more than 10 redirects")},
			"502 millpond: mirror's answer for " + debURL + ": more than 10 redirects"},
		{"cut", "GET " + debURL, fmt.Errorf("x: %w", &mirror.AnswerError{URL: debURL, Err: io.ErrUnexpectedEOF}),
			"502 millpond: mirror's answer for " + debURL + ": unexpected EOF"},
		{"login for a proxy", "GET " + debURL, says(407, 0), "502 millpond: the mirror answered 407 for " + debURL},
		{"unreachable", "GET " + debURL, fmt.Errorf("x: %w", dead), "502 millpond: mirror deb.example.org:80 cannot be reached: connection refused"},
		{"upstream proxy away", "GET " + debURL, fmt.Errorf("x: %w", &mirror.UpstreamError{Proxy: "proxy.example.net:3128", Err: errors.New("connection refused")}),
			"502 millpond: the upstream proxy proxy.example.net:3128 (MILLPOND_UPSTREAM_PROXY) does not answer: connection refused"},
		{"upstream proxy refuses", "GET " + debURL, &mirror.UpstreamError{Proxy: "proxy.example.net:3128", Code: 407, Err: errors.New("it does not accept the login (407)")},
			"502 millpond: the upstream proxy proxy.example.net:3128 (MILLPOND_UPSTREAM_PROXY) refuses: it does not accept the login (407)"},
		{"stalled", "GET " + debURL, fmt.Errorf("x: %w", mirror.ErrStalled), "504 millpond: the mirror stalled"},
		{"peer stalled", "GET " + debURL, fmt.Errorf("peer x: %w", peer.ErrStalled), "504 millpond: another box stalled, and no mirror gave the file"},
		{"peer failed", "GET " + debURL, fmt.Errorf("x: %w", &fetch.PeerError{Err: errors.New("stream reset")}),
			"502 millpond: another box failed, and no mirror gave the file: stream reset"},
		{"deadline", "GET " + debURL, context.DeadlineExceeded, "504 millpond: the mirror stalled"},
		{"offline", "GET " + debURL, mirror.ErrOffline, "503 millpond: the box is offline (MILLPOND_OFFLINE) and does not hold this file"},
		{"moved", "GET " + debURL, fmt.Errorf("%w: %w", fetch.ErrMoved, says(404, 0)),
			"410 millpond: the mirror has moved on to another generation, run apt-get update again"},
		{"wrong bytes", "GET " + debURL, fetch.ErrWrongBytes, "502 millpond: every source sent bytes that do not match the digest in the signed index"},
		{"no Release", "GET " + headURL, fmt.Errorf("%w: <html>\r\nEvil: é", fetch.ErrNotRelease),
			"502 millpond: the mirror's answer is not a usable Release file: <html>??Evil: ??"},
		{"closing", "GET " + debURL, fetch.ErrClosed, "503 millpond: the box is shutting down"},
		{"cancelled, not by the client", "GET " + debURL, context.Canceled, "500 millpond: context canceled"},
		{"unknown", "GET " + debURL, errors.New("no such table"), "500 millpond: no such table"},
		{"redirect refused", "GET " + debURL, &mirror.RefusedError{Host: "x.example.org", Reason: "redirect to ftp"},
			"403 Refused by millpond: host x.example.org: redirect to ftp"},
		{"private upstream", "GET http://10.0.0.5/debian/dists/stable/InRelease", nil,
			"403 Refused by millpond: 10.0.0.5 is a private address, MILLPOND_ALLOW_UPSTREAMS=10.0.0.5 would allow it"},
		{"private upstream, port", "GET /10.0.0.5:8080/debian/dists/stable/InRelease", nil,
			"403 Refused by millpond: 10.0.0.5 is a private address, MILLPOND_ALLOW_UPSTREAMS=10.0.0.5 would allow it"},
		{"no archive path", "GET http://www.example.org/login", nil,
			"403 Refused by millpond: not an archive path, MILLPOND_ALLOW_UPSTREAMS=www.example.org/* would allow it"},
		{"no archive path, port", "GET /[2001:db8::1]:8080/login", nil,
			"403 Refused by millpond: not an archive path, MILLPOND_ALLOW_UPSTREAMS=[2001:db8::1]:8080/* would allow it"},
		{"no host in the path", "GET /archive/dists/stable/InRelease", nil,
			`403 Refused by millpond: a host in the path needs a dot or a port, "archive" has neither`},
		{"other archive", "GET http://excluded.example.org/debian/dists/stable/InRelease", nil,
			"403 Refused by millpond: excluded.example.org/debian/dists/stable/InRelease is not in MILLPOND_ONLY_ARCHIVES"},
		{"method", "PUT " + debURL, nil, `405 Refused by millpond: method "PUT" for a file of an archive`},
		{"query", "GET " + debURL + "?a=b", nil,
			"403 Refused by millpond: not an archive path, MILLPOND_ALLOW_UPSTREAMS=deb.example.org/* would allow it"},
		{"loop by the path", "GET /nas:80/nas:80" + debPath + " HTTP/1.1\r\nVia: 1.1 millpond-test\r\nX:", nil,
			"508 Refused by millpond: the request has passed through this box before"},
		{"body", "GET " + debURL + " HTTP/1.1\r\nContent-Length: 5\r\nX:", nil, "400 Refused by millpond: a GET with a body"},
		{"loop", "GET " + debURL + " HTTP/1.1\r\nVia: 1.0 a, 1.1 millpond-test (x)\r\nX:", nil,
			"508 Refused by millpond: the request has passed through this box before"},
		{"someone else's Via", "GET " + debURL + " HTTP/1.1\r\nVia: 1.1 millpond-other, millpond-test/1.1 x\r\nX:", says(404, 0), "404 Not Found"},
		{"tunnel without port", "CONNECT deb.example.org", nil, "400 Refused by millpond: CONNECT without host:port"},
		{"tunnel for http", "CONNECT deb.example.org:80", nil, "403 Refused by millpond: a tunnel to port 80 would go past the cache"},
		{"tunnel to a private upstream", "CONNECT 10.0.0.5:443", nil,
			"403 Refused by millpond: 10.0.0.5 is a private address, MILLPOND_ALLOW_UPSTREAMS=10.0.0.5 would allow it"},
		{"tunnel in a loop", "CONNECT deb.example.org:443 HTTP/1.1\r\nVia: 1.1 millpond-test\r\nX:", nil,
			"508 Refused by millpond: the request has passed through this box before"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(nil).serve(t)
			b.files[debURL], b.files[headURL] = fails(tt.err), fails(tt.err)
			if tt.err == nil {
				b.files[debURL] = gives([]byte("not to be seen"), ledger.FromStore)
			}
			got := b.raw(t, tt.request+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			line, rest, _ := strings.Cut(got, "\r\n")
			line, id := cutID(line)
			if line != "HTTP/1.1 "+tt.want {
				t.Errorf("got  %q\nwant %q", line, "HTTP/1.1 "+tt.want)
			}
			head, body, _ := strings.Cut(rest, "\r\n\r\n")
			for _, want := range []string{"Content-Type: text/plain", fmt.Sprintf("Content-Length: %d\r\n", len(body)), "Via: 1.1 millpond-test", "Date: "} {
				if !strings.Contains(head+"\r\n", want) {
					t.Errorf("no %q in %q", want, head)
				}
			}
			_, named, _ := strings.Cut(head, "X-Request-Id: ")
			named, _, _ = strings.Cut(named, "\r\n")
			relayed := strings.Contains(body, ": the mirror says ") // net/http writes that status line
			if len(named) != 8 || id != named && !relayed || !relayed && body != "" && !strings.Contains(body, named) || !strings.Contains(b.logged.String(), "request="+named+" ") {
				t.Errorf("request %q in the status line, %q in the header; body %q, log %s", id, named, body, b.logged)
			}
			if final := strings.Contains(finals, tt.name+"\n"); final && body != "" || !final && len(body) < 20 {
				t.Errorf("body %q", body)
			}
			if want := map[string]string{"busy": "Retry-After: 2", "method": "Allow: GET, HEAD"}[tt.name]; !strings.Contains(head, want) {
				t.Errorf("no %q in %q", want, head)
			}
			logged := b.logged.String()
			if n := strings.Count(logged, "level="); n != 1 || strings.Contains(logged, "level=ERROR") != (strings.HasPrefix(tt.want, "500") && tt.name != "broken mirror") {
				t.Errorf("logged %s", logged)
			}
		})
	}
}

// cutID cuts the request ID off a status line.
func cutID(line string) (rest, id string) {
	m := regexp.MustCompile(`^(.*) \(([A-Z2-7]{8})\)$`).FindStringSubmatch(line)
	if m == nil {
		return line, ""
	}
	return m[1], m[2]
}

// A client that names its request itself is not believed.
func TestRequestIDIsTheBoxsOwn(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	const request = "GET http://10.0.0.5/debian/dists/x/Release HTTP/1.1\r\nHost: x\r\nX-Request-Id: of-the-client\r\nConnection: close\r\n\r\n"
	first, again := b.raw(t, request), b.raw(t, request)
	line, _, _ := strings.Cut(first, "\r\n")
	_, id := cutID(line)
	if id == "" || strings.Contains(again, id) || strings.Contains(first+again+b.logged.String(), "of-the-client") {
		t.Errorf("got %q, then %q; logged %s", first, again, b.logged)
	}
}

// A redirect that the box cannot follow, for want of a certificate authority, is
// the client's to follow, in all forms.
func TestUnverifiedRedirect(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	const to = "https://cdn.example.org/a%2bb.deb?c"
	b.files[debURL] = fails(fmt.Errorf("x: %w", &mirror.UnverifiedError{URL: to, Err: errors.New("unknown authority")}))
	for _, method := range []string{"GET", "HEAD"} {
		for _, target := range []string{debURL, "/deb.example.org" + debPath} {
			resp, _ := b.do(t, method, target)
			if resp.StatusCode != 302 || resp.Header.Get("Location") != to || resp.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s %s: %s, %v", method, target, resp.Status, resp.Header)
			}
		}
	}
}

// What a refused HEAD gets is a header alone.
func TestRefusedHead(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	got := b.raw(t, "HEAD http://10.0.0.5/debian/dists/x/Release HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 Refused by millpond: ") || !strings.HasSuffix(got, "\r\n\r\n") || strings.Count(got, "\r\n\r\n") != 1 {
		t.Errorf("got %q", got)
	}
}

func TestPasswordIsNotLogged(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	got := b.raw(t, "GET http://me:hunter2@deb.example.org/debian/dists/x/Release HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 404 ") || strings.Contains(got, "hunter2") || strings.Contains(b.logged.String(), "hunter2") {
		t.Errorf("got %q, logged %s", got, b.logged)
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"plain text ~":           "plain text ~",
		"a\r\nX: b\x00\x7f\té":   "a??X: b????" + "?",
		strings.Repeat("é", 200): strings.Repeat("?", 297) + "...",
		strings.Repeat("x", 300): strings.Repeat("x", 300),
		strings.Repeat("x", 301): strings.Repeat("x", 297) + "...",
	} {
		if got := reason(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func FuzzReason(f *testing.F) {
	f.Add("a\r\nb")
	f.Fuzz(func(t *testing.T, s string) {
		got := reason(s)
		if len(got) > maxReason || strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestAccess(t *testing.T) {
	t.Parallel()
	const strange = "/deb.example.org/unknown/whatever"
	only := netip.MustParsePrefix("203.0.113.0/24")
	for _, tt := range []struct {
		client string
		allow  []netip.Prefix
		target string
		want   int
	}{
		{"10.1.2.3:1", nil, debURL, 404},
		{"172.31.0.1:1", nil, debURL, 404},
		{"172.32.0.1:1", nil, debURL, 403},
		{"192.168.1.1:1", nil, debURL, 404},
		{"100.64.0.1:1", nil, debURL, 404},
		{"127.0.0.1:1", nil, debURL, 404},
		{"[::ffff:10.1.2.3]:1", nil, debURL, 404},
		{"[fe80::1%eth0]:1", nil, debURL, 404},
		{"[fd00::1]:1", nil, debURL, 404},
		{"[::1]:1", nil, debURL, 404},
		{"[2001:db8::1]:1", nil, debURL, 403},
		{"203.0.113.9:1", nil, debURL, 403},
		{"203.0.113.9:1", []netip.Prefix{only}, debURL, 404},
		{"10.1.2.3:1", []netip.Prefix{only}, debURL, 403},
		{"203.0.113.9:1", nil, "/", 403},
		{"203.0.113.9:1", nil, "/healthz", 200},
		{"203.0.113.9:1", nil, "/readyz", 200},
		{"nonsense", nil, debURL, 403},
		{"10.1.2.3:1", nil, "/deb.example.org/known/whatever", 404},
		{"10.1.2.3:1", nil, strange, 403},
	} {
		b := newBox(func(o *Options) { o.AllowClients = tt.allow })
		r := httptest.NewRequest("GET", tt.target, nil)
		r.RemoteAddr = tt.client
		w := httptest.NewRecorder() // cannot be hijacked: the body has to tell
		b.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s asks for %s: %d, want %d", tt.client, tt.target, w.Code, tt.want)
		}
		if tells := strings.Contains(w.Body.String(), allowClients); tells != (tt.want == 403 && tt.target != strange) {
			t.Errorf("%s asks for %s: %s", tt.client, tt.target, w.Body)
		}
	}
}

// What is not for an archive reaches the dashboard in origin form, and what is
// reaches it never.
func TestLocal(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	_, port, _ := net.SplitHostPort(b.addr)
	for target, want := range map[string]string{
		"/":                                     "local / /",
		"/api/v1/summary?x=1":                   "local /api/v1/summary?x=1 /api/v1/summary",
		"http://" + b.addr + "/metrics":         "local /metrics /metrics",
		"http://localhost:" + port:              "local / /",
		"http://LOCALHOST:" + port + "/a%20b":   "local /a%20b /a b",
		"http://box.example.org:" + port + "/x": "",
	} {
		resp, body := b.do(t, http.MethodGet, target)
		if want == "" && resp.StatusCode != 403 || want != "" && body != want {
			t.Errorf("%s: %s, %q, want %q", target, resp.Status, body, want)
		}
	}
}
