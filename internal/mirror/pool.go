package mirror

import (
	"context"
	"net"
	"net/http"
)

// pool is the connections that were opened under one value of the policy's lists. Requests
// under other lists do not use them: of a host by name, the address is looked at when it is
// dialled.
type pool struct {
	lists *lists
	any   *http.Transport // by IPv6 or IPv4
	only4 *http.Transport
}

func (c *Client) newPool(l *lists) *pool {
	return &pool{lists: l, any: c.newTransport(c.connect), only4: c.newTransport(func(ctx context.Context, _, hostport string) (net.Conn, error) {
		return c.connect(ctx, "tcp4", hostport)
	})}
}

// newFormerPool is for requests that began under lists which are no longer in force. Each
// has a connection of its own.
func (c *Client) newFormerPool() *pool {
	p := c.newPool(nil)
	p.any.DisableKeepAlives, p.only4.DisableKeepAlives = true, true
	return p
}

// close closes connections that are idle, and has those in use closed once they are.
func (p *pool) close() {
	p.any.CloseIdleConnections()
	p.only4.CloseIdleConnections()
}

// poolFor returns the pool for a request under ctx, a new one if the lists have changed.
func (c *Client) poolFor(ctx context.Context) *pool {
	for {
		inForce := c.policy.now().lists
		if c.rulingFor(ctx).lists != inForce {
			return c.former
		}
		p := c.pool.Load()
		if p.lists == inForce {
			return p
		}
		if c.pool.CompareAndSwap(p, c.newPool(inForce)) {
			p.close()
		}
	}
}
