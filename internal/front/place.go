package front

import (
	"context"
	"io"
	"net"
	"net/http"
)

// places is a listener of which each connection has a place. One that is cut is
// closed.
type places struct {
	net.Listener
	shares *Shares
}

// Accept implements net.Listener.
func (l places) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := raw.(TCPConn)
	if !ok {
		return raw, nil
	}
	place := l.shares.Take(PartyOf(addrOf(raw.RemoteAddr().String())), func(busy bool) {
		if busy { // an orderly end could be taken for that of a file
			tcp.SetLinger(0)
		}
		tcp.Close()
	})
	return &placed{TCPConn: tcp, place: place}, nil
}

// placed is a connection with a place.
type placed struct {
	TCPConn
	place *Place
}

// Read implements net.Conn.
func (c *placed) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.progress(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *placed) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.progress(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (c *placed) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(r)
	c.progress(n)
	return n, err
}

func (c *placed) progress(n int64) {
	if n > 0 {
		c.place.Progress()
	}
}

// Close implements net.Conn.
func (c *placed) Close() error {
	c.place.Leave()
	return c.TCPConn.Close()
}

// PlaceOf is the place of a connection that stands on one of a Listener, nil if it
// stands on none.
func PlaceOf(conn net.Conn) *Place {
	for {
		switch c := conn.(type) {
		case *placed:
			return c.place
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

type placeKey struct{}

// ConnContext lets Serving find the place of a connection. It is for http.Server's
// field of that name, as ConnState is.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, placeKey{}, PlaceOf(conn))
}

// ConnState makes the place of a connection idle when an answer has been written.
func ConnState(conn net.Conn, state http.ConnState) {
	if place := PlaceOf(conn); place != nil && state == http.StateIdle {
		place.Rest()
	}
}

// Serving makes the place of a request's connection busy, for the request's client.
// While idle, a proxy's is the proxy's.
func Serving(r *http.Request) {
	if place, _ := r.Context().Value(placeKey{}).(*Place); place != nil {
		place.Use(PartyOf(ClientOf(r)))
	}
}
