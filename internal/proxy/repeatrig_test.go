package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/logs"
)

// asks is a Fetcher that counts how often it is asked for a file.
type asks struct {
	fakeFetcher
	gets   atomic.Int64
	same   atomic.Int64 // suites of which a client has the present Release
	reuse  atomic.Bool
	reused atomic.Int64 // Reuse less Reused
}

func (f *asks) Get(ctx context.Context, r fetch.Request) (*fetch.File, error) {
	f.gets.Add(1)
	return f.fakeFetcher.Get(ctx, r)
}

func (f *asks) Reuse(fetch.Request) bool {
	if f.reuse.Load() {
		f.reused.Add(1)
	}
	return f.reuse.Load()
}

func (f *asks) Revalidated(catalog.Location) { f.same.Add(1) }

func (f *asks) Unchanged(r fetch.Request, given *fetch.File) (time.Duration, bool) {
	age, ok := f.fakeFetcher.Unchanged(r, given)
	return age, f.Reuse(r) && ok
}

func (f *asks) Reused(digest.Digest) { f.reused.Add(-1) }

// accessLines is an access log in memory.
type accessLines struct {
	mu    sync.Mutex
	lines []string
}

func (a *accessLines) Add(r logs.Request, _ netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, fmt.Sprint(r.Client, " ", r.Method, " ", r.URL, " ", r.Status, " ", r.Outcome, " ", r.Source, " ", r.Bytes))
}

func (a *accessLines) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lines)
}

// repeating is a box that holds debURL, with size bytes.
type repeating struct {
	*box
	fetcher *asks
	access  *accessLines
	data    []byte
	file    string // of the blob
}

func newRepeating(t testing.TB, size int, change func(*Options)) *repeating {
	t.Helper()
	b := &repeating{access: new(accessLines), data: pattern(size)}
	b.box = newBox(func(o *Options) {
		b.fetcher = &asks{fakeFetcher: o.Fetcher.(fakeFetcher)}
		b.fetcher.reuse.Store(true)
		o.Fetcher, o.AccessLog = b.fetcher, b.access
		if change != nil {
			change(o)
		}
	})
	get := holds(t, b.data)
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		file, err := get(ctx)
		if err == nil {
			b.file = held(file.Body).Name()
		}
		return file, err
	}
	b.catalog.entries[debURL] = catalog.Entry{Kind: catalog.Content, Digest: digest.Of(b.data), Size: int64(size), Signed: true, Suite: mustLocation(t, archiveURL+"dists/stable")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	b.serveOn(t, front.Listener(l, front.Options{Shares: front.NewShares(100), Log: b.log}))
	return b
}

// heldRelease is a Body of a held Release file.
type heldRelease struct{ *os.File }

func (b heldRelease) Stored() *os.File    { return b.File }
func (heldRelease) Origin() ledger.Origin { return ledger.FromStore }

// holdRelease has the box hold headURL, and returns the file's name.
func (b *repeating) holdRelease(t testing.TB) (name string) {
	t.Helper()
	data := pattern(5000)
	name = filepath.Join(t.TempDir(), "release")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	suite := mustLocation(t, archiveURL+"dists/stable")
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: suite}
	b.files[headURL] = func(context.Context) (*fetch.File, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		d := digest.Of(data)
		return &fetch.File{
			Digest: d, Size: int64(len(data)), Modified: modified, Release: d, Suite: suite, Age: 70 * time.Second, Public: true, Body: heldRelease{f},
		}, nil
	}
	return name
}

// aptCheck is how apt asks whether its InRelease is the present one.
var aptCheck = "GET " + headURL + " HTTP/1.1\r\nHost: deb.example.org\r\nCache-Control: max-age=0\r\nAccept: text/*\r\nIf-Modified-Since: " +
	modified.Format(http.TimeFormat) + "\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\n\r\n"

// check sends a conditional request, and returns status and header of the answer, without
// its date.
func (s session) check(t testing.TB, request string) string {
	t.Helper()
	if _, err := io.WriteString(s, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	return fmt.Sprint(resp.StatusCode, " ", resp.Header)
}

const plainRequest = "GET " + debURL + " HTTP/1.1\r\nHost: deb.example.org\r\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\n\r\n"

// session is a client's connection.
type session struct {
	net.Conn
	in *bufio.Reader
}

func (b *box) session(t testing.TB) session {
	c := b.dial(t)
	return session{c, bufio.NewReader(c)}
}

// warm asks for debURL until its answer is repeated, and returns the answer and a new
// connection.
func (b *repeating) warm(t testing.TB) (http.Header, session) {
	t.Helper()
	var header http.Header
	for range 2 {
		s := b.session(t)
		header = s.get(t, b.data)
		s.Close()
		b.rest(t)
	}
	return header, b.session(t)
}

// rest waits until no request is under way.
func (b *box) rest(t testing.TB) {
	t.Helper()
	waitFor(t, "all is answered", func() bool { return b.UnderWay() == 0 })
}

// get sends a request for debURL and returns the answer, without its date.
func (s session) get(t testing.TB, want []byte) http.Header {
	t.Helper()
	if _, err := io.WriteString(s, plainRequest); err != nil {
		t.Fatal(err)
	}
	return s.answer(t, want)
}

func (s session) answer(t testing.TB, want []byte) http.Header {
	t.Helper()
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
		t.Fatalf("got %s with %d bytes, %v", resp.Status, len(body), err)
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(date) > time.Minute {
		t.Errorf("dated %v, %v", date, err)
	}
	resp.Header.Del("Date")
	return resp.Header
}
