package swarm

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	clients  netip.AddrPort // see ClientsAt
	bridges  func() (map[string]bool, error)

	mu    sync.Mutex // guards the fields below
	known map[string]bool
	until time.Time
}

func newAddresses(announce []string) (*addresses, error) {
	a := &addresses{bridges: bridgeIPs}
	var faults []error
	for _, text := range announce {
		addr, err := parseAddr(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("address to announce: %w", err))
			continue
		}
		if forClients(addr) {
			at, err := clientsAt(addr)
			if err != nil {
				faults = append(faults, fmt.Errorf("address to announce: %w", err))
			}
			if a.clients.Port() == 0 {
				a.clients = at
			}
			continue
		}
		a.announce = append(a.announce, addr)
		if ip, err := manet.ToIP(addr); err == nil && !a.clients.IsValid() {
			if ip, ok := netip.AddrFromSlice(ip); ok {
				a.clients = netip.AddrPortFrom(ip.Unmap(), 0)
			}
		}
	}
	return a, errors.Join(faults...)
}

// forClients reports whether an address to announce is one for clients, not for boxes.
func forClients(addr ma.Multiaddr) bool {
	_, last := ma.SplitLast(addr)
	return last != nil && last.Protocol().Code == ma.P_HTTP
}

// clientsAt reads an address to announce that is for clients.
func clientsAt(addr ma.Multiaddr) (netip.AddrPort, error) {
	bare, _ := ma.SplitLast(addr)
	var tcp *net.TCPAddr
	if len(bare) > 0 { // ToNetAddr panics without a part
		if at, err := manet.ToNetAddr(bare); err == nil {
			tcp, _ = at.(*net.TCPAddr)
		}
	}
	if tcp == nil || tcp.Port == 0 {
		return netip.AddrPort{}, fmt.Errorf("clients cannot use %.300q: write the address and port of the box, such as /ip4/192.0.2.5/tcp/3142/http", addr)
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

// ClientsAt is where clients reach a box, as far as its Options.Announce says: the address
// that ends in /http, or else, with the port 0, the first one for boxes that is an IP
// address. It is not valid if there is none.
func ClientsAt(announce []string) netip.AddrPort {
	a, _ := newAddresses(announce) // New returns the error
	return a.clients
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
