package swarm

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// bridge matches the interfaces of containers and virtual machines: of Docker (br-
// and twelve digits; br-lan is a router's own), Kubernetes networks, Podman and
// libvirt. On other machines their addresses lead to a different host or to none.
var bridge = regexp.MustCompile(`^(docker\d|br-[0-9a-f]{12}$|veth|cni|cali|cilium|flannel|podman|virbr|lxc)`)

// interfacesFor is how long the list of interfaces is cached: it seldom changes,
// and libp2p calls choose often.
const interfacesFor = 30 * time.Second

// addresses chooses the addresses that a box announces.
type addresses struct {
	announce []ma.Multiaddr // instead of all others, if any
	bridges  func() (map[string]bool, error)

	mu    sync.Mutex // guards the fields below
	known map[string]bool
	until time.Time
}

func newAddresses(announce []string) (*addresses, error) {
	a := &addresses{bridges: bridgeIPs}
	var faults []error
	for _, text := range announce {
		addr, err := ma.NewMultiaddr(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("address to announce %q: %w; want a multiaddr such as /dns4/box.example.org/tcp/4001", text, err))
			continue
		}
		a.announce = append(a.announce, addr)
	}
	return a, errors.Join(faults...)
}

// choose is libp2p's AddrsFactory.
func (a *addresses) choose(all []ma.Multiaddr) []ma.Multiaddr {
	if len(a.announce) > 0 {
		return a.announce
	}
	return a.own(all)
}

// own leaves out loopback and container bridges if other addresses remain: a box
// that listens only on such an address is reachable there.
func (a *addresses) own(all []ma.Multiaddr) []ma.Multiaddr {
	bridges := a.bridgesNow()
	var good, bridged []ma.Multiaddr
	for _, addr := range all {
		ip, err := manet.ToIP(addr)
		switch {
		case err != nil: // a name or a relay
			good = append(good, addr)
		case ip.IsLoopback(), ip.IsLinkLocalUnicast():
		case bridges[ip.String()]:
			bridged = append(bridged, addr)
		default:
			good = append(good, addr)
		}
	}
	switch {
	case len(good) > 0:
		return good
	case len(bridged) > 0:
		return bridged
	}
	return all
}

func (a *addresses) bridgesNow() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.After(a.until) {
		// After an error the previous list is used.
		if known, err := a.bridges(); err == nil {
			a.known = known
		}
		a.until = now.Add(interfacesFor)
	}
	return a.known
}

// bridgeIPs lists the addresses of this machine's container bridges.
func bridgeIPs() (map[string]bool, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	ips := make(map[string]bool)
	for _, i := range interfaces {
		if !bridge.MatchString(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			if n, ok := addr.(*net.IPNet); ok {
				ips[n.IP.String()] = true
			}
		}
	}
	return ips, nil
}
