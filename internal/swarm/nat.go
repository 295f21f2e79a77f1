package swarm

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// libp2p searches the boxes for relays every relaysEvery and retries a box that
// refused after relayBackoff. Its defaults suit a network of thousands: wait
// 3 min for four candidates, and an hour after a refusal. Here one public box
// may be the only candidate, and may take a while to detect that it is public.
const (
	relaysEvery  = 15 * time.Second
	relayBackoff = time.Minute
)

// natOptions make boxes behind NAT reachable: by a port mapping in the router,
// hole punching, and a relay reservation at a public box. Relays keep libp2p's
// default limits, 128 KiB and 2 min per circuit: enough to coordinate hole
// punching, and deliberately too little for files. Blob streams never use such
// a connection, because they are opened without network.WithAllowLimitedConn.
//
// Relays are for members, on both sides. AutoNAT, which decides who keeps records
// of the DHT, is for all: what it dials back passes the gate.
func natOptions(o Options, listen []ma.Multiaddr, boxes *boxes, gate *gate) []libp2p.Option {
	candidates := func(ctx context.Context, n int) <-chan p2p.AddrInfo {
		return boxes.relays(ctx, n, func(id p2p.ID) bool { return gate.may(id, relaying) })
	}
	options := []libp2p.Option{
		libp2p.EnableNATService(),
		libp2p.EnableHolePunching(),
		libp2p.EnableRelayService(relay.WithACL(gate)), // runs only while this box is public
		libp2p.EnableAutoRelayWithPeerSource(candidates,
			autorelay.WithMinInterval(relaysEvery),
			autorelay.WithBackoff(relayBackoff),
			autorelay.WithMinCandidates(1),
			autorelay.WithBootDelay(0)),
	}
	if o.Network.real() && !slices.ContainsFunc(listen, manet.IsIPLoopback) {
		options = append(options, libp2p.NATPortMap())
	}
	if len(o.AllowPeers) == 0 {
		// AutoNAT v2 dials back under a new peer ID. A box with a list of
		// allowed peers would refuse it and count every own address as
		// unreachable.
		options = append(options, libp2p.EnableAutoNATv2())
	}
	return append(options, o.Network.Host...)
}

// relays sends up to n connected boxes that may be relays as candidates; libp2p
// uses those that run one. It first waits for a box to connect, because libp2p calls
// it before any can be connected.
func (b *boxes) relays(ctx context.Context, n int, may func(p2p.ID) bool) <-chan p2p.AddrInfo {
	found := make(chan p2p.AddrInfo)
	go func() {
		defer close(found)
		for {
			changed := b.changed()
			if b.count() > 0 {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
		h := *b.host.Load() // there are boxes only once it is set
		ids := slices.DeleteFunc(b.ids(), func(id p2p.ID) bool { return !may(id) })
		for _, id := range ids[:min(n, len(ids))] {
			select {
			case <-ctx.Done():
				return
			case found <- h.Peerstore().PeerInfo(id):
			}
		}
	}()
	return found
}

// reachability is libp2p's latest finding on whether others can dial this box.
type reachability struct {
	general   atomic.Int32 // network.Reachability
	confirmed atomic.Int32 // number of addresses that AutoNAT v2 found reachable
}

func (r *reachability) run(ctx context.Context, h host.Host) error {
	events, err := h.EventBus().Subscribe([]any{new(event.EvtLocalReachabilityChanged), new(event.EvtHostReachableAddrsChanged)})
	if err != nil {
		return fmt.Errorf("subscribing to libp2p's events: %w", err)
	}
	defer events.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events.Out():
			switch e := e.(type) {
			case event.EvtLocalReachabilityChanged:
				r.general.Store(int32(e.Reachability))
			case event.EvtHostReachableAddrsChanged:
				r.confirmed.Store(int32(len(e.Reachable)))
			}
		}
	}
}

// String is "public", "private" or "unknown".
func (r *reachability) String() string {
	switch {
	case r.confirmed.Load() > 0 || network.Reachability(r.general.Load()) == network.ReachabilityPublic:
		return "public"
	case network.Reachability(r.general.Load()) == network.ReachabilityPrivate:
		return "private"
	}
	return "unknown"
}
