package front

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// office is a server with few places.
type office struct {
	net.Listener
	shares  *Shares
	working chan string   // tells of each request that is being answered
	rested  chan struct{} // tells of each connection that is idle after an answer
	release func()        // has them end
}

func newOffice(t *testing.T, places int, o Options) *office {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	e := &office{
		shares: NewShares(places), working: make(chan string, 100), rested: make(chan struct{}, 100),
		release: sync.OnceFunc(func() { close(released) }),
	}
	o.Shares, o.Log = e.shares, slog.New(slog.DiscardHandler)
	e.Listener = Listener(l, o)
	connState := func(c net.Conn, state http.ConnState) {
		ConnState(c, state)
		if state == http.StateIdle {
			e.rested <- struct{}{}
		}
	}
	server := &http.Server{ConnContext: ConnContext, ConnState: connState,
		Handler: o.Proxies.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "some\n")
			if r.URL.Path == "/work" {
				w.(http.Flusher).Flush()
				e.working <- ClientOf(r).String()
				<-released
			}
		}))}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(e.Listener)
	}()
	t.Cleanup(func() {
		e.release()
		server.Close()
		<-served
	})
	return e
}

// dial connects from an address of this machine, and sends something.
func (e *office) dial(t *testing.T, from, send string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, send)
	return c
}

const quick, work = "GET / HTTP/1.1\r\nHost: box\r\n\r\n", "GET /work HTTP/1.1\r\nHost: box\r\n\r\n"

// answered fails unless there is an answer on c.
func answered(t *testing.T, c net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
}

// ended returns how c ended: nil for an orderly end.
func ended(t *testing.T, c net.Conn) error {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatal("a connection is open that was to be cut")
	}
	return err
}

// However many connections one client holds, in whatever state, others get in, and
// those at work are cut last, in a way that is no orderly end.
func TestOneClientTakesNoPlaceOfOthers(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	for name, tt := range map[string]struct {
		options Options
		opening string
	}{
		"silent":              {Options{}, ""},
		"half a header":       {Options{}, "GET / HTTP/1.1\r\nHost:"},
		"idle":                {Options{}, quick},
		"half a handshake":    {Options{Certificate: c}, "\x16\x03\x01\x02\x00\x01"},
		"half a PROXY header": {Options{Proxies: named}, "PROXY TCP4 10."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newOffice(t, 6, tt.options)
			busy := e.dial(t, "127.0.0.1", work)
			<-e.working
			other := e.dial(t, "127.0.0.2", work)
			<-e.working
			var flood []net.Conn
			for range 30 {
				conn := e.dial(t, "127.0.0.1", tt.opening)
				if tt.opening == quick {
					answered(t, conn)
					<-e.rested // the oldest idle one is cut
				}
				flood = append(flood, conn)
			}
			for range 3 {
				answered(t, e.dial(t, "127.0.0.3", quick))
			}
			for _, conn := range flood[:20] {
				_ = ended(t, conn) // reset if something was unread
			}
			e.release()
			for _, conn := range []net.Conn{busy, other} {
				answered(t, conn) // to its end
			}
		})
	}
}

func TestWorkIsCutLast(t *testing.T) {
	t.Parallel()
	e := newOffice(t, 3, Options{})
	var all []net.Conn
	for range 3 {
		all = append(all, e.dial(t, "127.0.0.1", work))
		<-e.working
	}
	answered(t, e.dial(t, "127.0.0.2", quick))
	if err := ended(t, all[0]); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an answer was cut short with %v, want a reset", err)
	}
}

// What a proxy passes on counts for its clients, not for the proxy.
func TestPlacesBehindAProxy(t *testing.T) {
	t.Parallel()
	for name, opening := range map[string]func(client string) string{
		"PROXY protocol": func(client string) string {
			return header(t, 2, proxyproto.PROXY, client+":99") + work
		},
		"a field": func(client string) string {
			return strings.Replace(work, "\r\n\r\n", "\r\nX-Forwarded-For: "+client+"\r\n\r\n", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newOffice(t, 4, Options{Proxies: named})
			small := e.dial(t, "127.0.0.1", opening("10.0.0.2"))
			<-e.working
			var big []net.Conn
			for range 9 {
				big = append(big, e.dial(t, "127.0.0.1", opening("10.0.0.1")))
				<-e.working
			}
			for _, conn := range big[:6] {
				_ = ended(t, conn) // reset if something was unread
			}
			e.release()
			answered(t, small) // to its end
		})
	}
}
