package swarm

import (
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p-kbucket/peerdiversity"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// atAddresses has peers at given addresses, without connections.
type atAddresses struct {
	diversity
	addr map[p2p.ID]string
}

func (a atAddresses) PeerAddresses(id p2p.ID) []ma.Multiaddr {
	return []ma.Multiaddr{ma.StringCast(a.addr[id])}
}

func TestRoutingTableIsDiverse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		want int
	}{
		{"/ip4/198.51.100.7/tcp/4001", strangersPerTable},
		{"/ip6/2001:db8::7/tcp/4001", strangersPerTable},
		{"/ip4/10.1.2.3/tcp/4001", 100},
		{"/ip4/127.0.0.1/tcp/4001", 100},
		{"/ip6/fd00::7/tcp/4001", 100},
	} {
		peers := atAddresses{addr: make(map[p2p.ID]string)}
		peers.diversity = newDiversity(nil, func(id p2p.ID) netip.Prefix { return partyOf(addrOf(ma.StringCast(peers.addr[id]))) })
		filter, err := peerdiversity.NewFilter(peers, "test", func(id p2p.ID) int { return int(id[2]) % 20 })
		if err != nil {
			t.Fatal(err)
		}
		admitted := 0
		for i := range 100 {
			peers.addr[testID(byte(i))] = c.addr
			if filter.TryAdd(testID(byte(i))) {
				admitted++
			}
		}
		if admitted != c.want {
			t.Errorf("%s: %d of 100 boxes are in the routing table, want %d", c.addr, admitted, c.want)
		}
		other := testID(200)
		peers.addr[other] = "/ip4/203.0.113.1/tcp/4001"
		if !filter.TryAdd(other) {
			t.Errorf("%s: a box of another network is not admitted", c.addr)
		}
	}
}
