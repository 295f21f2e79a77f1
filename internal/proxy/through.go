package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/front"
)

var _ front.Through = (*Proxy)(nil)

// Pass implements front.Through: the connection is a tunnel to name:443, as if the
// client had asked for it by CONNECT. A client that may not have it is closed: what
// would be said to it is said in the log.
func (p *Proxy) Pass(conn net.Conn, name string, hello []byte) {
	defer conn.Close()
	hostport := net.JoinHostPort(name, "443")
	r := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Host: hostport}, Host: hostport, RequestURI: hostport,
		Header: make(http.Header), RemoteAddr: conn.RemoteAddr().String(),
	}
	w := &response{stall: p.stall}
	begun := time.Now()
	defer func() { p.record(w, r, begun) }()
	if err := p.pass(w, r, conn, hello); err != nil {
		p.failPass(w, r, err)
	}
}

func (p *Proxy) pass(w *response, r *http.Request, conn net.Conn, hello []byte) error {
	client := front.ClientOf(r)
	if !p.allowClients.Admit(client) {
		return &clientError{client}
	}
	p.underWay.Add(1)
	defer p.underWay.Add(-1)
	leave, ok := p.hellos.enter(digest.Of(hello))
	if !ok {
		return errNameLoop
	}
	defer leave()
	return p.carry(w, r, client, "", func() (net.Conn, io.Reader, error) { return conn, conn, nil })
}

// failPass is fail for a connection on which nothing can be said.
func (p *Proxy) failPass(w *response, r *http.Request, err error) {
	a := explain(err)
	w.status, w.outcome.url, w.outcome.what = a.status, r.Host, outcomeOfStatus(a.status)
	p.log.Log(context.Background(), a.level, "connection to a host not passed on", "client", front.ClientOf(r), "host", r.Host, "setting", a.setting, "err", err)
	p.noteFailure(r, err, a.status, a.cause)
}

// hellos are the first messages of the connections that are passed on now. One that
// comes a second time is the first one's own, which came back: a client puts a new
// random number into each (RFC 8446, section 4.1.2). There are at most as many as
// connections.
type hellos struct {
	mu   sync.Mutex
	open map[digest.Digest]struct{} // guarded by mu
}

func (h *hellos) enter(d digest.Digest) (leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, open := h.open[d]; open {
		return nil, false
	}
	if h.open == nil {
		h.open = make(map[digest.Digest]struct{})
	}
	h.open[d] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.open, d)
	}, true
}
