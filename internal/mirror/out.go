package mirror

import (
	"context"
	"net"
	"net/netip"
)

// Whatever this package sends, to mirrors, upstream proxies and DNS servers, leaves through
// this file (TestOneWayOut).

// mayLeave is where MILLPOND_OFFLINE counts: every request, connection and lookup asks it,
// and nothing else looks at the setting.
func (c *Client) mayLeave() error {
	if c.offline {
		return ErrOffline
	}
	return nil
}

// dial opens a connection to a mirror or to the upstream proxy.
func (c *Client) dial(ctx context.Context, d net.Dialer, network, hostport string) (net.Conn, error) {
	if err := c.mayLeave(); err != nil {
		return nil, err
	}
	return d.DialContext(ctx, network, hostport)
}

// lookUp resolves the name of a mirror.
func (c *Client) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := c.mayLeave(); err != nil {
		return nil, err
	}
	resolver, name := c.resolverFor(host)
	return resolver.LookupNetIP(ctx, "ip", name)
}

// dialServer opens a connection to a DNS server, for dial and lookUp.
func dialServer(ctx context.Context, network, server string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, server)
}
