package swarm

import (
	"fmt"
	"log/slog"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// The functions below check single options, so that a caller can report all
// mistakes at once. New returns the same errors.

// CheckAnnounce checks an address to announce.
func CheckAnnounce(s string) error {
	addr, err := parseAddr(s)
	if err == nil && forClients(addr) {
		_, err = clientsAt(addr)
	}
	return err
}

// CheckAddr checks an address to listen on.
func CheckAddr(s string) error {
	_, err := parseAddr(s)
	return err
}

// parseAddr reads a multiaddr. Its error is in the words of an administrator, not in those
// of the library.
func parseAddr(s string) (ma.Multiaddr, error) {
	addr, err := ma.NewMultiaddr(s)
	if err != nil {
		return nil, fmt.Errorf("%.300q is not a multiaddr: write one such as /ip4/0.0.0.0/tcp/4001 or /dns4/box.example.org/tcp/4001", s)
	}
	return addr, nil
}

// CheckPeer checks a peer ID.
func CheckPeer(s string) error {
	if _, err := p2p.Decode(s); err != nil {
		return fmt.Errorf("%.300q is not a peer ID: it begins with 12D3KooW, and `millpond peers` of a connected box lists it", s)
	}
	return nil
}

// CheckBootstrap checks a bootstrap entry.
func CheckBootstrap(s string) error {
	_, err := newBootstrap([]string{s}, slog.New(slog.DiscardHandler))
	return err
}

// CheckKey checks a swarm key. Its error does not quote the key.
func CheckKey(content []byte) error {
	_, err := parseKey(content)
	return err
}
