package swarm

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
)

// connManager makes libp2p's connection manager. When there are more peers than
// neighbours and 3/8 as many others, it closes connections until those are 1/4 as many,
// first to peers that are no boxes; none that is younger than newcomerFor. That is less
// than one network may have (networkWeight), so that it does not keep those for good.
func (b bounds) connManager() (*connmgr.BasicConnMgr, error) {
	return connmgr.NewConnManager(b.neighbours+b.neighbours/4, b.neighbours+b.neighbours*3/8, connmgr.WithGracePeriod(newcomerFor))
}

// What is known of peers. Addresses of peers that are not connected expire after 2 min to
// an hour, and the rest of what they said 1 min after they disconnected. libp2p's own
// bounds, a million addresses and 100,000 records of 8 KiB, allow 1 GB.
const (
	maxAddrs        = 1 << 16 // 20 MB
	maxAddrsPerPeer = 32
	maxPeerRecords  = 1024
	maxProtocols    = 64 // of a peer; a box has 18
)

func newHost(o Options, identity crypto.PrivKey, key pnet.PSK, gate *gate, handshakes *handshakeLog, boxes *boxes) (host.Host, error) {
	listen, fault1 := listenAddrs(o, key != nil)
	addresses, fault2 := newAddresses(o.Announce)
	if err := errors.Join(fault1, fault2); err != nil {
		return nil, err
	}
	if err := o.Network.probe(listen); err != nil {
		return nil, err
	}
	bounds := boundsOf(o.Memory, o.Files)
	limits, err := newAdmission(bounds, o.private())
	if err != nil {
		return nil, fmt.Errorf("setting the swarm's resource limits: %w", err)
	}
	conns, err := bounds.connManager()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setting the swarm's connection limits: %w", err), limits.Close())
	}
	known, err := pstoremem.NewPeerstore(pstoremem.WithMaxAddresses(maxAddrs), pstoremem.WithMaxAddressesPerPeer(maxAddrsPerPeer),
		pstoremem.WithMaxSignedPeerRecords(maxPeerRecords), pstoremem.WithMaxProtocols(maxProtocols))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setting the bounds of known addresses: %w", err), conns.Close(), limits.Close())
	}
	options := []libp2p.Option{
		libp2p.Peerstore(known),
		libp2p.Identity(identity),
		libp2p.ListenAddrs(listen...),
		libp2p.AddrsFactory(addresses.choose),
		libp2p.UserAgent("millpond/" + o.Version),
		libp2p.ConnectionGater(gate),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.DisableMetrics(), // they would go to a registry of the process
		libp2p.Security(tls.ID, observe(tls.New)),
		libp2p.Security(noise.ID, observe(noise.New)),
	}
	if key != nil {
		options = append(options, libp2p.PrivateNetwork(key))
	}
	options = append(options, o.Network.transports(key, handshakes)...)
	h, err := libp2p.New(append(options, natOptions(o, listen, boxes, gate)...)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the swarm's listeners: %w", err), known.Close(), conns.Close(), limits.Close())
	}
	limits.host.Store(&h)
	return h, nil
}

// listenAddrs parses o.Listen. A swarm with a key has TCP alone: libp2p's
// QUIC knows no pre-shared keys.
func listenAddrs(o Options, private bool) ([]ma.Multiaddr, error) {
	var addrs []ma.Multiaddr
	var faults []error
	for _, text := range o.Listen {
		addr, err := ma.NewMultiaddr(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("swarm listen address %q: %w; want a multiaddr such as /ip4/0.0.0.0/tcp/4001", text, err))
			continue
		}
		if _, err := addr.ValueForProtocol(ma.P_QUIC_V1); err == nil && private {
			o.Log.Info("not listening by QUIC: a swarm with a key has TCP alone", "addr", addr)
			continue
		}
		addrs = append(addrs, addr)
	}
	if len(faults) == 0 && len(addrs) == 0 {
		faults = append(faults, errors.New("the swarm has no address to listen on; want one such as /ip4/0.0.0.0/tcp/4001"))
	}
	return addrs, errors.Join(faults...)
}
