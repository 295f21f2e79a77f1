package mirror

import "net/netip"

// special lists address blocks that lead into the site, the machine or nowhere:
// those of the IANA special-purpose address registries (RFC 6890) that are not
// globally reachable, and multicast. The blocks for documentation and
// benchmarks are left out: nothing of a site lives there, and laboratories put
// their mirrors into them. Of nested blocks the narrower stands first.
var special = []struct {
	block netip.Prefix
	what  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address (RFC 1122)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a shared address of a provider's NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.169.254/32"), "the metadata service of a cloud"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address (RFC 6890)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address (RFC 1918)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address (RFC 1112)"},

	{netip.MustParsePrefix("::/128"), "the unspecified address"},
	{netip.MustParsePrefix("::1/128"), "the loopback address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address (RFC 2928), as those of Teredo are"},
	{netip.MustParsePrefix("fc00::/7"), "a unique local address (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address (RFC 4291)"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

var (
	// globalUnicast is all that has been given out of IPv6 so far (RFC 3513).
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 and sixToFour carry an IPv4 address: RFC 6052 in the last 32 bits,
	// RFC 3056 after the first 16.
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// plain drops the zone, which would keep a from lying in any Prefix, and the
// IPv6 form of an IPv4 address.
func plain(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }

// destination returns the IPv4 address that a packet to a ends up at, if a
// gateway derives it from a; else a. a is plain.
func destination(a netip.Addr) netip.Addr {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// unfit says what a is if it is not a destination on the public Internet, and
// nothing if it is one. a is plain.
func unfit(a netip.Addr) string {
	to := destination(a)
	for _, s := range special {
		if s.block.Contains(to) {
			return s.what
		}
	}
	if to.Is6() && !globalUnicast.Contains(to) {
		return "an address of no public network"
	}
	return ""
}
