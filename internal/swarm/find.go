package swarm

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	maxProviders = 16              // per look-up
	dialTimeout  = 3 * time.Second // for a provider that is not connected
	// relayedFor is how long a relayed connection may take to become direct.
	// libp2p tries hole punching three times when a connection begins, and not
	// again. It can also fail because the other box has just started.
	relayedFor = 10 * time.Second
)

// Find implements peer.Swarm. It leaves out Seeds, and who is banned or suspended. It yields connected boxes at
// once and others after a dial of at most 3 s. It ends when the look-up or ctx
// ends, after all of its goroutines.
func (s *Swarm) Find(ctx context.Context, d digest.Digest) iter.Seq[peer.Peer] {
	return func(yield func(peer.Peer) bool) {
		ctx, cancel := context.WithCancel(ctx)
		found := make(chan p2p.ID)
		skip := func(id p2p.ID) bool {
			return s.missing.Has(id.String(), d) || s.banned(id) || s.inventories.lists(id, d)
		}
		go s.find(ctx, d, skip, found)
		defer func() {
			cancel()
			for range found {
			}
		}()
		for id := range found {
			p := s.peer(id)
			p.found = true
			if !s.reputation.Suspended(p.known()) && !yield(p) {
				return
			}
		}
	}
}

// find sends the providers of d that it can connect to, except those to skip. It
// closes found when all of its goroutines have ended.
func (s *Swarm) find(ctx context.Context, d digest.Digest, skip func(p2p.ID) bool, found chan<- p2p.ID) {
	var dials sync.WaitGroup
	defer close(found)
	defer dials.Wait()
	offer := func(id p2p.ID) {
		select {
		case found <- id:
		case <-ctx.Done():
		}
	}
	for info := range s.dht.FindProvidersAsync(ctx, cid.NewCidV1(cid.Raw, multihashOf(d)), maxProviders) {
		if info.ID == s.self() || skip(info.ID) {
			continue
		}
		if s.direct(info.ID) != nil {
			offer(info.ID)
			continue
		}
		dials.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			if err := s.reachProvider(ctx, info); err != nil {
				s.log.Debug("dial of a provider failed", "peer", info.ID, "digest", d.Short(), "err", err)
				return
			}
			offer(info.ID)
		})
	}
}

// reachProvider connects directly, because files are not sent over relays. If the
// connection is relayed, it waits for libp2p's hole punching.
func (s *Swarm) reachProvider(ctx context.Context, info p2p.AddrInfo) error {
	for _, c := range s.host.Network().ConnsToPeer(info.ID) {
		if c.Stat().Limited && time.Since(c.Stat().Opened) > relayedFor {
			c.Close() // so that hole punching starts again
		}
	}
	if len(info.Addrs) == 0 && len(s.host.Peerstore().Addrs(info.ID)) == 0 {
		var err error
		if info, err = s.dht.FindPeer(ctx, info.ID); err != nil {
			return err
		}
	}
	if err := s.host.Connect(ctx, info); err != nil {
		return err
	}
	if s.direct(info.ID) != nil {
		return nil
	}
	st, err := s.host.Network().NewStream(ctx, info.ID) // on a direct connection
	if err != nil {
		return fmt.Errorf("%w: %w", network.ErrLimitedConn, err)
	}
	return st.Reset()
}
