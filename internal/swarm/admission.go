package swarm

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/swarm/quota"
)

// admission is libp2p's resource manager, which has bounds in all, with quotas in
// front of it: without them whoever comes first could take every slot. When they are
// used up, the newest connection of the network that has the most makes room, and the
// newest stream of the peer that has the most. It counts what others open; this box's
// own dials and streams have bounds of their own.
type admission struct {
	network.ResourceManager
	pending *quota.Quota[netip.Prefix] // connections in their handshake
	conns   *quota.Quota[netip.Prefix] // and all; nil: those that come through are members
	streams *quota.Quota[p2p.ID]
	host    atomic.Pointer[host.Host] // set once there is one

	mu     sync.Mutex // guards the fields below
	opened map[*admittedConn]int64
	last   int64 // number of the newest
}

func newAdmission(b bounds, private bool) (*admission, error) {
	inner, err := b.resourceManager(private)
	if err != nil {
		return nil, err
	}
	a := &admission{
		ResourceManager: inner,
		pending:         quota.New[netip.Prefix](int64(b.pending), networkWeight),
		streams:         quota.New[p2p.ID](int64(b.streams), 1),
		opened:          make(map[*admittedConn]int64),
	}
	if !private {
		a.conns = quota.New[netip.Prefix](int64(b.conns), networkWeight)
	}
	return a, nil
}

// OpenConnection implements network.ResourceManager.
func (a *admission) OpenConnection(dir network.Direction, usefd bool, endpoint ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir != network.DirInbound {
		return a.ResourceManager.OpenConnection(dir, usefd, endpoint)
	}
	at := partyOf(addrOf(endpoint))
	if !a.take(a.pending, at, true) {
		return nil, fmt.Errorf("connection from %s: too many handshakes: %w", endpoint, network.ErrResourceLimitExceeded)
	}
	c := &admittedConn{at: at}
	c.known = sync.OnceFunc(func() { a.pending.Give(at, 1) })
	if a.conns != nil && !a.take(a.conns, at, false) {
		c.known()
		return nil, fmt.Errorf("connection from %s: too many: %w", endpoint, network.ErrResourceLimitExceeded)
	}
	c.done = sync.OnceFunc(func() {
		c.known()
		if a.conns != nil {
			a.conns.Give(at, 1)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.opened, c)
	})
	var err error
	if c.ConnManagementScope, err = a.ResourceManager.OpenConnection(dir, usefd, endpoint); err != nil {
		c.done()
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	a.opened[c] = a.last
	return c, nil
}

// take takes a slot for a connection from the network at, if need be one of the
// network that has the most. pending restricts that to connections in their handshake.
func (a *admission) take(slots *quota.Quota[netip.Prefix], at netip.Prefix, pending bool) bool {
	if slots.Take(at, 1) == 1 {
		return true
	}
	greediest, _, ok := slots.Greediest()
	if !ok || greediest == at {
		return false
	}
	var victim *admittedConn
	a.mu.Lock()
	for c, n := range a.opened {
		if c.at == greediest && c.close.Load() != nil && !(pending && c.secured.Load()) && (victim == nil || n > a.opened[victim]) {
			victim = c
		}
	}
	a.mu.Unlock()
	if victim == nil {
		return false
	}
	(*victim.close.Load())()
	victim.done()
	return slots.Take(at, 1) == 1
}

// admittedConn is an inbound connection.
type admittedConn struct {
	network.ConnManagementScope
	at          netip.Prefix
	known, done func()
	secured     atomic.Bool            // its peer is known
	close       atomic.Pointer[func()] // nil for QUIC, which has no connection of its own
}

func (c *admittedConn) SetPeer(id p2p.ID) error {
	err := c.ConnManagementScope.SetPeer(id)
	if err == nil {
		c.secured.Store(true)
		c.known()
	}
	return err
}

func (c *admittedConn) Done() {
	c.ConnManagementScope.Done()
	c.done()
}

// OpenStream implements network.ResourceManager.
func (a *admission) OpenStream(id p2p.ID, dir network.Direction) (network.StreamManagementScope, error) {
	if dir != network.DirInbound {
		return a.ResourceManager.OpenStream(id, dir)
	}
	if a.streams.Take(id, 1) == 0 && !(a.resetStream(id) && a.streams.Take(id, 1) == 1) {
		return nil, fmt.Errorf("stream of peer %s: too many: %w", id.ShortString(), network.ErrResourceLimitExceeded)
	}
	scope, err := a.ResourceManager.OpenStream(id, dir)
	if err != nil {
		a.streams.Give(id, 1)
		return nil, err
	}
	return &admittedStream{scope, sync.OnceFunc(func() { a.streams.Give(id, 1) })}, nil
}

// resetStream resets the newest stream of the peer that has the most, unless that is
// id, and reports whether it did.
func (a *admission) resetStream(id p2p.ID) bool {
	greediest, _, ok := a.streams.Greediest()
	h := a.host.Load()
	if !ok || greediest == id || h == nil {
		return false
	}
	var newest network.Stream
	var scope *admittedStream
	for _, c := range (*h).Network().ConnsToPeer(greediest) {
		for _, st := range c.GetStreams() {
			s, ok := st.Scope().(*admittedStream)
			if ok && (newest == nil || st.Stat().Opened.After(newest.Stat().Opened)) {
				newest, scope = st, s
			}
		}
	}
	if newest == nil {
		return false
	}
	_ = newest.ResetWithError(network.StreamResourceLimitExceeded) // it is abandoned either way
	scope.done()
	return true
}

// admittedStream is an inbound stream.
type admittedStream struct {
	network.StreamManagementScope
	done func()
}

func (s *admittedStream) Done() {
	s.StreamManagementScope.Done()
	s.done()
}
