package swarm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"
)

// mdnsRetry is how long to wait for an interface with multicast.
const mdnsRetry = time.Minute

// maxFound bounds the boxes of the segment that wait to be dialled; further ones
// are dropped, since each is announced again.
const maxFound = 64

// A box of the segment is dialled foundTries times, after up to 1 s, 2 s, 4 s.
const (
	foundTries = 4
	foundRetry = 500 * time.Millisecond
)

// segmentName is the DNS-SD service of a swarm, so that swarms on one segment
// do not meet: at most 15 characters (RFC 6763, section 7.2).
func segmentName(tag string) string { return fmt.Sprintf("_mp-%.12s._udp", tag) }

// discover announces this box and finds others on the network segment, if Local is
// set. The mDNS service announces the addresses that it started with, so it is
// restarted when they change. A segment without multicast is not an error, since
// the bootstrap entries remain.
func (s *Swarm) discover(ctx context.Context) error {
	if !s.options.Local {
		return nil
	}
	events, err := s.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return fmt.Errorf("subscribing to libp2p's events: %w", err)
	}
	defer events.Close()
	found := make(segment, maxFound)
	var dialling errgroup.Group
	defer func() { _ = dialling.Wait() }() // its functions return nil
	dialling.SetLimit(joinsAtOnce)
	tick := time.NewTicker(mdnsRetry)
	defer tick.Stop()

	var service interface{ Close() error }
	var addrs []ma.Multiaddr
	warned := false
	restart := func() {
		now, _ := segmentHost{s.host}.InterfaceListenAddresses()
		if service != nil && slices.EqualFunc(addrs, now, ma.Multiaddr.Equal) {
			return
		}
		if service != nil {
			service.Close()
		}
		service, err = startSegment(segmentHost{s.host}, segmentName(s.tag), found)
		addrs = now
		if err != nil && !warned {
			s.log.Warn("boxes on the network segment cannot be found for now, mDNS is tried again", "err", err)
		}
		warned = err != nil
	}
	restart()
	defer func() {
		if service != nil {
			service.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events.Out():
			restart()
		case <-tick.C:
			restart()
		case info := <-found:
			dial := s.dialFound
			if info.ID == s.self() {
				dial = func(ctx context.Context, info p2p.AddrInfo) error { return s.twins.meet(ctx, info.Addrs) }
			}
			dialling.Go(func() error {
				if err := dial(ctx, info); err != nil {
					s.log.Debug("dial of a box on the network segment failed", "peer", info.ID, "err", err)
				}
				return nil
			})
		}
	}
}

// dialFound tries more than once. Two boxes that find each other at the same
// instant dial from and to the ports that they listen on. They get one connection
// with a dialler at both ends (TCP's simultaneous open), and its handshake fails;
// random waits make the next dials differ. mDNS reports a box again only after
// minutes.
func (s *Swarm) dialFound(ctx context.Context, info p2p.AddrInfo) error {
	var err error
	for try := range foundTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(rand.N(foundRetry << try)):
			}
		}
		dialling, cancel := context.WithTimeout(ctx, joinTimeout)
		err = s.dialGiven(dialling, info)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// segment receives the boxes that mDNS finds; it is called concurrently.
type segment chan p2p.AddrInfo

func (f segment) HandlePeerFound(info p2p.AddrInfo) {
	select {
	case f <- info:
	default:
	}
}

// segmentHost announces on the segment the host's own addresses without
// those of container bridges, where libp2p would take every interface.
type segmentHost struct{ host.Host }

func (h segmentHost) Network() network.Network { return segmentNetwork{h.Host.Network()} }

func (h segmentHost) InterfaceListenAddresses() ([]ma.Multiaddr, error) {
	return h.Network().InterfaceListenAddresses()
}

type segmentNetwork struct{ network.Network }

func (n segmentNetwork) InterfaceListenAddresses() ([]ma.Multiaddr, error) {
	all, err := n.Network.InterfaceListenAddresses()
	if err != nil {
		return nil, err
	}
	return (&addresses{bridges: bridgeIPs}).own(all), nil
}
