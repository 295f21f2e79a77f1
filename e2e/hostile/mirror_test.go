package hostile

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
)

const (
	// distance is the round trip to the mirror, that to another town.
	distance = 20 * time.Millisecond
	// line is what the mirror sends on a connection, in bytes per second: 100 Mbit/s
	// with a little for others.
	line = 10e6
)

// mirror is a mirror that is far away. tc has no delay in all kernels, so that the
// round trips are waited for here.
type mirror struct {
	*aptest.Mirror
	base string // http://host:port
}

func newMirror(tb testing.TB, ip string, g *aptest.Generation) *mirror {
	tb.Helper()
	m := &mirror{Mirror: aptest.NewMirror(tb, aptest.MirrorOptions{})}
	m.Publish("/debian", g)
	m.Inject("*/pool/*", aptest.Slow(line))
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		tb.Fatal(err)
	}
	m.base = "http://" + l.Addr().String()
	server := &http.Server{Handler: m.Mirror}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(far{l}) }) // until it is closed
	tb.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return m
}

// far is a listener with connections that take round trips.
type far struct{ net.Listener }

func (l far) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &farConn{Conn: c, wait: 2 * distance}, nil
}

// farConn has the first bytes after a pause, and so each request, arrive a round trip
// later; the first one another round trip later, that of TCP's handshake.
type farConn struct {
	net.Conn
	mu   sync.Mutex // guards wait
	wait time.Duration
}

func (c *farConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.mu.Lock()
		wait := c.wait
		c.wait = 0
		c.mu.Unlock()
		time.Sleep(wait)
	}
	return n, err
}

func (c *farConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.wait = distance
	c.mu.Unlock()
	return c.Conn.Write(b)
}
