// Package hostnames looks up the names of IP addresses, for display.
//
// Lookups run in the background: Of returns a cached name at once and queues an
// unknown address, and Run looks it up, so that a later call of Of returns the
// name. Names are cached for an hour, failures for 5 minutes, 4,096 of both in
// all.
//
// The owner of an address may control its reverse zone too and can publish any
// name there. Since administrators rely on displayed names, a name counts only if
// it resolves to the address.
package hostnames

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Resolver is the part of *net.Resolver that lookups use.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxNames bounds the cache to about 1 MB.
	maxNames = 4096
	// maxWanted bounds the queue to the addresses of one page of the dashboard. If
	// every lookup times out, they take four minutes.
	maxWanted = 200
	// nameFor is how long a name is cached. When DHCP moves an address to another
	// machine, the old name is shown no longer than this.
	nameFor = time.Hour
	// noNameFor is how long an address is not looked up again after a failure.
	noNameFor = 5 * time.Minute
	// lookups run at once, each for at most lookupLimit.
	lookups     = 4
	lookupLimit = 2 * time.Second
	// maxTried bounds the names that are checked for one address.
	maxTried = 4
)

// Names caches names by address. It is safe for concurrent use.
type Names struct {
	resolver Resolver
	wanted   chan string // addresses to look up

	mu      sync.Mutex
	known   map[string]name     // by address; guarded by mu
	looking map[string]struct{} // addresses that are wanted or being looked up; guarded by mu
}

type name struct {
	host  string    // "" if there is none
	until time.Time // when it is looked up again
}

// New returns an empty cache. Run must be called. Without a resolver, no address has
// a name.
func New(r Resolver) *Names {
	return &Names{resolver: r, wanted: make(chan string, maxWanted), known: make(map[string]name), looking: make(map[string]struct{})}
}

// Known returns the name of addr in lower case, "" if it is not known.
func (n *Names) Known(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[addr].host
}

// Of returns the name of addr like Known, and queues a lookup if the name is
// unknown or old. It returns "" for text that is not an IP address.
func (n *Names) Of(addr string) string {
	if _, err := netip.ParseAddr(addr); err != nil || n.resolver == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	have := n.known[addr]
	if time.Now().Before(have.until) {
		return have.host
	}
	select {
	case n.wanted <- addr:
		n.looking[addr] = struct{}{}
		// Not queued again while the lookup runs.
		n.remember(addr, name{have.host, time.Now().Add(noNameFor)})
	default: // the queue is full; a later call tries again
	}
	return have.host
}

// Forget removes the name of addr from the cache, and the result of a lookup that is
// under way.
func (n *Names) Forget(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.known, addr)
	delete(n.looking, addr)
}

// remember caches a name. When the cache is full it evicts the name that expires
// first. The caller holds n.mu.
func (n *Names) remember(addr string, new name) {
	n.known[addr] = new
	if len(n.known) <= maxNames {
		return
	}
	oldest, until := addr, new.until
	for a, other := range n.known {
		if other.until.Before(until) {
			oldest, until = a, other.until
		}
	}
	delete(n.known, oldest)
}

// Run looks names up until ctx ends, then returns nil.
func (n *Names) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range lookups {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case addr := <-n.wanted:
					n.find(ctx, addr)
				}
			}
		})
	}
	return g.Wait()
}

// find looks up the name of addr.
func (n *Names) find(ctx context.Context, addr string) {
	host, err := n.lookUp(ctx, addr)
	lasts := nameFor
	var fault *net.DNSError
	if err != nil && (!errors.As(err, &fault) || !fault.IsNotFound) {
		lasts = noNameFor
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, wanted := n.looking[addr]; !wanted {
		return
	}
	delete(n.looking, addr)
	n.remember(addr, name{host, time.Now().Add(lasts)})
}

// lookUp returns the first name of addr that resolves to it.
func (n *Names) lookUp(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	hosts, err := n.resolver.LookupAddr(ctx, addr)
	for _, host := range hosts[:min(len(hosts), maxTried)] {
		var back []netip.Addr
		if back, err = n.resolver.LookupNetIP(ctx, "ip", host); err != nil {
			continue
		}
		same := func(a netip.Addr) bool { return a.Unmap().WithZone("").String() == addr }
		if slices.ContainsFunc(back, same) {
			return strings.ToLower(strings.TrimSuffix(host, ".")), nil
		}
	}
	return "", err
}
