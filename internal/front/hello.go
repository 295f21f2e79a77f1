package front

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// Through passes connections on to where their clients mean to go; *proxy.Proxy.
type Through interface {
	// HasName reports whether a name leads to the box though it is another host's, at
	// that port of it.
	HasName(name string, port int) bool
	// Pass serves a connection of a client that wants TLS with the host of a name at
	// port 443, and closes it. The client has sent hello, which conn gives once more.
	Pass(conn net.Conn, name string, hello []byte)
}

// maxHello bounds a ClientHello, in bytes. Those of clients with keys that withstand
// quantum computers have about 2000.
const maxHello = 32 << 10

// errHelloRead ends a handshake at its first message.
var errHelloRead = errors.New("the ClientHello is read")

// readHello reads the ClientHello of a connection, and returns the name in it, "" if it
// has none. c gives the same bytes again.
func (c *conn) readHello(ctx context.Context) (name string, hello []byte, err error) {
	r := &recorder{Conn: c}
	if err = tls.Server(r, readsHello).HandshakeContext(ctx); !errors.Is(err, errHelloRead) {
		return "", nil, err
	}
	c.again = r.read
	return r.name, helloIn(r.read), nil
}

// readsHello ends a handshake at the ClientHello, and has its recorder keep the name.
var readsHello = &tls.Config{
	SessionTicketsDisabled: true,
	GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		i.Conn.(*recorder).name = i.ServerName
		return nil, errHelloRead
	},
}

// helloIn is the beginning of b, up to the end of the record of TLS in which its
// ClientHello ends (RFC 8446, sections 4 and 5.1). A client may spread that over records
// as it likes: the first one may end before anything that tells one client from another.
func helloIn(b []byte) []byte {
	const recordHeader, messageHeader = 5, 4
	var message []byte
	for at := 0; len(b)-at >= recordHeader; {
		end := min(len(b), at+recordHeader+(int(b[at+3])<<8|int(b[at+4])))
		message = append(message, b[at+recordHeader:end]...)
		if len(message) >= messageHeader && len(message)-messageHeader >= int(message[1])<<16|int(message[2])<<8|int(message[3]) {
			return b[:end]
		}
		at = end
	}
	return b
}

// recorder keeps what is read of a connection, and sends nothing.
type recorder struct {
	net.Conn
	read []byte
	name string
}

var errLongHello = errors.New("a ClientHello without end")

// Read implements net.Conn.
func (r *recorder) Read(b []byte) (int, error) {
	if len(r.read) >= maxHello {
		return 0, errLongHello
	}
	n, err := r.Conn.Read(b[:min(len(b), maxHello-len(r.read))])
	r.read = append(r.read, b[:n]...)
	return n, err
}

// Write implements net.Conn: the alert that ends the handshake is not for the client.
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
