package swarm

import (
	"net/netip"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	"github.com/libp2p/go-libp2p/core/host"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/address"
)

// Strangers of one network (as libp2p groups them: an IPv4 /16, an IPv6 provider) have at
// most so many places in the DHT's routing table, or they could answer all look-ups.
// libp2p's public DHT allows 2 and 3; a swarm has fewer boxes, and many of them at the
// same few providers.
const (
	strangersPerBucket = 3
	strangersPerTable  = 8
)

// diversity limits strangers in the routing table. Boxes of a site share a network by
// their nature, and are not limited.
type diversity struct {
	peerdiversity.PeerIPGroupFilter
	network func(p2p.ID) netip.Prefix
}

func newDiversity(h host.Host, network func(p2p.ID) netip.Prefix) diversity {
	return diversity{dht.NewRTPeerDiversityFilter(h, strangersPerBucket, strangersPerTable), network}
}

func (d diversity) Allow(g peerdiversity.PeerGroupInfo) bool {
	return address.OfSite(d.network(g.Id).Addr()) || d.PeerIPGroupFilter.Allow(g)
}
