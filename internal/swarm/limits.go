package swarm

import (
	"cmp"
	"math"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"

	"millpond/internal/address"
	"millpond/internal/swarm/inventory"
)

const (
	defaultMemory = 512 << 20
	defaultFiles  = 512
	// mostMemory is where the bounds stop growing: a swarm that fills them has
	// hundreds of boxes, and the memory has better uses.
	mostMemory = 2 << 30

	// A connection costs 70 KB of heap and stacks (TestCrowdAtOneAddress prints it).
	minConns, maxConns = 64, 512
	// There is a place for a neighbour to each neighbourConns connections: 256 at most,
	// which take 18 MB, and as many as a box reports (maxLinks). The rest are for new
	// connections, which have to come in before it is known whose they are.
	neighbourConns = 2
	// window is what a stream may have received before it is read; yamux reserves
	// it for each.
	window                 = 256 << 10
	minWindows, maxWindows = 32 << 20, 512 << 20
	// streamsPerPeer is enough for what a box opens to another: 48 for blobs at
	// most, its inventory, the DHT and libp2p's own.
	streamsPerPeer = 96
	// recordBytes is the memory for each provider record. Most of it is the
	// database's; the record takes 150 bytes on disk.
	recordBytes = 512
	maxRecords  = 2 << 20
)

// Connections from public addresses in an open swarm, where anybody can make any
// number of identities. Boxes of one company behind one address are few.
const (
	connsPerAddress = 32 // an IPv4 address, or an IPv6 /64
	connsPerNetwork = 64 // an IPv4 /24, or an IPv6 /48
	connsPerSecond  = 32 // new ones, per address
	burstPerAddress = 64
)

// bounds are the most that a swarm may have of each. Where parties share, a quota
// says how much of it one of them may take.
type bounds struct {
	conns      int   // in each direction
	pending    int   // inbound connections whose peer is not known yet
	neighbours int   // connected boxes
	streams    int   // inbound
	windows    int64 // bytes
	files      int   // descriptors
	inventory  int64 // entries of all peers' inventories together
	records    int64 // provider records of other boxes
}

// boundsOf derives the bounds of a swarm from what the process may use.
func boundsOf(memory int64, files int) bounds {
	if memory <= 0 {
		memory = defaultMemory
	}
	memory = min(memory, mostMemory)
	files = cmp.Or(files, defaultFiles)
	b := bounds{
		files:     files,
		windows:   min(max(memory/4, minWindows), maxWindows),
		inventory: memory / 16 / inventory.EntryBytes,
		records:   min(memory/recordBytes, maxRecords),
	}
	b.conns = min(max(int(memory>>20), minConns), maxConns, max(files/3, 1)) // in, out, and some to accept and refuse
	b.pending = max(b.conns/4, 1)
	b.neighbours = max(b.conns/neighbourConns, 1)
	// By their number before their windows: without room for a window yamux closes
	// the connection, not the stream.
	b.streams = int(b.windows / window * 5 / 8)
	return b
}

// resourceManager makes libp2p's. private says that only members get past the
// handshake: they are not limited by address, since many can stand behind one.
func (b bounds) resourceManager(private bool) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	perAddress, perNetwork := connsPerAddress, connsPerNetwork
	// A little above what admission allows: there the new one comes before the old
	// one has ended.
	conns := b.conns * 9 / 8
	if private { // where admission does not limit them
		perAddress, perNetwork, conns = b.conns, b.conns, b.conns
	}
	fixed := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(2 * b.conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(b.conns),
			Streams: rcmgr.LimitVal(b.streams * 3 / 2), StreamsInbound: rcmgr.LimitVal(b.streams * 9 / 8), StreamsOutbound: rcmgr.LimitVal(b.streams),
			FD: rcmgr.LimitVal(b.files), Memory: rcmgr.LimitVal64(b.windows),
		},
		Transient: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(4 * b.pending), ConnsInbound: rcmgr.LimitVal(2 * b.pending), ConnsOutbound: rcmgr.LimitVal(2 * b.pending),
			Streams: rcmgr.LimitVal(b.streams), StreamsInbound: rcmgr.LimitVal(b.streams), StreamsOutbound: rcmgr.LimitVal(b.streams),
			FD: rcmgr.LimitVal(b.files),
		},
		PeerDefault: rcmgr.ResourceLimits{
			Streams: 3 * streamsPerPeer, StreamsInbound: streamsPerPeer, StreamsOutbound: 2 * streamsPerPeer,
			Memory: rcmgr.LimitVal64(min(b.windows/2, 64<<20)),
		},
		// Each box has one such stream; the one before may not have ended yet.
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{
			inventoryProtocol: {Streams: 4, StreamsInbound: 2, StreamsOutbound: 2},
			linksProtocol:     {Streams: 4, StreamsInbound: 2, StreamsOutbound: 2},
			reportsProtocol:   {Streams: 2 * reportsPerPeer, StreamsInbound: reportsPerPeer, StreamsOutbound: reportsPerPeer},
			releasesProtocol:  {Streams: 2 * releasesPerPeer, StreamsInbound: releasesPerPeer, StreamsOutbound: releasesPerPeer},
			// Two boxes and more may come under one ID.
			instanceProtocol: {Streams: 2 * maxTwins, StreamsInbound: maxTwins, StreamsOutbound: maxTwins},
			twinsProtocol:    {Streams: 2 * maxTwins, StreamsInbound: maxTwins, StreamsOutbound: maxTwins},
		},
	}.Build(scaling.Scale(b.windows/2, b.files))

	var exempt4, exempt6 []rcmgr.NetworkPrefixLimit
	var unpaced []rate.PrefixLimit
	for _, p := range address.Site {
		limit := rcmgr.NetworkPrefixLimit{Network: p, ConnCount: math.MaxInt}
		if p.Addr().Is4() {
			exempt4 = append(exempt4, limit)
		} else {
			exempt6 = append(exempt6, limit)
		}
		unpaced = append(unpaced, rate.PrefixLimit{Prefix: p})
	}
	pace := rate.Limit{RPS: connsPerSecond, Burst: burstPerAddress}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(fixed),
		rcmgr.WithNetworkPrefixLimit(exempt4, exempt6),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perAddress}, {PrefixLength: 24, ConnCount: perNetwork}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: perAddress}, {PrefixLength: 48, ConnCount: perNetwork}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: unpaced,
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: pace}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 64, Limit: pace}},
				GracePeriod:      time.Minute,
			},
		}))
}
