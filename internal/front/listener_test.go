package front

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that answers with whose a request is.
type echo struct {
	net.Listener
	served chan struct{} // closed when the server has ended
}

func newEcho(t *testing.T, o Options) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	e := &echo{Listener(l, o), make(chan struct{})}
	server := &http.Server{Handler: o.Proxies.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, ClientOf(r).String())
	}))}
	go func() {
		defer close(e.served)
		server.Serve(e.Listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-e.served
	})
	return e
}

func (e *echo) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends opening and a request, and returns the answer's status and body,
// "closed" if there is none.
func (e *echo) ask(t *testing.T, opening string, fields string) string {
	t.Helper()
	c := e.dial(t)
	io.WriteString(c, opening+"GET / HTTP/1.1\r\nHost: box\r\n"+fields+"Connection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.Status[:3] + " " + string(b)
}

// header is one of the PROXY protocol.
func header(t testing.TB, version byte, command proxyproto.ProtocolVersionAndCommand, client string) string {
	t.Helper()
	from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(client))
	h := proxyproto.HeaderProxyFromAddrs(version, from, &net.TCPAddr{IP: from.IP, Port: 3142})
	h.Command = command
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	e := newEcho(t, Options{Proxies: named})
	stranger := newEcho(t, Options{Proxies: Proxies{netip.MustParsePrefix("192.0.2.0/24")}})
	off := newEcho(t, Options{})
	v1, v2 := header(t, 1, proxyproto.PROXY, "10.0.0.7:99"), header(t, 2, proxyproto.PROXY, "[fd00::7]:99")
	for _, tt := range []struct {
		name            string
		to              *echo
		opening, fields string
		want            string
	}{
		{"version 1", e, v1, "", "200 10.0.0.7"},
		{"version 2", e, v2, "", "200 fd00::7"},
		{"none", e, "", "", "200 127.0.0.1"},
		{"a probe of the proxy", e, header(t, 2, proxyproto.LOCAL, "10.0.0.7:99"), "", "200 127.0.0.1"},
		{"a client that the proxy does not know", e, "PROXY UNKNOWN\r\n", "", "200 127.0.0.1"},
		{"a client behind it that poses", e, v1, "X-Forwarded-For: 10.0.0.9\r\n", "200 10.0.0.7"},
		{"a proxy behind it", e, header(t, 1, proxyproto.PROXY, "192.0.2.2:99"), "X-Forwarded-For: 10.0.0.9\r\n", "200 10.0.0.9"},
		{"two headers", e, v1 + v1, "", "400"},
		{"nonsense", e, "PROXY TCP4 a b c d\r\n", "", "closed"},
		{"no end", e, "PROXY TCP4 " + strings.Repeat("1", 200), "", "closed"},
		{"version 1 of a stranger", stranger, v1, "", "400"},
		{"version 2 of a stranger", stranger, v2, "", "400"},
		{"a field of a stranger", stranger, "", "X-Forwarded-For: 10.0.0.7\r\n", "200 127.0.0.1"},
		{"without proxies", off, v1, "", "400"},
	} {
		if got := tt.to.ask(t, tt.opening, tt.fields); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A connection that says nothing holds up no other one, and is closed in time;
// so is one that sends half a header.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := Listener(l, Options{Proxies: named, Log: slog.New(slog.DiscardHandler)}).(*listener)
	in.limit = 300 * time.Millisecond
	t.Cleanup(func() { in.Close() })
	silent := make([]net.Conn, 20)
	for i := range silent {
		if silent[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer silent[i].Close()
		io.WriteString(silent[i], header(t, 2, proxyproto.PROXY, "10.0.0.7:99")[:i])
	}
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			io.WriteString(c, "x")
			c.Close()
		}
	}()
	c, err := in.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, c := range silent {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("a connection that says nothing is open: %v", err)
		}
	}
}

// Close closes what is not accepted yet, and ends Accept.
func TestClose(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := Listener(l, Options{Proxies: named, Log: slog.New(slog.DiscardHandler)})
	accepted := make(chan error)
	go func() {
		c, err := in.Accept()
		if err == nil {
			c.Close()
			_, err = in.Accept()
		}
		accepted <- err
	}()
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	talking, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer talking.Close()
	io.WriteString(talking, "x")
	io.Copy(io.Discard, talking) // until it was accepted, after silent
	in.Close()
	if err := <-accepted; err == nil {
		t.Error("Accept goes on")
	}
	silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a connection that was not accepted is open: %v", err)
	}
}

// What the connections of proxies can do is what net/http and package proxy use
// of others: sendfile, half-closing, resets.
func TestConnectionsAreWhole(t *testing.T) {
	t.Parallel()
	var c any = &conn{}
	if _, ok := c.(TCPConn); !ok {
		t.Error("not a TCPConn")
	}
	if _, ok := c.(io.WriterTo); ok {
		t.Error("WriteTo would pass by what was read early")
	}
}

// given is a connection of which only reading is used.
type given struct {
	TCPConn
	io.Reader
}

func (g given) Read(b []byte) (int, error) { return g.Reader.Read(b) }

func (given) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)} }

// FuzzHeader holds that what a connection begins with is either a header of the
// PROXY protocol, which is taken off, or left as it is.
func FuzzHeader(f *testing.F) {
	for _, version := range []byte{1, 2} {
		f.Add([]byte(header(f, version, proxyproto.PROXY, "10.0.0.7:99") + "GET / HTTP/1.1\r\n"))
		f.Add([]byte(header(f, version, proxyproto.PROXY, "[fd00::7]:99") + "\x16\x03\x01"))
	}
	f.Add([]byte(header(f, 2, proxyproto.LOCAL, "10.0.0.7:99")))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		from := given{Reader: bytes.NewReader(b)}
		c := &conn{TCPConn: from, early: bufio.NewReader(from)}
		if err := c.readHeader(); err != nil {
			return
		}
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.HasSuffix(b, rest) {
			t.Fatalf("after %q: %q, %v", b, rest, err)
		}
		taken := b[:len(b)-len(rest)]
		is := bytes.HasPrefix(b, proxyproto.SIGV1) || bytes.HasPrefix(b, proxyproto.SIGV2)
		if is != (len(taken) > 0) || !is && c.client != nil {
			t.Errorf("of %q it took %q, for %v", b, taken, c.client)
		}
		if !addrOf(c.RemoteAddr().String()).IsValid() {
			t.Errorf("%q makes it %v", b, c.RemoteAddr())
		}
	})
}
