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
)

const (
	maxClients = 4096
	maxSuites  = 64
	// pinAge is far more than apt takes from a Release to the last index.
	pinAge = time.Hour
)

// pins remembers which generation of each suite a client was last given, so
// that all files of one update belong together although the suite changes
// meanwhile. Clients behind one address are told apart by their connections;
// the address speaks for a client that connects anew.
type pins struct {
	mu      sync.Mutex                   // guards all below, and what connections remember
	clients map[netip.Addr]*list.Element // of *client
	order   *list.List                   // most recently used first
}

func newPins() pins {
	return pins{clients: make(map[netip.Addr]*list.Element), order: list.New()}
}

// client is what is remembered of an address.
type client struct {
	addr   netip.Addr
	suites suites
}

// connection is what is remembered of one, carried in its requests' contexts.
type connection struct {
	suites suites
	raw    syscall.RawConn // nil if it is no socket
}

type connectionKey struct{}

// ConnContext gives each connection its own memory; it is for http.Server's
// field of that name.
func (p *Proxy) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	c := new(connection)
	if pipeline, ok := conn.(*pipelineConn); ok {
		c = &pipeline.memory
	}
	if s, ok := conn.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// get returns the generation of a suite that the client has, zero if unknown.
func (p *pins) get(ctx context.Context, addr netip.Addr, suite catalog.Location) digest.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		if d := c.suites.get(suite); !d.IsZero() {
			return d
		}
	}
	if e := p.clients[addr]; e != nil {
		p.order.MoveToFront(e)
		return e.Value.(*client).suites.get(suite)
	}
	return digest.Digest{}
}

// set records that the client is given a generation of a suite.
func (p *pins) set(ctx context.Context, addr netip.Addr, suite catalog.Location, release digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		c.suites.set(suite, release)
	}
	e := p.clients[addr]
	if e == nil {
		e = p.order.PushFront(&client{addr: addr})
		p.clients[addr] = e
	}
	p.order.MoveToFront(e)
	e.Value.(*client).suites.set(suite, release)
	if p.order.Len() > maxClients {
		oldest := p.order.Remove(p.order.Back()).(*client)
		delete(p.clients, oldest.addr)
	}
}

// suites are a client's generations, oldest first and at most maxSuites. A
// suite is known by a hash, so that long names take no memory.
type suites []pinned

type pinned struct {
	suite   uint64
	release digest.Digest
	at      time.Time
}

var suiteSeed = maphash.MakeSeed()

func (s suites) find(key uint64) int {
	return slices.IndexFunc(s, func(p pinned) bool { return p.suite == key })
}

func (s suites) get(suite catalog.Location) digest.Digest {
	i := s.find(maphash.Comparable(suiteSeed, suite))
	if i < 0 || time.Since(s[i].at) > pinAge {
		return digest.Digest{}
	}
	return s[i].release
}

func (s *suites) set(suite catalog.Location, release digest.Digest) {
	key := maphash.Comparable(suiteSeed, suite)
	if i := s.find(key); i >= 0 {
		*s = slices.Delete(*s, i, i+1)
	} else if len(*s) == maxSuites {
		*s = slices.Delete(*s, 0, 1)
	}
	*s = append(*s, pinned{key, release, time.Now()})
}
