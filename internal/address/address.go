// Package address says where an IP address leads: to the public Internet, or into
// the site, the machine or nowhere. The destinations of mirrors and of boxes are
// judged by it alike.
//
// A gateway may translate an address (NAT64, 6to4): Destinations are those at
// which its packets end up, and each has to be judged.
package address

import (
	"net/netip"
	"slices"
)

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
	// nat64, localNAT64 and sixToFour carry an IPv4 address: RFC 6052 in the last
	// 32 bits, RFC 8215 in any place of RFC 6052, RFC 3056 after the first 16.
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

// Plain drops the zone, which would keep a from lying in any Prefix, and the
// IPv6 form of an IPv4 address.
func Plain(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }

// Destinations returns the IPv4 addresses at one of which a packet to a ends up, if
// a gateway derives it from a; else a. a is plain.
func Destinations(a netip.Addr) []netip.Addr {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[12:16]))}
	case localNAT64.Contains(a):
		return readings(b)
	case sixToFour.Contains(a):
		return []netip.Addr{netip.AddrFrom4([4]byte(b[2:6]))}
	}
	return []netip.Addr{a}
}

// readings returns the IPv4 addresses that an address of a site's own NAT64 may
// stand for: how long the site's prefix is, 48, 56, 64 or 96 bits, only the site
// knows (RFC 6052, section 2.2). A gateway looks at no other bits than those of its
// own format, so all formats count, whatever the others are. No gateway forwards
// to 0.0.0.0/8, which the zeros of another format look like.
func readings(b [16]byte) []netip.Addr {
	var all []netip.Addr
	for _, v4 := range [][4]byte{
		{b[6], b[7], b[9], b[10]},
		{b[7], b[9], b[10], b[11]},
		{b[9], b[10], b[11], b[12]},
		{b[12], b[13], b[14], b[15]},
	} {
		if v4[0] != 0 {
			all = append(all, netip.AddrFrom4(v4))
		}
	}
	if len(all) == 0 {
		return []netip.Addr{netip.IPv4Unspecified()}
	}
	return all
}

// Site are the addresses of the machines of a site, and of this one: who may use the
// box by default, and whom the swarm does not limit by address.
var Site = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), // RFC 1918
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),  // carriers', overlay and pod networks (RFC 6598)
	netip.MustParsePrefix("169.254.0.0/16"), // link-local (RFC 3927)
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"),  // RFC 4193
	netip.MustParsePrefix("fe80::/10"), // RFC 4291
	netip.MustParsePrefix("::1/128"),
}

// OfSite reports whether a, which is plain, is an address of Site.
func OfSite(a netip.Addr) bool {
	return slices.ContainsFunc(Site, func(p netip.Prefix) bool { return p.Contains(a) })
}

// laboratory lists the blocks for documentation and benchmarks (RFC 5737, 2544, 3849,
// 9637): no destination of the public Internet, and not special either.
var laboratory = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
}

// NotPublic is Unfit, and says so of laboratory too: a box may be led there, but
// nobody else can follow.
func NotPublic(to netip.Addr) string {
	for _, block := range laboratory {
		if block.Contains(to) {
			return "an address for documentation or tests (RFC 6890)"
		}
	}
	return Unfit(to)
}

// IsPublic reports whether all packets to a end up on the public Internet.
func IsPublic(a netip.Addr) bool {
	for _, to := range Destinations(Plain(a)) {
		if Unfit(to) != "" {
			return false
		}
	}
	return true
}

// Unfit says what an address at which packets end up is if it is not a destination
// on the public Internet, and nothing if it is one.
func Unfit(to netip.Addr) string {
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
