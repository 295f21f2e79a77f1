package swarm

import (
	"log/slog"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// The functions below check single options, so that a caller can report all
// mistakes at once. New returns the same errors.

// CheckAddr checks an address to listen on or to announce.
func CheckAddr(s string) error {
	_, err := ma.NewMultiaddr(s)
	return err
}

// CheckPeer checks a peer ID.
func CheckPeer(s string) error {
	_, err := p2p.Decode(s)
	return err
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
