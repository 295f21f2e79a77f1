package swarm

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/broadcast"
)

// boxTag names what libp2p's connection manager is told about boxes.
const boxTag = "box"

// boxes are the peers that speak blobProtocol and are connected directly or
// through a relay. Other libp2p peers do not belong to the swarm.
type boxes struct {
	host atomic.Pointer[host.Host] // set by follow

	change broadcast.Signal

	mu      sync.Mutex // guards the fields below
	since   map[p2p.ID]time.Time
	reached map[p2p.ID]ma.Multiaddr // where they are connected directly
}

func newBoxes() *boxes {
	return &boxes{since: make(map[p2p.ID]time.Time), reached: make(map[p2p.ID]ma.Multiaddr)}
}

// ids lists the connected boxes in the order of their IDs.
func (b *boxes) ids() []p2p.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]p2p.ID, 0, len(b.since))
	for id := range b.since {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (b *boxes) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.since)
}

// connectedSince returns zero for a peer that is not a connected box.
func (b *boxes) connectedSince(id p2p.ID) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since[id]
}

// reach records where a connected box is connected directly.
func (b *boxes) reach(id p2p.ID, addr ma.Multiaddr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.since[id]; ok {
		b.reached[id] = addr
	}
}

// reachedAt returns where id is connected directly, or was until now.
func (b *boxes) reachedAt(id p2p.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr := b.reached[id]; addr != nil {
		return []ma.Multiaddr{addr}
	}
	return nil
}

// changed returns a channel that is closed when a box next connects or
// disconnects.
func (b *boxes) changed() <-chan struct{} { return b.change.Wait() }

// set reports whether it changed anything.
func (b *boxes) set(id p2p.ID, connected bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, had := b.since[id]; had == connected {
		return false
	}
	if connected {
		b.since[id] = time.Now()
	} else {
		delete(b.since, id)
		delete(b.reached, id)
	}
	b.change.Fire()
	return true
}

// follow keeps boxes up to date and notifies the other parts. Events are handled
// one by one in order, so that every part sees a reconnecting box disconnect
// first.
func (s *Swarm) follow(ctx context.Context) error {
	events, err := s.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerProtocolsUpdated),
		new(event.EvtPeerConnectednessChanged),
	}, eventbus.BufSize(1024))
	if err != nil {
		return fmt.Errorf("subscribing to libp2p's events: %w", err)
	}
	defer s.places.closing.Wait()
	defer events.Close()
	s.boxes.host.Store(&s.host)
	for _, id := range s.host.Network().Peers() {
		s.update(ctx, id)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.places.changed:
			s.places.shrink(ctx)
		case id := <-s.places.closed:
			delete(s.places.leaving, id)
			s.update(ctx, id) // it may have connected again
		case e := <-events.Out():
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				s.update(ctx, e.Peer)
			case event.EvtPeerProtocolsUpdated:
				s.update(ctx, e.Peer)
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness == network.NotConnected {
					s.disconnected(e.Peer)
				}
				s.update(ctx, e.Peer)
			}
		}
	}
}

// update adds id to the boxes if it is a connected box and there is a place for it,
// and removes it otherwise.
func (s *Swarm) update(ctx context.Context, id p2p.ID) {
	here := s.host.Network().Connectedness(id)
	known, err := s.host.Peerstore().SupportsProtocols(id, blobProtocol)
	if err == nil && len(known) > 0 && (here == network.Connected || here == network.Limited) {
		if s.boxes.connectedSince(id).IsZero() && !s.places.admit(ctx, id) {
			return
		}
		s.connected(id)
		if c := s.direct(id); c != nil {
			s.boxes.reach(id, c.RemoteMultiaddr())
		}
		s.regard(id)
	} else {
		s.disconnected(id)
	}
}

func (s *Swarm) connected(id p2p.ID) {
	if !s.boxes.set(id, true) {
		return
	}
	s.log.Debug("peer connected", "peer", id, "addr", s.address(id))
	s.redials.connected(id)
	s.rtts.connected(id)
}

// disconnected removes id from the boxes and has it redialled.
func (s *Swarm) disconnected(id p2p.ID) {
	reached, since := s.boxes.reachedAt(id), s.boxes.connectedSince(id)
	if s.left(id) {
		s.redials.disconnected(s.host.Peerstore().PeerInfo(id), reached, time.Since(since))
	}
}

// left removes id from the boxes and reports whether it was one.
func (s *Swarm) left(id p2p.ID) bool {
	if !s.boxes.set(id, false) {
		return false
	}
	s.log.Debug("peer disconnected", "peer", id)
	s.rtts.disconnected(id)
	s.regard(id)
	return true
}

// direct returns a connection to id that is not relayed, or nil.
func (s *Swarm) direct(id p2p.ID) network.Conn {
	for _, c := range s.host.Network().ConnsToPeer(id) {
		if !c.Stat().Limited && !c.IsClosed() {
			return c
		}
	}
	return nil
}

// address returns the remote address of id's connection; empty if there is none.
func (s *Swarm) address(id p2p.ID) string {
	if c := s.direct(id); c != nil {
		return c.RemoteMultiaddr().String()
	}
	for _, c := range s.host.Network().ConnsToPeer(id) {
		return c.RemoteMultiaddr().String()
	}
	return ""
}
