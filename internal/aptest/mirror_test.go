package aptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const deb = "/debian/pool/main/h/hello/hello_1_all.deb"

// hello starts a mirror with one package and returns a client for it.
func hello(t *testing.T, o MirrorOptions) (*Mirror, []byte, *http.Client) {
	t.Helper()
	a := NewArchive(NewKey("archive"))
	f := a.Add(Package{Name: "hello", Version: "1", Size: 100_000, Compression: "none"})
	m := NewMirror(t, o)
	m.Publish("/debian", a.Publish(day))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return m, f.Data, client
}

type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

func get(t *testing.T, c *http.Client, url string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, body, err}
}

func TestHonestMirror(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	whole := get(t, c, m.URL(deb))
	etag, modified := whole.Header.Get("ETag"), whole.Header.Get("Last-Modified")
	tests := []struct {
		name    string
		path    string
		headers []string
		status  int
		body    []byte
	}{
		{"whole", deb, nil, 200, data},
		{"absent", "/debian/none", nil, 404, nil},
		{"range", deb, []string{"Range", "bytes=100-199"}, 206, data[100:200]},
		{"resume", deb, []string{"Range", "bytes=90000-", "If-Range", etag}, 206, data[90000:]},
		{"resume of another file", deb, []string{"Range", "bytes=90000-", "If-Range", `"x"`}, 200, data},
		{"range too far", deb, []string{"Range", "bytes=900000-"}, 416, nil},
		{"same ETag", deb, []string{"If-None-Match", etag}, 304, []byte{}},
		{"other ETag", deb, []string{"If-None-Match", `"x"`}, 200, data},
		{"same date", deb, []string{"If-Modified-Since", modified}, 304, []byte{}},
		{"unclean path", "/debian/./pool//main/h/hello/hello_1_all.deb", nil, 200, data},
	}
	for _, tt := range tests {
		got := get(t, c, "http://"+m.Addr()+tt.path, tt.headers...)
		if got.err != nil || got.StatusCode != tt.status || tt.body != nil && !bytes.Equal(got.body, tt.body) {
			t.Errorf("%s: %d, %d bytes, %v; want %d, %d bytes", tt.name, got.StatusCode, len(got.body), got.err, tt.status, len(tt.body))
		}
	}
	if got := m.Requests(deb); got != len(tests) {
		t.Errorf("%d requests counted, want %d", got, len(tests))
	}
	want := int64(5*len(data) + 100 + len(data) - 90000)
	if got := m.BytesSent(deb) - m.Log()[6].Sent; got != want {
		t.Errorf("%d body bytes counted, want %d", got, want)
	}
	if r := m.Log()[4]; r.Range != "bytes=90000-" || r.IfRange != etag || r.Status != 206 || r.Sent != int64(len(data)-90000) {
		t.Errorf("resume logged as %+v", r)
	}
	post, err := c.Post(m.URL(deb), "text/plain", strings.NewReader(""))
	if err != nil || post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v; want 405", post, err)
	}
	_ = post.Body.Close()
	head, err := c.Head(m.URL(deb))
	if err != nil || head.StatusCode != 200 || head.ContentLength != int64(len(data)) {
		t.Errorf("HEAD: %v, %v; want 200 with the length", head, err)
	}
	_ = head.Body.Close()
}

