package swarm

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/pnet"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"millpond/internal/address"
)

// Network is the network that a swarm is on. The zero value is that of this machine;
// tests have others.
type Network struct {
	// Transports are what dials and listens, with what else the network demands of
	// libp2p. nil: TCP, without a key QUIC too, and port mappings in the router.
	Transports []libp2p.Option
	// Probe returns an error if somebody else listens at an address of
	// Options.Listen. nil: without Transports, whether the TCP port is taken.
	Probe func(ma.Multiaddr) error
	// Public reports whether an address may be dialled whoever says that a box is
	// there. nil: address.IsPublic.
	Public func(netip.Addr) bool
	// Host is added to libp2p's options after all others.
	Host []libp2p.Option
}

// real reports whether n is the network of this machine.
func (n Network) real() bool { return n.Transports == nil }

func (n Network) isPublic() func(netip.Addr) bool {
	if n.Public != nil {
		return n.Public
	}
	return address.IsPublic
}

// transports returns the options for what dials and listens. libp2p's QUIC knows no
// pre-shared keys.
func (n Network) transports(key pnet.PSK, handshakes *handshakeLog) []libp2p.Option {
	switch {
	case !n.real():
		return n.Transports
	case key != nil:
		return []libp2p.Option{libp2p.Transport(handshakes.tcp)}
	default:
		return []libp2p.Option{libp2p.Transport(handshakes.tcp), libp2p.Transport(quic.NewTransport)}
	}
}

// probe returns an error for the first of the addresses that is taken.
func (n Network) probe(listen []ma.Multiaddr) error {
	probe := n.Probe
	if probe == nil {
		if !n.real() {
			return nil
		}
		probe = probeTCP
	}
	for _, addr := range listen {
		if err := probe(addr); err != nil {
			return fmt.Errorf("listening for the swarm on %s: %w", addr, err)
		}
	}
	return nil
}

// probeTCP fails for a TCP port that is taken. libp2p would share it with the
// other process, since its listeners set SO_REUSEPORT (for hole punching), and
// each would get some of the connections.
func probeTCP(addr ma.Multiaddr) error {
	if _, err := addr.ValueForProtocol(ma.P_TCP); err != nil {
		return nil
	}
	l, err := manet.Listen(addr)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return err
	default:
		// Other errors are libp2p's to judge: it goes on with the addresses that
		// work, on a machine without IPv6 for one.
		return nil
	}
}
