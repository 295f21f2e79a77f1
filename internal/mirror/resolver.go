package mirror

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"millpond/internal/address"
)

// resolverSetting is the variable that a Resolver is read from.
const resolverSetting = "MILLPOND_RESOLVER"

// maxResolvers is as many DNS servers as resolv.conf takes (resolv.conf(5)).
const maxResolvers = 3

// Resolver is the DNS servers that resolve the names of mirrors, where the machine's
// own lead them to this box. The zero value is the machine's own.
type Resolver struct{ servers []netip.AddrPort }

// ParseResolver reads the entries of MILLPOND_RESOLVER: addresses, each with a port if
// that is not 53. They have no names: nothing else resolves those.
func ParseResolver(entries []string) (Resolver, error) {
	var r Resolver
	for _, entry := range entries {
		server, err := parseServer(entry)
		switch {
		case err != nil:
			return Resolver{}, fmt.Errorf("%.80q: %w", entry, err)
		case slices.Contains(r.servers, server):
			return Resolver{}, fmt.Errorf("%.80q is there twice", entry)
		}
		r.servers = append(r.servers, server)
	}
	if len(r.servers) > maxResolvers {
		return Resolver{}, fmt.Errorf("%d DNS servers; %d are enough", len(r.servers), maxResolvers)
	}
	return r, nil
}

func parseServer(entry string) (netip.AddrPort, error) {
	const want = "want the address of a DNS server, such as 192.0.2.53, with its port if that is not 53 ([2001:db8::53]:5353 with IPv6)"
	host, port, err := splitPort(entry)
	if err != nil {
		return netip.AddrPort{}, errors.New(want)
	}
	if port == 0 {
		port = 53
	}
	at, err := netip.ParseAddr(host)
	if err != nil || at.IsUnspecified() || at.IsMulticast() {
		return netip.AddrPort{}, errors.New(want)
	}
	return netip.AddrPortFrom(at.Unmap(), uint16(port)), nil
}

// IsSet reports whether there are servers.
func (r Resolver) IsSet() bool { return len(r.servers) > 0 }

// String is the servers as an administrator would write them.
func (r Resolver) String() string {
	all := make([]string, 0, len(r.servers))
	for _, s := range r.servers {
		if s.Port() == 53 {
			all = append(all, s.Addr().String())
		} else {
			all = append(all, s.String())
		}
	}
	return strings.Join(all, ",")
}

// names resolves by a Resolver. One server is asked as long as it answers, then the
// next one.
type names struct {
	Resolver
	current atomic.Uint32 // index of a server, modulo their number
}

// newNames returns nil if r is the machine's own.
func newNames(r Resolver) *names {
	if !r.IsSet() {
		return nil
	}
	return &names{Resolver: r}
}

// resolver asks the servers in place of those of resolv.conf.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		i := n.current.Load()
		failed := func() { n.current.CompareAndSwap(i, i+1) }
		conn, err := dialServer(ctx, network, n.servers[int(i)%len(n.servers)].String())
		if err != nil {
			failed()
			return nil, err
		}
		if packets, ok := conn.(*net.UDPConn); ok { // net tells by the type how to speak
			return &datagrams{packets, failed}, nil
		}
		return conn, nil
	}}
}

// datagrams is a conversation with a DNS server.
type datagrams struct {
	*net.UDPConn
	failed func() // called when no answer comes
}

// Read implements net.Conn.
func (d *datagrams) Read(b []byte) (int, error) {
	n, err := d.UDPConn.Read(b)
	if err != nil {
		d.failed()
	}
	return n, err
}

// whole is a name that no search domain of the machine completes: they are for the
// machine's own DNS servers, and would be told to others. A name of one label is left
// to them.
func whole(host string) string {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".") {
		return host
	}
	return host + "."
}

// checkLoop refuses an address at which this box itself listens: a request there
// would come back.
func (f *addressFilter) checkLoop(at netip.AddrPort) error {
	at = netip.AddrPortFrom(address.Plain(at.Addr()), at.Port())
	if f.self == nil || !f.self(at) {
		return nil
	}
	if _, err := netip.ParseAddr(f.host); err == nil {
		return &RefusedError{Host: f.host, Addr: at.Addr().String(), Reason: fmt.Sprintf("%v is this box itself", at), Loop: true}
	}
	reason := fmt.Sprintf("%.100s leads back to this box, %v: %s has to name a DNS server that has its real address", f.host, at, resolverSetting)
	if f.names != nil {
		reason = fmt.Sprintf("%.100s leads back to this box, %v, by %s=%v too: that has to name a DNS server that has its real address", f.host, at, resolverSetting, f.names)
	}
	return &RefusedError{Host: f.host, Addr: at.Addr().String(), Reason: reason, Setting: resolverSetting, Loop: true}
}
