// The tests: the fakes and the server are in this file. target_, scanner_ and
// sessions_test are about single parts; serve_, errors_ and wire_test about
// responses, the last on the wire; login_test about logins; pipeline_test about requests sent ahead;
// tunnel_ and more_linux_test about connections; repeat_test and those beside it about what is answered below net/http; proxies_test about clients behind proxies; apt_test runs the real apt, and
// archives_test does so over real parts.
package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/prefetch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the box is made of fits.
var (
	_ Catalog = (*catalog.Catalog)(nil)
	_ Fetcher = (*fetch.Fetcher)(nil)
	_ Ledger  = (*ledger.Ledger)(nil)
	_ Dialer  = (*mirror.Client)(nil)
	_ Policy  = (*mirror.Policy)(nil)
	_ Demand  = (*prefetch.Prefetcher)(nil)

	_ interface{ File() *os.File } = fetch.StoredBody{}
)

// The archive of most tests, and a file of it.
const (
	archiveURL = "http://deb.example.org/debian/"
	debPath    = "/debian/pool/main/h/hello/hello_2.10-3_amd64.deb"
	debURL     = "http://deb.example.org" + debPath
	headURL    = archiveURL + "dists/stable/InRelease"
)

var modified = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// mustLocation parses a URL without anything that needs escaping.
func mustLocation(t testing.TB, url string) catalog.Location {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	l, err := catalog.ParseLocation(scheme, host, "/"+path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fakeCatalog knows entries by URL; all else is Unknown.
type fakeCatalog struct {
	mu       sync.Mutex
	entries  map[string]catalog.Entry
	revision atomic.Uint64
	given    []digest.Digest // what given returned of the entry's suite, request by request
}

func (c *fakeCatalog) Resolve(_ context.Context, l catalog.Location, given func(catalog.Location) digest.Digest) catalog.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[l.String()]
	if !ok {
		e = catalog.Entry{Size: -1}
	}
	e.Location = l
	c.given = append(c.given, given(e.Suite))
	return e
}

func (c *fakeCatalog) Revision() uint64 { return c.revision.Load() }

func (c *fakeCatalog) Known(l catalog.Location) bool {
	return strings.HasPrefix(l.Path, "/known/")
}

// fakeFetcher has files by URL; others are the mirror's 404.
type fakeFetcher map[string]func(ctx context.Context) (*fetch.File, error)

func (f fakeFetcher) Get(ctx context.Context, e fetch.Request) (*fetch.File, error) {
	if get := f[e.Location.String()]; get != nil {
		return get(ctx)
	}
	return nil, &mirror.StatusError{URL: e.Location.String(), Code: 404}
}

func (f fakeFetcher) Peek(ctx context.Context, e fetch.Request) (*fetch.File, error) {
	return f.Get(ctx, e)
}

// Reuse always agrees.
func (f fakeFetcher) Reuse(fetch.Request) bool { return true }

func (f fakeFetcher) Reused(digest.Digest) {}

// Unchanged always agrees, and has the age that Get gives.
func (f fakeFetcher) Unchanged(r fetch.Request, _ *fetch.File) (time.Duration, bool) {
	file, err := f[r.Location.String()](context.Background())
	if err != nil {
		return 0, false
	}
	file.Body.Close()
	return file.Age, true
}

func (f fakeFetcher) Anticipate(fetch.Request) {}

func (f fakeFetcher) Revalidated(catalog.Location) {}

// fails makes an answer of Get of an error.
func fails(err error) func(context.Context) (*fetch.File, error) {
	return func(context.Context) (*fetch.File, error) { return nil, err }
}

// gives makes an answer of Get of data of a known size, from origin.
func gives(data []byte, origin ledger.Origin) func(context.Context) (*fetch.File, error) {
	return func(context.Context) (*fetch.File, error) {
		body := &fakeBody{Reader: bytes.NewReader(data), from: func(int64) ledger.Origin { return origin }, end: int64(len(data))}
		return &fetch.File{Digest: digest.Of(data), Size: int64(len(data)), Modified: modified, Body: body}, nil
	}
}

// holds makes an answer of Get of a blob on disk.
func holds(t testing.TB, data []byte) func(context.Context) (*fetch.File, error) {
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d := digest.Of(data)
	return func(context.Context) (*fetch.File, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &fetch.File{Digest: d, Size: int64(len(data)), Modified: modified, Public: true, Body: heldBody{blob{f}}}, nil
	}
}

// fakeBody is a download: it reads at most 1000 bytes at a time, from where
// from says, and fails at end if err is set.
type fakeBody struct {
	*bytes.Reader
	from func(off int64) ledger.Origin
	last ledger.Origin
	end  int64
	err  error
}

func (b *fakeBody) Read(p []byte) (int, error) {
	off := b.Size() - int64(b.Len())
	if off >= b.end && b.err != nil {
		return 0, b.err
	}
	b.last = b.from(off)
	return b.Reader.Read(p[:min(int64(len(p)), 1000, max(b.end-off, 1))])
}

func (b *fakeBody) Origin() ledger.Origin { return b.last }
func (b *fakeBody) Close() error          { return nil }

type (
	heldBody struct{ blob }
	blob     struct{ *os.File }
)

func (b heldBody) File() *os.File      { return b.blob.File }
func (heldBody) Origin() ledger.Origin { return ledger.FromStore }

// fakeLedger adds up.
type fakeLedger struct {
	mu        sync.Mutex
	requests  map[string]int // by client and host
	delivered map[ledger.Origin]int64
	packages  map[string]int64 // delivered
	tunnelled int64
	opened    map[string]int   // tunnels, by host
	through   map[string]int64 // tunnelled, by host
}

func (l *fakeLedger) Request(client netip.Addr, f ledger.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests[client.String()+" "+f.Host]++
}

func (l *fakeLedger) Delivered(client netip.Addr, f ledger.File, from ledger.Origin, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[from] += n
	l.packages[f.Package] += n
}

func (l *fakeLedger) TunnelOpened(_ netip.Addr, host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened[host]++
}

func (l *fakeLedger) Tunnelled(_ netip.Addr, host string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tunnelled += n
	l.through[host] += n
}

func (l *fakeLedger) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.delivered {
		n += v
	}
	return n
}

