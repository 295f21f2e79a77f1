package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
)

// Both kinds of body must answer conditions and ranges alike.
func TestConditions(t *testing.T) {
	t.Parallel()
	data := pattern(5000)
	etag := `"` + digest.Of(data).String() + `"`
	date := modified.Format(http.TimeFormat)
	earlier, later := modified.Add(-time.Hour).Format(http.TimeFormat), modified.Add(time.Hour).Format(http.TimeFormat)
	for _, source := range []struct {
		name string
		get  func(context.Context) (*fetch.File, error)
	}{
		{"held", holds(t, data)},
		{"downloading", gives(data, ledger.FromMirror)},
	} {
		b := newBox(nil).serve(t)
		b.files[debURL] = source.get
		for _, tt := range []struct {
			name   string
			header string
			status int
			body   []byte
		}{
			{"plain", "X: y", 200, data},
			{"same date", "If-Modified-Since: " + date, 304, nil},
			{"client is newer", "If-Modified-Since: " + later, 200, data},
			{"client is older", "If-Modified-Since: " + earlier, 200, data},
			{"no date", "If-Modified-Since: yesterday", 200, data},
			{"same tag", "If-None-Match: " + etag, 304, nil},
			{"a tag of several", `If-None-Match: "x", ` + etag, 304, nil},
			{"other tag, same date", "If-None-Match: \"x\"\r\nIf-Modified-Since: " + date, 200, data},
			{"range", "Range: bytes=100-199", 206, data[100:200]},
			{"range to the end", "Range: bytes=4000-", 206, data[4000:]},
			{"last bytes", "Range: bytes=-10", 206, data[4990:]},
			{"range past the end", "Range: bytes=5000-", 416, nil},
			{"range, same tag", "Range: bytes=1-1\r\nIf-Range: " + etag, 206, data[1:2]},
			{"range, other tag", "Range: bytes=1-1\r\nIf-Range: \"x\"", 200, data},
			{"range, same date", "Range: bytes=1-1\r\nIf-Range: " + date, 206, data[1:2]},
			{"range, client is newer", "Range: bytes=1-1\r\nIf-Range: " + later, 200, data},
			{"range, client is older", "Range: bytes=1-1\r\nIf-Range: " + earlier, 200, data},
		} {
			t.Run(source.name+"/"+tt.name, func(t *testing.T) {
				before := b.ledger.total()
				resp, body := b.do(t, "GET", debURL, tt.header)
				if resp.StatusCode != tt.status {
					t.Fatalf("status %d, want %d", resp.StatusCode, tt.status)
				}
				if tt.status != 416 && body != string(tt.body) {
					t.Errorf("got %d bytes, want %d", len(body), len(tt.body))
				}
				if got := resp.Header.Get("Content-Range"); tt.status == 416 && got != "bytes */5000" {
					t.Errorf("Content-Range %q", got)
				}
				// net/http leaves the date out of a 304 that has a tag.
				if tt.status < 300 && resp.Header.Get("Last-Modified") != date || tt.status != 416 && resp.Header.Get("ETag") != etag {
					t.Errorf("ETag %s, Last-Modified %s", resp.Header.Get("ETag"), resp.Header.Get("Last-Modified"))
				}
				if got := b.ledger.total() - before; got != int64(len(tt.body)) {
					t.Errorf("%d bytes credited, want %d", got, len(tt.body))
				}
				head, none := b.do(t, "HEAD", debURL, tt.header)
				if head.StatusCode != tt.status || none != "" || head.Header.Get("Content-Length") != resp.Header.Get("Content-Length") {
					t.Errorf("HEAD: status %d, %d bytes, Content-Length %s", head.StatusCode, len(none), head.Header.Get("Content-Length"))
				}
				if got := b.ledger.total() - before; got != int64(len(tt.body)) {
					t.Errorf("%d bytes credited after HEAD, want %d", got, len(tt.body))
				}
			})
		}
	}
}

func TestSeveralRanges(t *testing.T) {
	t.Parallel()
	data := pattern(5000)
	b := newBox(nil).serve(t)
	b.files[debURL] = holds(t, data)
	resp, body := b.do(t, "GET", debURL, "Range: bytes=0-9,100-109")
	if resp.StatusCode != 206 {
		t.Fatalf("held: status %d, want 206", resp.StatusCode)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for _, want := range [][]byte{data[:10], data[100:110]} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, want) {
			t.Errorf("a part is %x, %v, want %x", got, err, want)
		}
	}
	b.files[headURL] = gives(data, ledger.FromMirror)
	if resp, body := b.do(t, "GET", headURL, "Range: bytes=0-9,100-109"); resp.StatusCode != 200 || body != string(data) {
		t.Errorf("downloading: status %d with %d bytes, want all with 200", resp.StatusCode, len(body))
	}
}

