package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// resolverFor returns what resolves the host of a mirror, and the name to ask it for.
func (c *Client) resolverFor(host string) (r *net.Resolver, name string) {
	if c.names != nil {
		return c.names.resolver(), whole(host)
	}
	return cmp.Or(c.resolver, net.DefaultResolver), host
}

// CheckLookup looks a name up as for a download by http, and connects to nothing. The error
// says why none could be made: an address of the name is this box's own (a *RefusedError),
// or the DNS servers do not answer. That nobody has the name is no error.
func (c *Client) CheckLookup(ctx context.Context, host string) error {
	if c.mayLeave() != nil || c.policy.upstream.leadsTo(host, 80) {
		return nil
	}
	addrs, err := c.lookUp(ctx, host)
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return nil
	}
	if err != nil {
		servers := "this machine's DNS servers"
		if c.names != nil {
			servers = "the DNS servers " + c.names.String()
		}
		return fmt.Errorf("%s (%s) do not answer for %.100s: %w", servers, resolverSetting, host, err)
	}
	f := addressFilter{self: c.self, names: c.names, host: host}
	for _, addr := range addrs {
		if err := f.checkLoop(netip.AddrPortFrom(addr, 80)); err != nil {
			return err
		}
	}
	return nil
}