func TestFaults(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	other, _, _ := hello(t, MirrorOptions{Listen: "127.0.0.2:0"})
	release := get(t, c, m.URL("/debian/dists/stable/Release")).body
	ranged := []string{"Range", "bytes=10-19"}
	flipped := bytes.Clone(data)
	flipped[7], flipped[8] = ^flipped[7], ^flipped[8]
	header := func(name, want string) func(answer) bool {
		return func(a answer) bool { return a.err == nil && a.Header.Get(name) == want }
	}
	body := func(want []byte) func(answer) bool {
		return func(a answer) bool { return a.err == nil && a.StatusCode == 200 && bytes.Equal(a.body, want) }
	}
	tests := []struct {
		name    string
		fault   Fault
		headers []string
		ok      func(answer) bool
	}{
		{"truncate", Truncate(50_000), nil, func(a answer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && a.ContentLength == int64(len(data)) && bytes.Equal(a.body, data[:50_000])
		}},
		{"truncate at once", Truncate(0), nil, func(a answer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && a.StatusCode == 200 && len(a.body) == 0
		}},
		{"corrupt", Corrupt(7, 2), nil, body(flipped)},
		{"longer", Longer(3), nil, body(append(bytes.Clone(data), 0, 0, 0))},
		{"shorter", Shorter(3), nil, body(data[:len(data)-3])},
		{"other body", OtherBody([]byte("log in")), nil, body([]byte("log in"))},
		{"other file", OtherFile("/debian/dists/stable/Release"), nil, body(release)},
		{"status", Status(429, "Retry-After", "7"), nil, func(a answer) bool { return a.StatusCode == 429 && a.Header.Get("Retry-After") == "7" }},
		{"redirect", Redirect("http://mirror.example.net/x"), nil, header("Location", "http://mirror.example.net/x")},
		{"redirect to another mirror", Redirect(other.URL("") + "*"), nil, header("Location", other.URL(deb))},
		{"ignore range", IgnoreRange(), ranged, func(a answer) bool {
			return a.StatusCode == 200 && bytes.Equal(a.body, data) && a.Header.Get("Accept-Ranges") == ""
		}},
		{"no length", NoContentLength(), nil, func(a answer) bool { return a.ContentLength == -1 && bytes.Equal(a.body, data) }},
		{"no ETag", NoETag(), nil, header("ETag", "")},
		{"no validators", NoValidators(), nil, header("Last-Modified", "")},
		{"close", CloseAfterEach(), nil, func(a answer) bool { return a.Close }},
		{"drop", Drop(), nil, func(a answer) bool { return a.Response == nil }},
		{"slow", Slow(1 << 30), nil, body(data)},
	}
	for _, tt := range tests {
		in := m.Inject("*.deb", tt.fault)
		if got := get(t, c, m.URL(deb), tt.headers...); !tt.ok(got) {
			t.Errorf("%s: %+v, %d bytes, %v", tt.name, got.Response, len(got.body), got.err)
		}
		in.Release()
		if got := get(t, c, m.URL(deb)); got.err != nil || !bytes.Equal(got.body, data) {
			t.Errorf("after %s: %d bytes, %v; want an honest answer", tt.name, len(got.body), got.err)
		}
	}
}

func TestInjectTimesAndResume(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	in := m.InjectTimes(1, deb, Truncate(1000))
	cut := get(t, c, m.URL(deb))
	rest := get(t, c, m.URL(deb), "Range", "bytes=1000-", "If-Range", cut.Header.Get("ETag"))
	if got := append(cut.body, rest.body...); !bytes.Equal(got, data) {
		t.Errorf("cut and resumed %d bytes, want the file", len(got))
	}
	if in.Hits() != 1 || m.Log()[0].Faults != 1 || m.Log()[0].Sent != 1000 {
		t.Errorf("%d hits, first request %+v", in.Hits(), m.Log()[0])
	}
}

// TestRefusePlus asks for a name with a + in both ways of writing it.
func TestRefusePlus(t *testing.T) {
	t.Parallel()
	m, _, c := hello(t, MirrorOptions{})
	m.Put("/g++", []byte("x"), day)
	m.Inject("*", RefusePlus())
	for target, want := range map[string]int{"/g++": http.StatusForbidden, "/g%2b%2B": http.StatusOK} {
		if got := get(t, c, m.URL(target[:1])+target[1:]); got.err != nil || got.StatusCode != want {
			t.Errorf("%s: %+v, %v; want %d", target, got.Response, got.err, want)
		}
	}
	for _, r := range m.Log() {
		if r.Path != "/g++" || (r.Target == "/g++") != (r.Status == http.StatusForbidden) {
			t.Errorf("logged %+v", r)
		}
	}
}

