package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// apt sends up to ten requests ahead. The mirror's 404 among them leaves the
// connection open; the bytes credited are those on the wire.
func TestPipeline(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	data := pattern(100_000)
	var requests bytes.Buffer
	for i := range 10 {
		url := fmt.Sprintf("%spool/%d.deb", archiveURL, i)
		switch {
		case i == 4: // not there
		case i%2 == 0:
			b.files[url] = holds(t, data[i:])
		default:
			b.files[url] = gives(data[i:], ledger.FromMirror)
		}
		fmt.Fprintf(&requests, "GET %s HTTP/1.1\r\nHost: deb.example.org\r\n\r\n", url)
	}
	c := b.dial(t)
	c.Write(requests.Bytes())
	r := bufio.NewReader(c)
	var onWire int64
	for i := range 10 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if i == 4 {
			if resp.StatusCode != 404 || resp.Status != "404 Not Found" || resp.Close {
				t.Errorf("answer %d: %s, close %v", i, resp.Status, resp.Close)
			}
			continue
		}
		onWire += int64(len(body))
		if resp.StatusCode != 200 || !bytes.Equal(body, data[i:]) {
			t.Errorf("answer %d: %s with %d bytes", i, resp.Status, len(body))
		}
	}
	c.CloseWrite()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
	if got := b.ledger.total(); got != onWire {
		t.Errorf("%d bytes credited, %d on the wire", got, onWire)
	}
	if got := b.ledger.requests["127.0.0.1 deb.example.org"]; got != 10 {
		t.Errorf("%d requests, want 10", got)
	}
}

// A refusal in a pipeline arrives whole, after the answers before it and
// although requests behind it are never read.
func TestPipelineRefused(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	b.files[debURL] = gives(pattern(50_000), ledger.FromMirror)
	c := b.dial(t)
	var requests bytes.Buffer
	for i := range 10 {
		url := debURL
		if i == 3 {
			url = "http://10.0.0.5/debian/dists/stable/InRelease"
		}
		fmt.Fprintf(&requests, "GET %s HTTP/1.1\r\nHost: x\r\nX-Padding: %s\r\n\r\n", url, strings.Repeat("x", 8000))
	}
	c.Write(requests.Bytes())
	r := bufio.NewReader(c)
	for i := range 4 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if i == 3 && (resp.StatusCode != 403 || !resp.Close) || i < 3 && resp.StatusCode != 200 {
			t.Errorf("answer %d: %s, close %v", i, resp.Status, resp.Close)
		}
	}
	// What the client was about to send meanwhile must not be answered with a
	// reset, which could overtake the refusal.
	for range 10 {
		if _, err := c.Write(requests.Bytes()[:1000]); err != nil {
			t.Fatalf("sending on after the refusal: %v", err)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the refusal: %v, want EOF", err)
	}
}

func TestHTTP10(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	data := pattern(5000)
	b.files[debURL] = holds(t, data)
	got := b.raw(t, "GET "+debURL+" HTTP/1.0\r\n\r\n")
	if head, body, _ := strings.Cut(got, "\r\n\r\n"); body != string(data) || !strings.Contains(head, "Content-Length: 5000") {
		t.Errorf("got %d bytes under %q", len(body), head)
	}
	got = b.raw(t, "GET "+debURL+" HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET "+debURL+" HTTP/1.0\r\n\r\n")
	if n := strings.Count(got, "HTTP/1.0 200 OK"); n != 2 || !strings.HasSuffix(got, string(data)) {
		t.Errorf("%d answers in %d bytes, want 2", n, len(got))
	}
}

// watchedConn counts what is copied to the connection, from memory or from anything but a
// file.
type watchedConn struct {
	*net.TCPConn
	copied *atomic.Int64
}

func (c watchedConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	if l, ok := r.(*io.LimitedReader); ok {
		if _, ok := l.R.(*os.File); ok {
			return n, err
		}
	}
	c.copied.Add(n)
	return n, err
}

func (c watchedConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.copied.Add(int64(n))
	return n, err
}

type watchedListener struct {
	net.Listener
	copied atomic.Int64
}

func (l *watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watchedConn{c.(*net.TCPConn), &l.copied}, nil
}

// Held blobs leave by the kernel alone: only headers are copied.
func TestSendfile(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &watchedListener{Listener: inner}
	b := newBox(nil)
	b.addr = inner.Addr().String()
	data := pattern(3*step + 1000)
	b.files[debURL] = holds(t, data)
	b.serveOn(t, l)
	for _, tt := range []struct {
		header string
		want   []byte
	}{{"X: y", data}, {fmt.Sprintf("Range: bytes=%d-", step), data[step:]}} {
		l.copied.Store(0)
		before := b.ledger.total()
		if _, body := b.do(t, "GET", debURL, tt.header); body != string(tt.want) {
			t.Errorf("%s: wrong body of %d bytes", tt.header, len(body))
		}
		if got := l.copied.Load(); got > 1000 {
			t.Errorf("%s: %d bytes were copied, want those of a header", tt.header, got)
		}
		if got := b.ledger.total() - before; got != int64(len(tt.want)) {
			t.Errorf("%s: %d bytes credited, want %d", tt.header, got, len(tt.want))
		}
	}
}

