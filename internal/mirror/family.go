package mirror

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// silentAfter is how long a host may be silent on an IPv6 connection before
	// IPv4 is tried beside it: paths exist that let small packets through and drop
	// full ones. It is less than TLS may take, and more than most answers do; a
	// host that is merely slow gets a second request.
	silentAfter = 8 * time.Second
	// without6 is how long a host whose IPv6 was silent is asked by IPv4.
	without6 = 10 * time.Minute
)

// send sends req through the upstream proxy, if its host is reached so, else by IPv4
// where a host has connected by IPv6 and gone silent. by6 says that the answer comes
// by IPv6.
func (c *Client) send(ctx context.Context, hostport string, req *http.Request) (resp *http.Response, by6 bool, err error) {
	if c.leadsThrough(req.URL) { // the proxy chooses the family
		resp, err := c.proxied.transport(req.URL).RoundTrip(req.WithContext(ctx))
		return resp, false, err
	}
	if c.silent6.has(hostport) {
		resp, err := c.poolFor(ctx).only4.RoundTrip(req.WithContext(ctx))
		if err == nil || ctx.Err() != nil {
			return resp, false, err
		}
		c.silent6.drop(hostport) // it may have no IPv4
	}
	r := race{c: c, req: req, second: make(chan *http.Response, 1)}
	resp, err = r.run(ctx)
	switch {
	case err != nil:
		return nil, false, err
	case resp != r.first:
		c.silent6.note(hostport)
		c.log.Info("a mirror's IPv6 is silent, IPv4 is used for a while", "host", hostport)
		return resp, false, nil
	}
	return resp, r.by6.Load(), nil
}

// race is a request by either family and, if that is IPv6 and silent, by IPv4.
type race struct {
	c      *Client
	req    *http.Request
	by6    atomic.Bool // a connection by IPv6 has been made
	won    atomic.Bool // by one of the requests
	first  *http.Response
	second chan *http.Response // nil if it did not win
	// cancel2 ends the second request; if that wins, the end of ctx does.
	cancel2 context.CancelFunc
}

// run returns the answer that came first. ctx must last as long as its body.
func (r *race) run(ctx context.Context) (*http.Response, error) {
	ctx1, cancel1 := context.WithCancel(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, address string, err error) {
			if at, bad := netip.ParseAddrPort(address); err == nil && bad == nil && isIPv6(at.Addr()) {
				r.by6.Store(true)
			}
		},
		GotConn: func(i httptrace.GotConnInfo) { r.by6.Store(connectedBy6(i.Conn)) },
	}))
	var ctx2 context.Context
	ctx2, r.cancel2 = context.WithCancel(ctx)
	timer := time.AfterFunc(silentAfter, func() { r.try4(ctx2, cancel1) })
	resp, err := r.c.poolFor(ctx).any.RoundTrip(r.req.WithContext(ctx1))
	r.first = resp
	if timer.Stop() {
		r.cancel2()
		return resp, err
	}
	if err == nil && r.won.CompareAndSwap(false, true) {
		r.cancel2()
		return resp, nil
	}
	if err == nil {
		resp.Body.Close()
	}
	if other := <-r.second; other != nil {
		return other, nil
	}
	r.cancel2()
	return nil, err
}

// try4 sends the second request, and ends the first if that is answered.
func (r *race) try4(ctx context.Context, cancel1 context.CancelFunc) {
	if !r.by6.Load() {
		r.second <- nil
		return
	}
	resp, err := r.c.poolFor(ctx).only4.RoundTrip(r.req.WithContext(ctx))
	switch {
	case err != nil:
		resp = nil
	case !r.won.CompareAndSwap(false, true):
		resp.Body.Close()
		resp = nil
	default:
		cancel1()
	}
	r.second <- resp
}

func connectedBy6(conn net.Conn) bool {
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err == nil && isIPv6(at.Addr())
}

func isIPv6(a netip.Addr) bool { return a.Unmap().Is6() }

// silent6 remembers hosts whose IPv6 was silent; at most maxDown.
type silent6 struct {
	mu    sync.Mutex
	until map[string]time.Time // by host:port; guarded by mu
}

func (s *silent6) has(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.until[host])
}

func (s *silent6) note(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) >= maxDown { // those forgotten cost a wait
		s.until = make(map[string]time.Time)
	}
	s.until[host] = time.Now().Add(without6)
}

func (s *silent6) drop(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, host)
}