func TestHoldAndStall(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	for name, fault := range map[string]Fault{"hold": Hold(), "stall": Stall(5000)} {
		in := m.Inject(deb, fault)
		answers := make(chan answer)
		for range 2 {
			go func() { answers <- get(t, c, m.URL(deb)) }()
		}
		if err := in.Await(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		select {
		case <-answers:
			t.Errorf("%s: answered before the release", name)
		default:
		}
		in.Release()
		for range 2 {
			if got := <-answers; got.err != nil || !bytes.Equal(got.body, data) {
				t.Errorf("%s: released with %d bytes, %v", name, len(got.body), got.err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Inject("*", Hold()).Await(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Await with a cancelled context: %v", err)
	}
}

func TestStallSendsWhatComesBefore(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	m.Inject(deb, Stall(5000))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL(deb), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	part := make([]byte, 5000)
	if _, err := io.ReadFull(resp.Body, part); err != nil || !bytes.Equal(part, data[:5000]) {
		t.Errorf("before the stall: %v", err)
	}
	cancel() // and Close must not wait for the handler
}

func TestSlow(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	m.Inject(deb, Slow(400_000))
	start := time.Now()
	get(t, c, m.URL(deb))
	if took, least := time.Since(start), time.Duration(len(data))*time.Second/400_000; took < least {
		t.Errorf("%d bytes at 400 kB/s in %v, want at least %v", len(data), took, least)
	}
}

func TestDownAndUp(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{})
	url := m.URL(deb)
	m.Down()
	if got := get(t, c, url); got.err == nil {
		t.Errorf("a mirror that is down answers %d", got.StatusCode)
	}
	if err := m.Up(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, c, url); got.err != nil || !bytes.Equal(got.body, data) {
		t.Errorf("up again: %d bytes, %v", len(got.body), got.err)
	}
}

func TestTLSMirror(t *testing.T) {
	t.Parallel()
	m, data, c := hello(t, MirrorOptions{TLS: true})
	if got := get(t, c, m.URL(deb)); got.err == nil {
		t.Error("an unknown certificate was accepted")
	}
	trusting := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.CertPool()}}
	defer trusting.CloseIdleConnections()
	if got := get(t, &http.Client{Transport: trusting}, m.URL(deb)); got.err != nil || !bytes.Equal(got.body, data) {
		t.Errorf("over TLS: %d bytes, %v", len(got.body), got.err)
	}
}

func TestPublishOverFormerGeneration(t *testing.T) {
	t.Parallel()
	for _, forget := range []bool{false, true} {
		a := NewArchive(NewKey("archive"))
		old := a.Add(Package{Name: "hello", Version: "1"})
		first := a.Publish(day)
		a.Remove("hello")
		a.Add(Package{Name: "hello", Version: "2"})
		second := a.Publish(day.Add(time.Hour))
		m := NewMirror(t, MirrorOptions{Forget: forget})
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		m.Publish("/debian", first)
		m.Publish("/other", first)
		former := m.URL("/debian/dists/stable/main/binary-all/by-hash/SHA256/" + sha256Hex(first.File("dists/stable/main/binary-all/Packages.xz")))
		inRelease := m.URL("/debian/dists/stable/InRelease")

		// The hook publishes between two requests.
		m.OnRequest(func(r Request) {
			if m.Requests("*/InRelease") == 1 {
				m.Publish("/debian", second)
			}
		})
		if got := get(t, c, inRelease).body; !bytes.Equal(got, first.File("dists/stable/InRelease")) {
			t.Error("the first request had the second generation")
		}
		if got := get(t, c, inRelease).body; !bytes.Equal(got, second.File("dists/stable/InRelease")) {
			t.Error("the second request had the first generation")
		}
		want := 200
		if forget {
			want = 404
		}
		for _, url := range []string{former, m.URL("/debian/" + old.Path)} {
			if got := get(t, c, url).StatusCode; got != want {
				t.Errorf("forget %v: %s of the former generation: %d, want %d", forget, url, got, want)
			}
		}
		if got := get(t, c, m.URL("/other/"+old.Path)).StatusCode; got != 200 {
			t.Errorf("the other base: %d, want 200", got)
		}
		m.Put("/robots.txt", []byte("x"), day)
		if got := get(t, c, m.URL("/robots.txt")); string(got.body) != "x" {
			t.Errorf("Put: %q", got.body)
		}
		m.Delete("/robots.txt")
		if got := get(t, c, m.URL("/robots.txt")); got.StatusCode != 404 {
			t.Errorf("Delete: %d, want 404", got.StatusCode)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"*", "/a/b", true}, {"/a", "/a", true}, {"/a", "/ab", false}, {"", "/a", false},
		{"*.deb", "/pool/x.deb", true}, {"*.deb", "/pool/x.udeb", false}, {"/pool/*", "/dists/x", false},
		{"*/by-hash/*", "/d/by-hash/SHA256/1", true}, {"/a*b*c", "/aXbYc", true}, {"/a*b*c", "/acb", false},
		{"/a*a", "/a", false}, {"*b*", "/abc", true},
	}
	for _, tt := range tests {
		if got := match(tt.pattern, tt.path); got != tt.want {
			t.Errorf("match(%q, %q) = %v, want %v", tt.pattern, tt.path, got, tt.want)
		}
	}
}
