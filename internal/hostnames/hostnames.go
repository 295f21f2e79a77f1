// Package hostnames finds the names of machines by their addresses, for
// display.
//
// Nobody waits for it: Of returns what is known and queues the rest, and Run
// looks it up, so that a name is there the next time. Names are remembered for
// an hour, failures for 5 minutes, 4,096 of them in all.
//
// The owner of an address may control its reverse zone too, and can publish any
// name there. Since people act on what a page says of a machine, a name counts
// only if it resolves to the address.
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

// Resolver looks names up; *net.Resolver.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxNames bounds the names that are remembered, about 1 MB.
	maxNames = 4096
	// maxWanted bounds the addresses that wait to be looked up: those of one
	// page of the dashboard. If no server answers for any, they take four
	// minutes, in the background.
	maxWanted = 200
	// nameFor is how long a name counts: an address that DHCP gave to another
	// machine has the other's name within it.
	nameFor = time.Hour
	// noNameFor is how long an address is not looked up again after a failure.
	noNameFor = 5 * time.Minute
	// lookups at once, each within lookupLimit.
	lookups     = 4
	lookupLimit = 2 * time.Second
	// maxTried bounds the names that are tried of one address.
	maxTried = 4
)

// Names are the names that are known. All methods may be called by several
// goroutines.
type Names struct {
	resolver Resolver
	wanted   chan string // addresses to look up

	mu    sync.Mutex
	known map[string]name // by address; guarded by mu
}

type name struct {
	host  string    // "" if there is none
	until time.Time // when it is looked up again
}

// New returns Names that know none. Run must be called.
func New(r Resolver) *Names {
	return &Names{resolver: r, wanted: make(chan string, maxWanted), known: make(map[string]name)}
}

// Known returns the name of addr in lower case, "" if it is not known.
func (n *Names) Known(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[addr].host
}

// Of is Known, and has the name looked up if it is not known or old. What is no
// IP address has no name.
func (n *Names) Of(addr string) string {
	if _, err := netip.ParseAddr(addr); err != nil {
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
		// Not again while it is being looked up.
		n.remember(addr, name{have.host, time.Now().Add(noNameFor)})
	default: // the next time
	}
	return have.host
}

// remember notes a name, and forgets the one that would be looked up next if
// they are too many. n.mu is held.
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
