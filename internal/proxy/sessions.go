package proxy

import (
	"container/list"
	"context"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/front"
)

const (
	maxClients = 4096
	maxSuites  = 64
	// sessionAge is far more than apt takes from a Release to the last index.
	sessionAge = time.Hour
)

// sessions remembers which generation of each suite a client was last given, so
// that all files of one update belong together although the suite changes
// meanwhile. Clients behind one address are told apart by their connections; a
// new connection starts with what its address was given last.
type sessions struct {
	mu      sync.Mutex                   // guards all below, and what connections remember
	clients map[netip.Addr]*list.Element // of *client
	order   *list.List                   // most recently used first
}

func newSessions() sessions {
	return sessions{clients: make(map[netip.Addr]*list.Element), order: list.New()}
}

// client is what is remembered of an address.
type client struct {
	addr   netip.Addr
	suites suites
}

// connection is what is remembered of a connection. Its requests carry it in
// their contexts.
type connection struct {
	suites suites
	raw    syscall.RawConn // nil unless it is a socket
	conn   *pipelineConn   // nil unless it is one
}

type connectionKey struct{}

// ConnContext gives each connection its own memory; it is for http.Server's
// field of that name.
func (p *Proxy) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	c := new(connection)
	if pipeline, ok := conn.(*pipelineConn); ok {
		c = &pipeline.memory
		c.conn = pipeline
	}
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	return context.WithValue(front.ConnContext(ctx, conn), connectionKey{}, c)
}

// get returns the generation of a suite that the client has, zero if unknown: through a
// ring, or with "" without one.
func (s *sessions) get(ctx context.Context, addr netip.Addr, ring string, suite catalog.Location) digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		if d := c.suites.get(in{ring, suite}); !d.IsZero() {
			return d
		}
	}
	if e := s.clients[addr]; e != nil {
		s.order.MoveToFront(e)
		return e.Value.(*client).suites.get(in{ring, suite})
	}
	return digest.Digest{}
}

// set records that the client is given a generation of a suite.
func (s *sessions) set(ctx context.Context, addr netip.Addr, ring string, suite catalog.Location, release digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		c.suites.set(in{ring, suite}, release)
	}
	e := s.clients[addr]
	if e == nil {
		e = s.order.PushFront(&client{addr: addr})
		s.clients[addr] = e
	}
	s.order.MoveToFront(e)
	e.Value.(*client).suites.set(in{ring, suite}, release)
	for oldest := s.order.Back(); s.order.Len() > maxClients || oldest.Value.(*client).suites.ended(); oldest = s.order.Back() {
		s.remove(oldest)
	}
}

// forget removes what is remembered of an address.
func (s *sessions) forget(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.clients[addr]; e != nil {
		s.remove(e)
	}
}

// remove removes a client. The caller holds s.mu.
func (s *sessions) remove(e *list.Element) {
	delete(s.clients, s.order.Remove(e).(*client).addr)
}

// suites are a client's generations, oldest first and at most maxSuites. A
// suite is known by a hash, so that long names take no memory.
type suites []given

type given struct {
	suite   uint64
	release digest.Digest
	at      time.Time
}

// in names a suite as clients have it through a ring, or without one.
type in struct {
	ring  string
	suite catalog.Location
}

var suiteSeed = maphash.MakeSeed()

func (s suites) find(key uint64) int {
	return slices.IndexFunc(s, func(g given) bool { return g.suite == key })
}

func (s suites) get(suite in) digest.Digest {
	i := s.find(maphash.Comparable(suiteSeed, suite))
	if i < 0 || time.Since(s[i].at) > sessionAge {
		return digest.Digest{}
	}
	return s[i].release
}

// ended reports whether no generation counts any more.
func (s suites) ended() bool {
	return len(s) == 0 || time.Since(s[len(s)-1].at) > sessionAge
}

func (s *suites) set(suite in, release digest.Digest) {
	key := maphash.Comparable(suiteSeed, suite)
	if i := s.find(key); i >= 0 {
		*s = slices.Delete(*s, i, i+1)
	} else if len(*s) == maxSuites {
		*s = slices.Delete(*s, 0, 1)
	}
	*s = append(*s, given{key, release, time.Now()})
}
