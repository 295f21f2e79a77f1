package dashboard

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

// resolver looks names up; *net.Resolver.
type resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxHostnames bounds the names that are remembered, about 1 MB.
	maxHostnames = 4096
	// hostnameFor is how long a name counts: an address that DHCP gave to
	// another machine has the other's name within it.
	hostnameFor = time.Hour
	// noHostnameFor is how long it is not asked again after a failure.
	noHostnameFor = 5 * time.Minute
	// lookups at once, each within lookupLimit. A page has 200 addresses; if
	// nobody answers for any, they take four minutes, in the background.
	lookups     = 4
	lookupLimit = 2 * time.Second
	// maxClaims bounds the names that are tried of one address.
	maxClaims = 4
)

// hostnames finds the names of clients by their addresses. Nobody waits for
// it: a name that is not known yet is there the next time.
//
// Whoever has an address may have its reverse zone too, and so claim any name
// there. Since people act on what the page says of a machine, a name counts
// only if it leads back to the address.
type hostnames struct {
	resolver resolver
	wanted   chan string // addresses to look up

	mu    sync.Mutex
	known map[string]hostname // by address; guarded by mu
}

type hostname struct {
	name  string    // "" if there is none
	until time.Time // when it is looked up anew
}

func newHostnames(r resolver) *hostnames {
	return &hostnames{resolver: r, wanted: make(chan string, maxPage), known: make(map[string]hostname)}
}

// cached returns the name of addr, if it is known.
func (h *hostnames) cached(addr string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known[addr].name
}

// of is cached, and has the name looked up if it is not known, or for too long.
func (h *hostnames) of(addr string) string {
	if _, err := netip.ParseAddr(addr); err != nil {
		return "" // "others"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.known[addr]
	if time.Now().Before(have.until) {
		return have.name
	}
	select {
	case h.wanted <- addr:
		// Not again while it is being looked up.
		h.remember(addr, hostname{have.name, time.Now().Add(noHostnameFor)})
	default: // the next time
	}
	return have.name
}

// remember notes a name, and forgets the one that would be looked up next if
// they are too many. h.mu is held.
func (h *hostnames) remember(addr string, name hostname) {
	h.known[addr] = name
	if len(h.known) <= maxHostnames {
		return
	}
	oldest, until := addr, name.until
	for a, n := range h.known {
		if n.until.Before(until) {
			oldest, until = a, n.until
		}
	}
	delete(h.known, oldest)
}

// run looks names up until ctx ends, then returns nil.
func (h *hostnames) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range lookups {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case addr := <-h.wanted:
					h.find(ctx, addr)
				}
			}
		})
	}
	return g.Wait()
}

// find looks up the name of addr.
func (h *hostnames) find(ctx context.Context, addr string) {
	name, err := h.lookUp(ctx, addr)
	lasts := hostnameFor
	var fault *net.DNSError
	if err != nil && (!errors.As(err, &fault) || !fault.IsNotFound) {
		lasts = noHostnameFor
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remember(addr, hostname{name, time.Now().Add(lasts)})
}

// lookUp returns the first name that addr claims and that leads back to it.
func (h *hostnames) lookUp(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	claims, err := h.resolver.LookupAddr(ctx, addr)
	for _, claim := range claims[:min(len(claims), maxClaims)] {
		var back []netip.Addr
		if back, err = h.resolver.LookupNetIP(ctx, "ip", claim); err != nil {
			continue
		}
		same := func(a netip.Addr) bool { return a.Unmap().WithZone("").String() == addr }
		if slices.ContainsFunc(back, same) {
			return strings.ToLower(strings.TrimSuffix(claim, ".")), nil
		}
	}
	return "", err
}
