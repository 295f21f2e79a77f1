package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
)

// openingTime bounds what comes before a connection's first request. It is the
// time that the header of a request has.
const openingTime = 20 * time.Second

// Options say what a listener takes.
type Options struct {
	Proxies     Proxies      // may say by PROXY protocol whose a connection is
	Certificate *Certificate // for clients that speak TLS; nil if none may
	Through     Through      // of those that mean another host; nil without
	HTTP2       bool         // whether these may speak HTTP/2
	Shares      *Shares      // have a place for each connection; nil for no limit
	Log         *slog.Logger
}

// Listener returns l with connections that are of those whom the proxies name:
// their RemoteAddr is the client's. A proxy's connection without a header of the
// PROXY protocol is its own, and a header from anyone else is left to be refused
// as no HTTP. With a certificate, a connection that begins as TLS does is a
// *tls.Conn after its handshake; others go on in the clear, as apt's. One that begins
// TLS with a name of o.Through is passed on to that, encrypted as it is. What a
// connection begins with is read apart from the others, so that none waits for
// another one. What connections in the clear can do is what l's can.
//
// The kernel takes no more than maxUnsent bytes for a connection that it cannot send.
//
// Each connection has a place of o.Shares, so that there is always room for one more;
// its server needs ConnContext and ConnState, and its handler Serving.
func Listener(l net.Listener, o Options) net.Listener {
	l = unsent{l}
	if o.Shares != nil {
		l = places{l, o.Shares}
	}
	if len(o.Proxies) == 0 && o.Certificate == nil && o.Through == nil {
		return l
	}
	in := &listener{Listener: l, options: o, limit: openingTime, ready: make(chan net.Conn), failed: make(chan error)}
	if o.Certificate != nil {
		in.tls = o.Certificate.config(o.HTTP2)
	}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	return in
}

type listener struct {
	net.Listener
	options Options
	tls     *tls.Config   // nil without a certificate
	limit   time.Duration // for the opening of a connection

	start  sync.Once
	work   sync.WaitGroup // the loop and the openings; those are bounded as open descriptors are
	ctx    context.Context
	cancel context.CancelFunc
	ready  chan net.Conn
	failed chan error // of the Listener's Accept
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.start.Do(func() { l.work.Go(l.loop) })
	select {
	case conn := <-l.ready:
		return conn, nil
	case err := <-l.failed:
		return nil, err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It closes connections that are not accepted yet.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.cancel()
	l.work.Wait()
	return err
}

// loop accepts until the listener is closed. After an error it waits for
// Accept's caller, who knows when to try again.
func (l *listener) loop() {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.work.Go(func() { l.admit(conn) })
			continue
		}
		select {
		case l.failed <- err:
		case <-l.ctx.Done():
		}
		if errors.Is(err, net.ErrClosed) || l.ctx.Err() != nil {
			return
		}
	}
}

// admit hands a connection to Accept when it is open.
func (l *listener) admit(conn net.Conn) {
	stop := context.AfterFunc(l.ctx, func() { conn.Close() })
	opened, pass, err := l.open(conn)
	if !stop() || err != nil {
		conn.Close()
		return
	}
	if pass != nil {
		go pass() // it outlives the listener, as a tunnel by CONNECT does
		return
	}
	select {
	case l.ready <- opened:
	case <-l.ctx.Done():
		conn.Close()
	}
}

// TCPConn is what net/http and the proxy want of a *net.TCPConn beyond net.Conn:
// sendfile, half-closing, cork, resets. It has no WriteTo, which would pass by what
// was read early. The connections of a Listener have it if those below do.
type TCPConn interface {
	net.Conn
	io.ReaderFrom
	syscall.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// open reads what comes before the first request of a connection. One that is to be
// passed on has pass for that.
func (l *listener) open(raw net.Conn) (opened net.Conn, pass func(), err error) {
	tcp, ok := raw.(TCPConn)
	proxied := l.options.Proxies.has(addrOf(raw.RemoteAddr().String()))
	encrypted := l.tls != nil || l.options.Through != nil
	if !ok || !proxied && !encrypted {
		return raw, nil, nil
	}
	if err := tcp.SetDeadline(time.Now().Add(l.limit)); err != nil {
		return nil, nil, err
	}
	c := &conn{TCPConn: tcp, early: bufio.NewReader(tcp)}
	if proxied {
		if err := c.readHeader(); err != nil {
			level := slog.LevelWarn
			if network := net.Error(nil); errors.As(err, &network) { // a probe, or a connection kept for later
				level = slog.LevelDebug
			}
			l.options.Log.Log(l.ctx, level, "connection from a proxy closed", "proxy", raw.RemoteAddr(), "err", err)
			return nil, nil, err
		}
	}
	opened = c
	if encrypted {
		if opened, pass, err = l.encrypt(c); err != nil {
			// Whoever likes can cause these.
			l.options.Log.Debug("connection closed before a request", "client", c.RemoteAddr(), "err", err)
			return nil, nil, err
		}
	}
	return opened, pass, tcp.SetDeadline(time.Time{})
}

// handshakeRecord is what TLS begins with (RFC 8446, section 5.1), and no request.
const handshakeRecord = 22

// encrypt returns c after its handshake, if it speaks TLS with the box.
func (l *listener) encrypt(c *conn) (_ net.Conn, pass func(), err error) {
	first, err := c.early.Peek(1)
	if err != nil || first[0] != handshakeRecord {
		return c, nil, err
	}
	if through := l.options.Through; through != nil {
		name, hello, err := c.readHello(l.ctx)
		if err != nil {
			return nil, nil, err
		}
		if through.HasName(name, 443) {
			if place := PlaceOf(c); place != nil {
				place.Use(PartyOf(addrOf(c.RemoteAddr().String())))
			}
			return c, func() { through.Pass(c, name, hello) }, nil
		}
		if l.tls == nil {
			return nil, nil, fmt.Errorf("TLS for %.255q, without a certificate for it", name)
		}
	}
	encrypted := tls.Server(c, l.tls)
	return encrypted, nil, encrypted.HandshakeContext(l.ctx)
}

// conn is a connection of which the beginning was read. Its Read is not for
// concurrent use.
type conn struct {
	TCPConn
	again  []byte        // what was read and is to be read once more, before early
	early  *bufio.Reader // nil when it is used up
	client net.Addr      // nil if it is the one that is connected
}

// readHeader reads the header of the PROXY protocol, if there is one.
func (c *conn) readHeader() error {
	h, err := proxyproto.Read(c.early)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a header of the PROXY protocol: %w", err)
	}
	// A proxy's own connections, its health checks, have no address.
	if client, ok := h.SourceAddr.(*net.TCPAddr); ok && !h.Command.IsLocal() {
		c.client = client
		if place := PlaceOf(c.TCPConn); place != nil {
			place.belong(PartyOf(addrOf(client.String())))
		}
	}
	return nil
}

// NetConn is the connection below, as that of a *tls.Conn.
func (c *conn) NetConn() net.Conn { return c.TCPConn }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr {
	if c.client != nil {
		return c.client
	}
	return c.TCPConn.RemoteAddr()
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.again) > 0 {
		n := copy(b, c.again)
		if c.again = c.again[n:]; len(c.again) == 0 {
			c.again = nil // the memory is not for as long as the connection
		}
		return n, nil
	}
	if c.early != nil {
		if c.early.Buffered() > 0 {
			return c.early.Read(b)
		}
		c.early = nil
	}
	return c.TCPConn.Read(b)
}