// fakePolicy refuses one host, one archive and a port, and lets one host be
// asked for anything.
type fakePolicy struct{}

func (fakePolicy) CheckArchive(host string, _ int, path string) error {
	if host == "excluded.example.org" {
		return &mirror.RefusedError{Host: host, Reason: host + path + " is not in MILLPOND_ONLY_ARCHIVES", Setting: "MILLPOND_ONLY_ARCHIVES"}
	}
	return nil
}

func (fakePolicy) AllowsAnyPath(host string, port int) bool {
	return host == "downloads.example.org" && port == 80
}

func (fakePolicy) CheckName(host string, port int) error {
	if port == 3142 {
		return &mirror.RefusedError{Host: host + ":3142", Reason: "port 3142 is neither 80 nor 443", Setting: "MILLPOND_ALLOW_UPSTREAMS=" + host + ":3142"}
	}
	if host == "10.0.0.5" {
		return &mirror.RefusedError{Host: host, Addr: host, Reason: "10.0.0.5 is a private address", Setting: "MILLPOND_ALLOW_UPSTREAMS=10.0.0.5"}
	}
	return nil
}

// dialer is a Dialer from a function.
type dialer func(ctx context.Context, hostport string) (net.Conn, error)

func (d dialer) Dial(ctx context.Context, hostport string) (net.Conn, error) { return d(ctx, hostport) }

// box is a running Proxy over fakes.
type box struct {
	*Proxy
	catalog *fakeCatalog
	files   fakeFetcher
	ledger  *fakeLedger
	logged  *safeBuffer
	addr    string
}

// newBox makes a Proxy; change alters it before it runs.
func newBox(change func(*Options)) *box {
	b := &box{
		catalog: &fakeCatalog{entries: make(map[string]catalog.Entry)},
		files:   make(fakeFetcher),
		ledger:  &fakeLedger{requests: make(map[string]int), delivered: make(map[ledger.Origin]int64), packages: make(map[string]int64), opened: make(map[string]int), through: make(map[string]int64)},
		logged:  new(safeBuffer),
	}
	o := Options{
		Catalog: b.catalog, Fetcher: b.files, Ledger: b.ledger, Policy: fakePolicy{}, Tunnels: mirror.AllHosts(), Via: "millpond-test", Repeats: 100,
		Dialer: dialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("no dialer in this test") }),
		Log:    slog.New(slog.NewTextHandler(b.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Local: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "local "+r.RequestURI+" "+r.URL.Path)
		}),
	}
	if change != nil {
		change(&o)
	}
	b.Proxy = New(o)
	return b
}

// serve runs the box at a loopback port until the test ends.
func (b *box) serve(t testing.TB) *box {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	b.serveOn(t, l)
	return b
}

func (b *box) serveOn(t testing.TB, l net.Listener) *http.Server {
	s := b.Server()
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Serve(b.Listener(l)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		s.Close()
		running.Wait()
	})
	return s
}

// dial opens a connection to the box that cannot hang a test.
func (b *box) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// raw sends bytes and returns all that comes until the box closes.
func (b *box) raw(t testing.TB, request string) string {
	t.Helper()
	c := b.dial(t)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the answer to its end: %v", err)
	}
	return string(got)
}

// do sends one request with a request line's target and header lines, and
// returns the answer with its body read. The box has done all that belongs to
// the request by then: it closes the connection last.
func (b *box) do(t testing.TB, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	c := b.dial(t)
	defer c.Close()
	request := method + " " + target + " HTTP/1.1\r\nHost: box.example.org\r\nConnection: close\r\n"
	for _, h := range header {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, target, err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Fatalf("%s %s: %q after the body, %v", method, target, rest, err)
	}
	return resp, string(body)
}

// safeBuffer is written by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// pattern is n bytes that show where they stand.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}
