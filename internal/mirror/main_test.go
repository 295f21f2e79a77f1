package mirror

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A client that followed it would reach nothing by name.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Setenv(name, "http://proxy.example.net:3128")
	}
	goleak.VerifyTestMain(m)
}

// newLoopback starts a server on 127.0.0.1 and a client that may reach it.
func newLoopback(t *testing.T, h http.HandlerFunc, o Options) (*httptest.Server, *Client) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	if o.Policy == nil {
		o.Policy = mustPolicy(t, "127.0.0.1")
	}
	c := New(o)
	t.Cleanup(func() { c.Close() })
	return srv, c
}

func mustPolicy(t *testing.T, allow ...string) *Policy {
	t.Helper()
	p, err := ParsePolicy(allow)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newPiped starts a server behind net.Pipe, for use in a synctest bubble. The
// client reaches it under every name.
func newPiped(t *testing.T, h http.HandlerFunc, o Options) *Client {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	var handlers sync.WaitGroup
	handlers.Add(1) // so that Wait is not concurrent with a first Add
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h(w, r)
	})}
	go srv.Serve(l)
	c := New(o)
	c.pool.Load().any.DialContext = l.dial
	t.Cleanup(func() {
		c.Close()
		srv.Close()
		handlers.Done()
		handlers.Wait() // one may be asleep, and time ends with the test
	})
	return c
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// nameServer answers every question with the next of its lists of addresses,
// the last one again and again.
type nameServer struct {
	mu      sync.Mutex
	answers [][]netip.Addr
	asked   int // questions for IPv4
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go s.serve(far)
		return near, nil
	}}
}

// serve speaks DNS over a stream (RFC 1035, section 4.2.2).
func (s *nameServer) serve(c net.Conn) {
	defer c.Close()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(head))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := s.answer(q)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

func (s *nameServer) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += 1 + int(q[end])
	}
	end += 5
	typ := binary.BigEndian.Uint16(q[end-4:])
	s.mu.Lock()
	addrs := s.answers[min(s.asked, len(s.answers)-1)]
	if typ == 1 {
		s.asked++
	}
	s.mu.Unlock()
	var records []byte
	n := 0
	for _, a := range addrs {
		if want := map[bool]uint16{true: 1, false: 28}[a.Is4()]; want != typ {
			continue
		}
		n++
		records = append(records, 0xc0, 12) // the name of the question
		records = binary.BigEndian.AppendUint16(records, typ)
		records = append(records, 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8)) // class IN, TTL 0
		records = append(records, a.AsSlice()...)
	}
	// The ID, flags of a recursive answer, one question, n answers.
	head := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(n)}, 0, 0, 0, 0)
	return append(append(head, q[12:end]...), records...)
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}
