package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"millpond/internal/front"
)

// maxAhead is how many requests of a connection may wait to be anticipated.
// apt sends ten ahead (its Acquire::http::Pipeline-Depth).
const maxAhead = 10

// Listener returns l for p's server. apt sends several requests without
// waiting for answers, of which net/http looks at one when it has served the
// one before. The listener's connections look at the others as they are read,
// and their files are fetched meanwhile. A connection that is not TCP is left
// as it is.
func (p *Proxy) Listener(l net.Listener) net.Listener { return listener{l, p} }

type listener struct {
	net.Listener
	proxy *Proxy
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(front.TCPConn); ok {
		return &pipelineConn{TCPConn: tcp, proxy: l.proxy}, nil
	}
	return conn, nil
}

// pipelineConn is a client's connection that anticipates. Its Read is not for
// concurrent use.
type pipelineConn struct {
	front.TCPConn
	proxy   *Proxy
	memory  connection
	scanner scanner
	more    bool // there is more behind what is written next

	worker sync.WaitGroup // the goroutine that takes from queue
	mu     sync.Mutex     // guards all below but half
	queue  chan []byte    // of headers; nil until there is one
	cancel context.CancelFunc
	closed bool
	half   halfClose

	passed func(n int64) // told of what leaves of a file, while there is one; else nil

	repeater  *repeater // nil until a plain request came between two others
	answered  int       // requests that net/http has answered
	repeated  bool      // an answer was
	kept      []byte    // the first bytes of a request, read while or after another one was answered
	answering bool      // by the repeater; guarded by mu
	leaving   bool      // Close was called meanwhile; guarded by mu
}

// NetConn is the connection below, as that of a *tls.Conn.
func (c *pipelineConn) NetConn() net.Conn { return c.TCPConn }

// Read implements net.Conn.
func (c *pipelineConn) Read(b []byte) (int, error) {
	switch {
	case len(b) > 1 && c.isBetween(): // one byte is read while an answer is waited for
		return c.readBetween(b)
	case len(c.kept) > 0:
		n := copy(b, c.kept)
		c.kept = c.kept[n:]
		c.scanner.scan(b[:n], c.enqueue)
		return n, nil
	}
	n, err := c.TCPConn.Read(b)
	switch {
	case n == 0 && err == io.EOF && len(b) == 1:
		return 0, c.half.wait()
	case n == 1 && len(b) == 1 && c.isLast():
		c.kept = append(c.kept[:0], b[0])
		return 0, c.half.waitUntil(nil)
	}
	c.scanner.scan(b[:n], c.enqueue)
	return n, err
}

// Write implements net.Conn.
func (c *pipelineConn) Write(b []byte) (int, error) {
	if c.more && c.memory.raw != nil {
		n, err := writeMore(c.memory.raw, b)
		if !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		}
	}
	return c.TCPConn.Write(b)
}

// Close implements net.Conn. When it returns nothing is anticipated any more. While an
// answer is being repeated it only has the connection closed after that.
func (c *pipelineConn) Close() error {
	if c.leave() {
		return nil
	}
	defer c.hasLeft()
	err := c.TCPConn.Close()
	c.half.end()
	c.mu.Lock()
	c.closed = true
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.worker.Wait()
	return err
}

// enqueue has a request anticipated, unless too many are waiting.
func (c *pipelineConn) enqueue(header []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.queue == nil {
		var ctx context.Context
		ctx, c.cancel = context.WithCancel(context.Background())
		queue := make(chan []byte, maxAhead)
		c.queue = queue
		c.worker.Go(func() { c.work(ctx, queue) })
	}
	select {
	case c.queue <- bytes.Clone(header):
	default:
	}
}

// work anticipates what is in queue until ctx ends.
func (c *pipelineConn) work(ctx context.Context, queue <-chan []byte) {
	// As in the contexts of the requests that net/http makes.
	values := context.WithValue(ctx, connectionKey{}, &c.memory)
	values = context.WithValue(values, http.LocalAddrContextKey, c.LocalAddr())
	for ctx.Err() == nil {
		select {
		case header := <-queue:
			c.proxy.anticipate(values, header, c.RemoteAddr().String())
		case <-ctx.Done():
		}
	}
}

// anticipate has a file fetched, if a request asks for one that archive would
// serve. Errors, logs and the ledger are left to the request itself when its
// turn comes.
func (p *Proxy) anticipate(ctx context.Context, header []byte, remoteAddr string) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return
	}
	r = r.WithContext(ctx)
	r.RemoteAddr = remoteAddr
	r = p.identify(r)
	client, t := front.ClientOf(r), p.targetOf(r)
	if !p.allowClients.Admit(client) || t.route != toArchive || p.looped(r) {
		return
	}
	q, err := p.request(r, t, client)
	if own, ok := p.ownArchive(r, t, q.Location, err); ok {
		q, err = p.request(r, own, client)
	}
	if err != nil {
		return
	}
	p.fetcher.Anticipate(q)
}
