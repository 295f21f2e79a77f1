package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
)

// anticipator tells what is anticipated.
type anticipator struct {
	fakeFetcher
	entries chan catalog.Entry
}

func (a anticipator) Anticipate(r fetch.Request) { a.entries <- r.Entry }

// next returns the URLs of the next n entries.
func (a anticipator) next(t *testing.T, n int) (urls []string) {
	t.Helper()
	for range n {
		select {
		case e := <-a.entries:
			urls = append(urls, e.Location.String())
		case <-time.After(20 * time.Second):
			t.Fatalf("only %q are anticipated", urls)
		}
	}
	return urls
}

func newAnticipating(change func(*Options)) (*box, anticipator) {
	var a anticipator
	b := newBox(func(o *Options) {
		a = anticipator{o.Fetcher.(fakeFetcher), make(chan catalog.Entry, 100)}
		o.Fetcher = a
		if change != nil {
			change(o)
		}
	})
	return b, a
}

// While the first of a pipeline is being fetched, the others are anticipated.
func TestAnticipate(t *testing.T) {
	t.Parallel()
	b, a := newAnticipating(nil)
	b.serve(t)
	arrived := make(chan struct{})
	b.files[numbered(0)] = func(ctx context.Context) (*fetch.File, error) {
		select {
		case <-arrived:
			return gives([]byte("0"), ledger.FromMirror)(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var want []string
	for i := 1; i < 10; i++ {
		b.files[numbered(i)] = gives([]byte{'0' + byte(i)}, ledger.FromMirror)
		want = append(want, numbered(i))
	}
	c := b.dial(t)
	io.WriteString(c, pipelineOf(10))
	if got := a.next(t, 9); !slices.Equal(got, want) {
		t.Errorf("anticipated %q, want %q", got, want)
	}
	if got := b.ledger.total(); got != 0 {
		t.Errorf("%d bytes credited before the first answer", got)
	}
	close(arrived)
	r := bufio.NewReader(c)
	for i := range 10 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != string(rune('0'+i)) {
			t.Errorf("answer %d: %q, %v", i, body, err)
		}
	}
	// A client that asks for one at a time has nothing anticipated.
	for i := range 10 {
		io.WriteString(c, aptRequest(numbered(i)))
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	}
	if len(a.entries) > 0 {
		t.Errorf("%q is anticipated of single requests", a.next(t, 1))
	}
	if got := b.ledger.requests["127.0.0.1 deb.example.org"]; got != 20 {
		t.Errorf("%d requests in the ledger, want 20", got)
	}
	if logged := b.logged.String(); strings.Contains(logged, "INFO") || strings.Contains(logged, "WARN") {
		t.Errorf("logged %s", logged)
	}
}

// What archive would refuse is not anticipated.
func TestAnticipateRefused(t *testing.T) {
	t.Parallel()
	b, a := newAnticipating(func(o *Options) {
		o.AllowClients = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 3142}
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(local))
	for _, tt := range []struct {
		name, client, request, want string // want is a URL, "" for none
	}{
		{"proxy form", "192.0.2.7:1", aptRequest(debURL), debURL},
		{"origin form", "192.0.2.7:1", aptRequest("/deb.example.org" + debPath), debURL},
		{"https", "192.0.2.7:1", aptRequest("http://HTTPS///deb.example.org" + debPath), "https://deb.example.org" + debPath},
		{"the box as host of a proxy form", "192.0.2.7:1", aptRequest("http://192.0.2.1:3142/deb.example.org" + debPath), debURL},
		{"a name of the box as host of a proxy form", "192.0.2.7:1", aptRequest("http://nas:3142/deb.example.org" + debPath), debURL},
		{"mapped address", "[::ffff:192.0.2.7]:1", aptRequest(debURL), debURL},
		{"a client that may not", "198.51.100.7:1", aptRequest(debURL), ""},
		{"a client without address", "", aptRequest(debURL), ""},
		{"policy", "192.0.2.7:1", aptRequest("http://10.0.0.5" + debPath), ""},
		{"no archive path", "192.0.2.7:1", aptRequest("http://deb.example.org/login.html"), ""},
		{"a query", "192.0.2.7:1", aptRequest(debURL + "?x"), ""},
		{"a user", "192.0.2.7:1", aptRequest("http://me:pw@deb.example.org" + debPath), debURL},
		{"a user in the path", "192.0.2.7:1", aptRequest("/me:pw@deb.example.org" + debPath), ""},
		{"a loop", "192.0.2.7:1", strings.Replace(aptRequest(debURL), "\r\n", "\r\nVia: 1.1 millpond-test\r\n", 1), ""},
		{"a page of the box", "192.0.2.7:1", aptRequest("/healthz"), ""},
		{"no URL", "192.0.2.7:1", aptRequest("http://%zz/"), ""},
		{"no field name", "192.0.2.7:1", strings.Replace(aptRequest(debURL), "\r\n", "\r\nX\x00: y\r\n", 1), ""},
	} {
		b.anticipate(ctx, []byte(tt.request), tt.client)
		got := ""
		if len(a.entries) > 0 {
			got = a.next(t, 1)[0]
		}
		if got != tt.want {
			t.Errorf("%s: anticipated %q, want %q", tt.name, got, tt.want)
		}
	}
	if logged := b.logged.String(); logged != "" {
		t.Errorf("logged %s", logged)
	}
}

// The session of the connection counts for what is anticipated on it.
func TestAnticipatePinned(t *testing.T) {
	t.Parallel()
	b, a := newAnticipating(nil)
	b.serve(t)
	suite := mustLocation(t, archiveURL+"dists/stable/InRelease").Dir()
	release := digest.Of([]byte("release"))
	b.catalog.entries[headURL] = catalog.Entry{Kind: catalog.ReleaseFile, Size: -1, Suite: suite}
	b.catalog.entries[numbered(1)] = catalog.Entry{Kind: catalog.Content, Size: 1, Suite: suite}
	b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
		file, err := gives([]byte("release"), ledger.FromMirror)(ctx)
		file.Suite, file.Release = suite, release
		return file, err
	}
	c := b.dial(t)
	r := bufio.NewReader(c)
	io.WriteString(c, aptRequest(headURL))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	b.Proxy.sessions.mu.Lock()
	clear(b.Proxy.sessions.clients) // only the connection remembers
	b.Proxy.sessions.mu.Unlock()
	blocked := make(chan struct{})
	b.files[numbered(0)] = func(ctx context.Context) (*fetch.File, error) {
		<-blocked
		return nil, errors.New("over")
	}
	defer close(blocked)
	io.WriteString(c, pipelineOf(2))
	a.next(t, 1)
	b.catalog.mu.Lock()
	defer b.catalog.mu.Unlock()
	if !slices.Contains(b.catalog.given, release) {
		t.Errorf("resolved with the generations %v, want %v", b.catalog.given, release)
	}
}

// waitingCatalog answers when the context ends.
type waitingCatalog struct {
	*fakeCatalog
	asked chan catalog.Location
	ended *bool // for who knows that it has
}

func (w waitingCatalog) Resolve(ctx context.Context, l catalog.Location, _ func(catalog.Location) digest.Digest) catalog.Entry {
	w.asked <- l
	<-ctx.Done()
	*w.ended = true
	return catalog.Entry{Location: l}
}

// connPair is a connection as the listener gives it, and its client's end.
func connPair(t testing.TB, p *Proxy) (server, client net.Conn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	if client, err = net.Dial("tcp", inner.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = p.Listener(inner).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

// A connection keeps few requests waiting, and when it is closed its goroutine
// has ended. That reads after that start none proves goleak.
func TestPipelineClosed(t *testing.T) {
	t.Parallel()
	asked, ended := make(chan catalog.Location, 100), false
	b, a := newAnticipating(func(o *Options) { o.Catalog = waitingCatalog{o.Catalog.(*fakeCatalog), asked, &ended} })
	server, client := connPair(t, b.Proxy)
	all := pipelineOf(50)
	io.WriteString(client, all)
	if _, err := io.ReadFull(server, make([]byte, len(all))); err != nil {
		t.Fatal(err)
	}
	<-asked
	conn := server.(*pipelineConn)
	if len(conn.queue) > maxAhead {
		t.Errorf("%d requests wait", len(conn.queue))
	}
	server.Close()
	if !ended {
		t.Error("Close did not wait for the goroutine")
	}
	if n := len(asked); n > 0 {
		t.Errorf("%d requests were resolved when the connection was closed", n)
	}
	if n := len(a.entries); n > 1 {
		t.Errorf("%d files are anticipated", n)
	}
	conn.enqueue([]byte(aptRequest(debURL)))
	server.Close() // closing again does no harm
	fresh, _ := connPair(t, b.Proxy)
	fresh.Close()
	fresh.(*pipelineConn).enqueue([]byte(aptRequest(debURL)))
}

// A request by itself costs a Read no allocation and the connection no
// goroutine.
func TestReadAllocates(t *testing.T) {
	server, client := connPair(t, newBox(nil).Proxy)
	request, buf := []byte(aptRequest(debURL)), make([]byte, 4096)
	n := testing.AllocsPerRun(100, func() {
		if _, err := client.Write(request); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(buf); n != len(request) || err != nil {
			t.Fatal(n, err)
		}
	})
	if conn := server.(*pipelineConn); n != 0 || conn.queue != nil || conn.scanner.blind {
		t.Errorf("%v allocations; %+v", n, conn.scanner)
	}
}

// A connection that is not TCP is left alone.
func TestPipelineOther(t *testing.T) {
	t.Parallel()
	l := &pipeListener{make(chan net.Conn, 1), make(chan struct{})}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	l.conns <- theirs
	wrapped := newBox(nil).Listener(l)
	if got, err := wrapped.Accept(); got != theirs || err != nil {
		t.Errorf("got %T, %v", got, err)
	}
	wrapped.Close()
	if got, err := wrapped.Accept(); got != nil || err != net.ErrClosed {
		t.Errorf("after Close: %v, %v", got, err)
	}
}