// pipeListener gives the server one end of a net.Pipe, whose deadlines follow
// the bubble's clock.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// inBubble runs f with a client's connection to b under the fake clock.
func inBubble(t *testing.T, b *box, f func(c net.Conn)) {
	l := &pipeListener{make(chan net.Conn), make(chan struct{})}
	s := b.Server()
	// A pipe has no address.
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:1"
		b.ServeHTTP(w, r)
	})
	go s.Serve(l)
	ours, theirs := net.Pipe()
	l.conns <- theirs
	f(ours)
	ours.Close()
	s.Close()
	synctest.Wait()
}

func TestStalledClient(t *testing.T) {
	for _, held := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(nil)
			b.files[debURL] = gives(pattern(1<<20), ledger.FromMirror)
			if held {
				b.files[debURL] = holds(t, pattern(1<<20))
			}
			inBubble(t, b, func(c net.Conn) {
				begun := time.Now()
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", debURL)
				_, _ = io.ReadFull(c, make([]byte, 1000))
				time.Sleep(stallLimit + time.Second)
				synctest.Wait()
				if _, err := c.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("held %v: after %v without a read: %v, want EOF", held, time.Since(begun), err)
				}
				if logged := b.logged.String(); strings.Contains(logged, "WARN") || !strings.Contains(logged, "disconnected") {
					t.Errorf("logged %s", logged)
				}
			})
		})
	}
}

// A client that is slow, but never stalls, gets its file however long it takes.
func TestSlowClient(t *testing.T) {
	for _, held := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(nil)
			data := pattern(2 << 20)
			b.files[debURL] = gives(data, ledger.FromMirror)
			if held {
				b.files[debURL] = holds(t, data)
			}
			inBubble(t, b, func(c net.Conn) {
				begun := time.Now()
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", debURL)
				resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1000), nil)
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				for err == nil {
					_, err = io.CopyN(&got, resp.Body, 1000)
					time.Sleep(time.Second)
				}
				if err != io.EOF || !bytes.Equal(got.Bytes(), data) {
					t.Errorf("held %v: after %v: %d bytes, %v", held, time.Since(begun), got.Len(), err)
				}
				if time.Since(begun) < 4*stallLimit {
					t.Errorf("took only %v", time.Since(begun))
				}
			})
		})
	}
}

// What a request waits for has no limit here, and the deadline of the answer
// before it on the same connection must not be in force any more.
func TestLongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(nil)
		b.files[debURL] = gives([]byte("x"), ledger.FromMirror)
		b.files[headURL] = func(ctx context.Context) (*fetch.File, error) {
			time.Sleep(2 * stallLimit)
			return gives([]byte("y"), ledger.FromMirror)(ctx)
		}
		inBubble(t, b, func(c net.Conn) {
			r := bufio.NewReader(c)
			for _, url := range []string{debURL, headURL, archiveURL + "dists/x/Release"} {
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", url)
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("%s: %v", url, err)
				}
				io.Copy(io.Discard, resp.Body)
			}
		})
	})
}

// A header that does not arrive is the client's end.
func TestSlowHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inBubble(t, newBox(nil), func(c net.Conn) {
			io.WriteString(c, "GET /healthz HTTP/1.1\r\n")
			begun := time.Now()
			if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(begun) != headerTimeout {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	})
}

// A client that leaves while its file is looked for is no error.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	b := newBox(nil).serve(t)
	asked, told := make(chan struct{}), make(chan error, 1)
	b.files[debURL] = func(ctx context.Context) (*fetch.File, error) {
		close(asked)
		<-ctx.Done()
		told <- context.Cause(ctx)
		return nil, &mirror.UnreachableError{Host: "deb.example.org:80", Err: context.Cause(ctx)}
	}
	c := b.dial(t)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", debURL)
	<-asked
	c.CloseWrite() // to the box the same as Close, and we can look at what comes
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("the look-up ended with %v", err)
	}
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if logged := b.logged.String(); strings.Contains(logged, "level=WARN") || strings.Contains(logged, "level=ERROR") {
		t.Errorf("logged %s", logged)
	}
}

// BenchmarkServe sends a 64 MiB file over loopback.
func BenchmarkServe(b *testing.B) {
	data := pattern(64 << 20)
	for _, source := range []struct {
		name string
		get  func(context.Context) (*fetch.File, error)
	}{{"held", holds(b, data)}, {"downloading", gives(data, ledger.FromMirror)}} {
		b.Run(source.name, func(b *testing.B) {
			box := newBox(nil).serve(b)
			box.files[debURL] = source.get
			client := http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get("http://" + box.addr + "/deb.example.org" + debPath)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
	}
}