// unsized makes an answer of Get of data whose size shows at its end only.
func unsized(data []byte, err error) func(context.Context) (*fetch.File, error) {
	return func(context.Context) (*fetch.File, error) {
		body := &fakeBody{Reader: bytes.NewReader(data), from: func(int64) ledger.Origin { return ledger.FromMirror }, end: int64(len(data)), err: err}
		return &fetch.File{Size: -1, Modified: modified, Body: body}, nil
	}
}

func TestUnknownSize(t *testing.T) {
	t.Parallel()
	data := pattern(100_000)
	b := newBox(nil).serve(t)
	b.files[headURL] = unsized(data, nil)
	resp, body := b.do(t, "GET", headURL, "Range: bytes=10-")
	if resp.StatusCode != 200 || body != string(data) || len(resp.TransferEncoding) == 0 {
		t.Errorf("HTTP/1.1: status %d, %d bytes, %v", resp.StatusCode, len(body), resp.TransferEncoding)
	}
	got := b.raw(t, "GET "+headURL+" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if head, body, _ := strings.Cut(got, "\r\n\r\n"); body != string(data) || strings.Contains(head, "Content-Length") || strings.Contains(head, "chunked") {
		t.Errorf("HTTP/1.0: %d bytes under %q", len(body), head)
	}
	if resp, body := b.do(t, "HEAD", headURL); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: status %d, %d bytes", resp.StatusCode, len(body))
	}
	if got := b.ledger.total(); got != 2*int64(len(data)) {
		t.Errorf("%d bytes credited, want %d", got, 2*len(data))
	}
}

// A body that breaks off must never look complete.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is on fire")
	data := pattern(100_000)
	for _, tt := range []struct {
		name, proto string
		size        int64
	}{
		{"HTTP/1.1 with length", "HTTP/1.1", int64(len(data)) + 1},
		{"HTTP/1.1 chunked", "HTTP/1.1", -1},
		{"HTTP/1.0 with length", "HTTP/1.0", int64(len(data)) + 1},
		{"HTTP/1.0 to the end", "HTTP/1.0", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(nil).serve(t)
			b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
				f, err := unsized(data, broken)(ctx)
				f.Size = tt.size
				return f, err
			}
			c := b.dial(t)
			fmt.Fprintf(c, "GET %s %s\r\nHost: x\r\n\r\n", debURL, tt.proto)
			got, err := io.ReadAll(c)
			head, body, _ := strings.Cut(string(got), "\r\n\r\n")
			complete := err == nil
			switch {
			case strings.Contains(head, "chunked"):
				complete = strings.HasSuffix(body, "0\r\n\r\n")
			case strings.Contains(head, "Content-Length"):
				complete = len(body) > len(data)
			}
			if complete || !strings.HasPrefix(head, "HTTP/1.") {
				t.Errorf("%d bytes, %v, under %q look complete", len(body), err, head)
			}
			if logged := b.logged.String(); !strings.Contains(logged, "level=WARN") || !strings.Contains(logged, broken.Error()) {
				t.Errorf("logged %s", logged)
			}
		})
	}
}

