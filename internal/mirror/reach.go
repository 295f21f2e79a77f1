package mirror

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"

	"millpond/internal/address"
)

// reach finds out whether anybody can reach the places that one answer came from:
// the host that was asked and those that redirects led to, at the addresses that
// were dialled.
type reach struct {
	mu      sync.Mutex
	known   bool
	private string // why not anybody can reach one of the places
}

// reachKey is the key of a request's reach in its context.
type reachKey struct{}

// note adds a place and why it is private, "" if it is not.
func (r *reach) note(private string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = true
	if r.private == "" {
		r.private = private
	}
}

// why is Response.Private.
func (r *reach) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known {
		return "the address that was dialled is not known"
	}
	return r.private
}

// noteReach returns the context for sending req to its host, which notes where it
// leads. Behind an upstream proxy a public name may be that of a private address,
// as the names of a company's own servers often are: only the proxy knows.
func (c *Client) noteReach(ctx context.Context, req *http.Request, host string, port int) context.Context {
	r, ok := ctx.Value(reachKey{}).(*reach)
	if !ok {
		return ctx
	}
	if req.Header.Get("Authorization") != "" {
		r.note("a login was sent")
	}
	if c.leadsThrough(req.URL) {
		r.note("the address behind " + upstreamProxy + " is not known")
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		r.note(c.rulingFor(ctx).private(host, port, i.Conn.RemoteAddr()))
	}})
}

// private says why what comes from port of host, at that address, is not for
// everybody, "" if anybody can fetch it there: the address is none of the public
// Internet, or a setting was needed to ask there. That MILLPOND_MIRRORS names a
// host says nothing by itself.
func (r ruling) private(host string, port int, at net.Addr) string {
	ap, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return "the address that was dialled is not known"
	}
	addr := address.Plain(ap.Addr())
	byAddr := r.set.hasAddr(addr, port)
	for _, to := range address.Destinations(addr) {
		if what := address.NotPublic(to); what != "" {
			return fmt.Sprintf("%v is %s", addr, what)
		}
		byAddr = byAddr || r.set.hasAddr(to, port)
	}
	switch {
	case byAddr, r.set.hasName(host, port):
		return setting + " has it"
	case !standard(port):
		return fmt.Sprintf("port %d is neither 80 nor 443", port)
	}
	return ""
}
