package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/logs"
	"millpond/internal/mirror"
)

var _ AccessLog = (*logs.Access)(nil)

// accessed collects lines of the access log.
type accessed chan logs.Request

func (a accessed) Add(r logs.Request, _ netip.Prefix) { a <- r }

// next is the line of the request that was just answered.
func (a accessed) next(t *testing.T) logs.Request {
	t.Helper()
	select {
	case r := <-a:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no line of the request")
		return logs.Request{}
	}
}

// loggedBox is a box with an access log.
func loggedBox(t *testing.T, change func(*Options)) (*box, accessed) {
	a := make(accessed, 100)
	b := newBox(func(o *Options) {
		o.AccessLog = a
		if change != nil {
			change(o)
		}
	})
	return b.serve(t), a
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var measured []string
	b, lines := loggedBox(t, func(o *Options) {
		o.Measured = func(outcome string, firstByte, took time.Duration) {
			if firstByte <= 0 || firstByte > took {
				t.Errorf("%s: first byte after %v of %v", outcome, firstByte, took)
			}
			measured = append(measured, outcome) // before its line
		}
	})
	data := pattern(50_000)
	half := func(off int64) ledger.Origin {
		if off < 25_000 {
			return ledger.FromPeer
		}
		return ledger.FromMirror
	}
	body := func(from func(int64) ledger.Origin, end int64, err error) func(context.Context) (*fetch.File, error) {
		return func(context.Context) (*fetch.File, error) {
			return &fetch.File{Size: int64(len(data)), Modified: modified, Body: &fakeBody{Reader: bytes.NewReader(data), from: from, end: end, err: err}}, nil
		}
	}
	const base = "http://deb.example.org/debian/pool/"
	b.files[base+"held.deb"] = holds(t, data)
	b.files[base+"fetched.deb"] = gives(data, ledger.FromMirror)
	b.files[base+"peers.deb"] = gives(data, ledger.FromPeer)
	b.files[base+"mixed.deb"] = body(half, int64(len(data)), nil)
	b.files[base+"busy.deb"] = fails(&mirror.StatusError{URL: base, Code: 503})
	b.files[base+"stale.deb"] = func(ctx context.Context) (*fetch.File, error) {
		f, err := gives(data, ledger.FromStore)(ctx)
		f.Stale = "the mirror is away"
		return f, err
	}
	for _, tt := range []struct {
		request, url string
		header       string
		status       int
		outcome      string
		source       string
		bytes        int64 // -1: of the answer's body
	}{
		{"GET " + base + "held.deb", base + "held.deb", "", 200, wasHit, "store", 50_000},
		{"GET " + base + "held.deb", base + "held.deb", "Range: bytes=100-199", 206, wasHit, "store", 100},
		{"GET " + base + "held.deb", base + "held.deb", "If-Modified-Since: " + modified.UTC().Format(http.TimeFormat), 304, wasHit, "", 0},
		{"HEAD " + base + "held.deb", base + "held.deb", "", 200, wasHit, "", 0},
		{"GET /deb.example.org/debian/pool/fetched.deb", base + "fetched.deb", "", 200, wasMiss, "mirror", 50_000},
		{"GET " + base + "peers.deb", base + "peers.deb", "", 200, wasMiss, "peers", 50_000},
		{"GET " + base + "mixed.deb", base + "mixed.deb", "", 200, wasMiss, "mixed", 50_000},
		{"GET " + base + "stale.deb", base + "stale.deb", "", 200, wasStale, "store", 50_000},
		{"GET " + base + "none.deb", base + "none.deb", "", 404, wasAbsent, "", -1},
		{"HEAD " + base + "none.deb", base + "none.deb", "", 404, wasAbsent, "", 0},
		{"GET " + base + "busy.deb", base + "busy.deb", "", 503, wasFailed, "", -1},
		{"GET http://10.0.0.5/debian/pool/x.deb", "http://10.0.0.5/debian/pool/x.deb", "", 403, wasRefused, "", -1},
		{"POST " + base + "held.deb", base + "held.deb", "", 405, wasRefused, "", -1},
		{"GET /debian/dists/x", "/debian/dists/x", "", 403, wasRefused, "", -1},
		{"CONNECT deb.example.org:80", "deb.example.org:80", "", 403, wasRefused, "", -1},
	} {
		method, target, _ := strings.Cut(tt.request, " ")
		var header []string
		if tt.header != "" {
			header = append(header, tt.header)
		}
		begun := time.Now()
		_, answer := b.do(t, method, target, header...)
		got := lines.next(t)
		if tt.bytes < 0 {
			tt.bytes = int64(len(answer))
		}
		if got.Method != method || got.URL != tt.url || got.Status != tt.status || got.Outcome != tt.outcome || got.Source != tt.source || got.Bytes != tt.bytes || got.Client != "127.0.0.1" {
			t.Errorf("%s %s: got %+v, want %+v", tt.request, tt.header, got, tt)
		}
		if got.Time.Before(begun) || got.FirstByte <= 0 || got.FirstByte > got.Duration || got.Duration > milliseconds(time.Since(begun)) {
			t.Errorf("%s: times %+v", tt.request, got)
		}
		if len(measured) == 0 || measured[len(measured)-1] != tt.outcome {
			t.Errorf("%s: measured are %v, want %s last", tt.request, measured, tt.outcome)
		}
	}
	b.do(t, "GET", "/healthz")
	b.do(t, "GET", "/api/v1/summary")
	if len(lines) > 0 {
		t.Errorf("a line of what is not for an archive: %+v", <-lines)
	}
}

