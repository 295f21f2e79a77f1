package swarm

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// meet asks the box at addrs, which says that it has the ID of this one, for a proof. It
// is dialled under a new ID, since libp2p does not dial its own; a box with a list of
// allowed peers refuses that. One box is met at a time; others are announced again.
func (t *twins) meet(ctx context.Context, addrs []ma.Multiaddr) error {
	own, err := t.swarm.host.Network().InterfaceListenAddresses()
	if err != nil {
		return fmt.Errorf("listing the own addresses: %w", err)
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(addr ma.Multiaddr) bool {
		return slices.ContainsFunc(own, addr.Equal)
	})
	if len(addrs) == 0 {
		return nil
	}
	select {
	case t.meeting <- struct{}{}:
		defer func() { <-t.meeting }()
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	o := t.swarm.options
	options := []libp2p.Option{
		libp2p.NoListenAddrs, // and with a key that libp2p makes
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ResourceManager(&network.NullResourceManager{}), // it opens one connection
		libp2p.UserAgent("millpond/" + o.Version),
	}
	if t.swarm.key != nil {
		options = append(options, libp2p.PrivateNetwork(t.swarm.key))
	}
	h, err := libp2p.New(append(options, o.Network.transports(t.swarm.key, t.swarm.gate.handshakes)...)...)
	if err != nil {
		return fmt.Errorf("making a host to dial with: %w", err)
	}
	defer h.Close()
	if err := h.Connect(ctx, p2p.AddrInfo{ID: t.swarm.self(), Addrs: addrs}); err != nil {
		return err
	}
	st, err := h.NewStream(ctx, t.swarm.self(), instanceProtocol)
	if err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	found, err := t.challenge(ctx, st, "at "+st.Conn().RemoteMultiaddr().String())
	if found {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.met = addrs
	}
	return err
}

// meetAgain looks whether a twin that was met is still there, once it is due.
func (t *twins) meetAgain(ctx context.Context) {
	t.mu.Lock()
	addrs, due := t.met, t.known() && time.Since(t.seen.Seen) >= twinSeenEvery
	t.mu.Unlock()
	if !due {
		return
	}
	if err := t.meet(ctx, addrs); err != nil {
		t.swarm.log.Debug("box with this identity not met again", "addrs", addrs, "err", err)
	}
}
