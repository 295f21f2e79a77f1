package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// CheckLookup looks a name up as for a download by http, and connects to nothing. The error
// says why none could be made: an address of the name is this box's own (a *RefusedError),
// or the DNS servers do not answer. That nobody has the name is no error.
func (c *Client) CheckLookup(ctx context.Context, host string) error {
	if c.offline || c.policy.upstream.leadsTo(host, 80) {
		return nil
	}
	resolver, servers := cmp.Or(c.resolver, net.DefaultResolver), "this machine's DNS servers"
	if c.names != nil {
		resolver, servers = c.names.resolver(), "the DNS servers "+c.names.String()
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", whole(host))
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return nil
	}
	if err != nil {
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