// What ends before its end is in the log as such, once.
func TestAccessLogOfBrokenAnswers(t *testing.T) {
	t.Parallel()
	b, lines := loggedBox(t, nil)
	data := pattern(4 << 20)
	const base = "http://deb.example.org/debian/pool/"
	b.files[base+"broken.deb"] = func(context.Context) (*fetch.File, error) {
		return &fetch.File{Size: int64(len(data)), Modified: modified, Body: &fakeBody{
			Reader: bytes.NewReader(data), from: func(int64) ledger.Origin { return ledger.FromMirror }, end: 3000, err: errors.New("cut off"),
		}}, nil
	}
	waits := make(chan struct{})
	b.files[base+"slow.deb"] = func(ctx context.Context) (*fetch.File, error) {
		close(waits)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := b.dial(t)
	io.WriteString(c, "GET "+base+"broken.deb HTTP/1.1\r\nHost: x\r\n\r\n")
	io.Copy(io.Discard, c)
	if got := lines.next(t); got.Outcome != wasFailed || got.Status != 200 || got.Bytes != 3000 || got.Source != "mirror" {
		t.Errorf("cut by the box: %+v", got)
	}
	c = b.dial(t)
	io.WriteString(c, "GET "+base+"slow.deb HTTP/1.1\r\nHost: x\r\n\r\n")
	<-waits
	c.SetLinger(0) // reset at once, so that the box does not wait for a half-closed client
	c.Close()
	if got := lines.next(t); got.Outcome != wasLeft || got.Status != 0 || got.Bytes != 0 || got.FirstByte != 0 {
		t.Errorf("client left: %+v", got)
	}
	if len(lines) > 0 {
		t.Errorf("one line more: %+v", <-lines)
	}
}

func TestAccessLogOfATunnel(t *testing.T) {
	t.Parallel()
	b, lines := loggedBox(t, func(o *Options) {
		o.Dialer = upstream(t, func(c *net.TCPConn) {
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				return
			}
			io.WriteString(c, "answer")
		})
	})
	c, r := b.connect(t, "hello")
	got, err := io.ReadAll(r)
	c.Close()
	line := lines.next(t)
	if err != nil || string(got) != "answer" || line.Outcome != wasTunnel || line.URL != "deb.example.org:443" || line.Bytes != 11 || line.Status != 200 || line.Method != "CONNECT" {
		t.Errorf("got %+v, want 11 bytes both ways", line)
	}
}

// lineBuffer keeps the lines that are written.
type lineBuffer struct{ safeBuffer }

// Whatever bytes a request line has, each line of the log is an object in JSON.
func FuzzAccessLog(f *testing.F) {
	for _, s := range []string{
		debURL, "/deb.example.org" + debPath, "http://HTTPS///deb.example.org" + debPath, "/deb.example.org/\xff\"\\\u2028/pool/x.deb", "http://b:\"p\"@deb.example.org/dists/x?q=\"",
		"/%22%00%ff.example.org/pool/a", "deb.example.org:443", "*", "/ring/x/deb.example.org/dists/\x7f",
	} {
		f.Add([]byte(s))
	}
	var out lineBuffer
	a, err := logs.OpenAccess(logs.AccessOptions{Out: &out, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	b := newBox(func(o *Options) { o.AccessLog, o.Log = a, slog.New(slog.DiscardHandler) })
	b.files[debURL] = gives([]byte("a package"), ledger.FromStore)
	b.serve(f)
	f.Fuzz(func(t *testing.T, target []byte) {
		for _, method := range []string{"GET", "CONNECT"} {
			c := b.dial(t)
			io.WriteString(c, method+" "+string(target)+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			c.CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
		if err := a.Close(); err != nil { // writes what waits
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			var r logs.Request
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Outcome == "" || r.URL == "" {
				t.Errorf("%v: %q", err, line)
			}
		}
		out.reset()
	})
}

// reset forgets what was written.
func (l *lineBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// The words of outcomes are documented where the line is.
func TestOutcomeOfStatus(t *testing.T) {
	t.Parallel()
	got := []string{outcomeOfStatus(302), outcomeOfStatus(401), outcomeOfStatus(404), outcomeOfStatus(410), outcomeOfStatus(502)}
	if want := []string{wasRedirect, wasRefused, wasAbsent, wasAbsent, wasFailed}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
