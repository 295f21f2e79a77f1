package swarm

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Many boxes can share one address: behind a NAT, a Kubernetes service or
// Docker's proxy. By default libp2p accepts 8 connections from an address, and
// one more every 5 s.
const (
	connsPerAddress  = 512 // an IPv4 address, or an IPv6 /56, which is a site
	connsPerSecond   = 32  // new ones, per address
	burstPerAddress  = 256
	defaultMemory    = 512 << 20
	defaultFiles     = 512
	inboundConnsBase = 256 // independent of memory; libp2p's default is 64
)

// newLimits makes libp2p's resource manager for a process that may use memory
// bytes, and a swarm that may use so many files. libp2p's own scaling uses the machine's memory and ignores cgroups. Like
// libp2p it allots an eighth of the memory to the network.
func newLimits(memory int64, files int) (network.ResourceManager, error) {
	if memory <= 0 {
		memory = defaultMemory
	}
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	scaling.SystemBaseLimit.ConnsInbound = inboundConnsBase
	scaling.SystemBaseLimit.ConnsOutbound = max(scaling.SystemBaseLimit.ConnsOutbound, inboundConnsBase)
	scaling.SystemBaseLimit.Conns = scaling.SystemBaseLimit.ConnsInbound + scaling.SystemBaseLimit.ConnsOutbound
	scaling.TransientBaseLimit.ConnsInbound = burstPerAddress
	scaling.TransientBaseLimit.Conns = scaling.TransientBaseLimit.ConnsInbound + scaling.TransientBaseLimit.ConnsOutbound
	limits := scaling.Scale(memory/8, cmp.Or(files, defaultFiles))

	// Loopback stays exempt, by libp2p's default.
	perSubnet := rcmgr.WithLimitPerSubnet(
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsPerAddress}},
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: connsPerAddress}})
	perAddress := rate.Limit{RPS: connsPerSecond, Burst: burstPerAddress}
	connRates := rcmgr.WithConnRateLimiters(&rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, // no limit
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perAddress}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: perAddress}},
			GracePeriod:      time.Minute,
		},
	})
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), perSubnet, connRates)
}