// A body that ends early without an error must not look complete either.
func TestShortBody(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		f, err := gives(pattern(10_000), ledger.FromMirror)(ctx)
		f.Size = 30_000
		return f, err
	}
	c := b.dial(t)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\nHost: x\r\n\r\n", debURL, debURL)
	got, _ := io.ReadAll(c) // a reset is as good as an end
	if n := strings.Count(string(got), "HTTP/1.1 200"); n != 1 || len(got) > 12_000 {
		t.Errorf("%d answers in %d bytes", n, len(got))
	}
	if logged := b.logged.String(); !strings.Contains(logged, "unexpected EOF") {
		t.Errorf("logged %s", logged)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	b := newBox(nil)
	suite := mustLocation(t, archiveURL+"dists/stable")
	indexURL := archiveURL + "dists/stable/main/binary-amd64/Packages.xz"
	hashURL := archiveURL + "dists/stable/main/binary-amd64/by-hash/SHA256/" + strings.Repeat("0", 64)
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Suite: suite}
	b.catalog.entries[indexURL] = catalog.Entry{Kind: catalog.Content, Suite: suite}
	b.catalog.entries[hashURL] = catalog.Entry{Kind: catalog.Content, Suite: suite}
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content}
	b.files[debURL], b.files[indexURL], b.files[hashURL] = holds(t, []byte("x")), gives([]byte("<html>"), ledger.FromMirror), holds(t, []byte("x"))
	b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
		f, err := gives([]byte("x"), ledger.FromStore)(ctx)
		f.Release, f.Suite, f.Age, f.Stale = digest.Of([]byte("x")), suite, 90*time.Second, "dial: \"x\"\r\nEvil: 1\u00e9"
		return f, err
	}
	b.serve(t)
	for _, tt := range []struct{ url, name, want string }{
		{debURL, "Content-Type", "application/vnd.debian.binary-package"},
		{debURL, "Cache-Control", "no-cache"}, // names in pool/ are used again
		{debURL, "X-Cache", "HIT"},
		{debURL, "Cache-Status", "millpond-test; hit"},
		{debURL, "Via", "1.1 millpond-test"},
		{debURL, "Age", ""},
		{hashURL, "Cache-Control", "public, max-age=31536000, immutable"},
		{indexURL, "Content-Type", "application/octet-stream"},
		{indexURL, "Cache-Control", "no-cache"},
		{indexURL, "X-Cache", "MISS"},
		{indexURL, "Cache-Status", "millpond-test; fwd=miss"},
		{headURL, "Content-Type", "text/plain; charset=utf-8"},
		{headURL, "Cache-Control", "no-cache"},
		{headURL, "X-Cache", "HIT"},
		{headURL, "Age", "90"},
		{headURL, "Cache-Status", `millpond-test; fwd=stale; detail="dial: 'x'??Evil: 1??"`},
		{headURL, "Evil", ""},
		{headURL, "Warning", `110 millpond-test "Response is Stale"|111 millpond-test "Revalidation Failed: dial: 'x'??Evil: 1??"`},
	} {
		resp, _ := b.do(t, "GET", tt.url)
		if got := strings.Join(resp.Header.Values(tt.name), "|"); got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.url, tt.name, got, tt.want)
		}
	}
}

// Each byte is credited to where it came from, and to no other.
func TestOrigins(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	data := pattern(300_000)
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		f, err := gives(data, 0)(ctx)
		f.Body.(*fakeBody).from = func(off int64) ledger.Origin { return ledger.Origin(off / 100_000) }
		return f, err
	}
	if _, body := b.do(t, "GET", debURL, "Range: bytes=50000-"); body != string(data[50_000:]) {
		t.Fatal("wrong body")
	}
	for origin, want := range map[ledger.Origin]int64{0: 50_000, 1: 100_000, 2: 100_000} {
		if got := b.ledger.delivered[origin]; got != want {
			t.Errorf("%v: %d bytes, want %d", origin, got, want)
		}
	}
	if got := b.ledger.requests["127.0.0.1 deb.example.org"]; got != 1 {
		t.Errorf("%d requests, want 1: %v", got, b.ledger.requests)
	}
	if got := b.ledger.packages["hello"]; got != 250_000 {
		t.Errorf("%d bytes of hello, want 250000: %v", got, b.ledger.packages)
	}
}

// A request follows the generation that its client was last served.
func TestPinned(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	suite := mustLocation(t, archiveURL+"dists/stable")
	release := digest.Of([]byte("release"))
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Suite: suite}
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Suite: suite}
	b.files[debURL] = holds(t, []byte("x"))
	b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
		f, err := gives([]byte("x"), ledger.FromStore)(ctx)
		f.Release, f.Suite = release, suite
		return f, err
	}
	none := digest.Digest{}
	for i, step := range []struct {
		method, url, header string
		want                digest.Digest // found by the request
	}{
		{"GET", debURL, "X: y", none},
		{"HEAD", headURL, "X: y", none},
		{"GET", debURL, "X: y", none},
		{"GET", headURL, "If-Modified-Since: " + modified.Format(http.TimeFormat), none},
		{"GET", debURL, "X: y", release},
	} {
		b.do(t, step.method, step.url, step.header)
		if got := b.catalog.given[i]; got != step.want {
			t.Errorf("step %d, %s %s: generation %s, want %s", i, step.method, step.url, got.Short(), step.want.Short())
		}
	}
}
