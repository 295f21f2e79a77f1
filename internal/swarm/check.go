package swarm

import (
	"log/slog"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// The functions below look at single options, for whoever reads them and
// wants to tell all that is wrong at once. New refuses the same.

// CheckAddr looks at an address to listen on or to announce.
func CheckAddr(s string) error {
	_, err := ma.NewMultiaddr(s)
	return err
}

// CheckPeer looks at a peer ID.
func CheckPeer(s string) error {
	_, err := p2p.Decode(s)
	return err
}

// CheckBootstrap looks at a bootstrap entry.
func CheckBootstrap(s string) error {
	_, err := newBootstrap([]string{s}, slog.New(slog.DiscardHandler))
	return err
}

// CheckKey looks at the content of a swarm key file. Its error does not quote
// the key.
func CheckKey(content []byte) error {
	_, err := parseKey(content)
	return err
}
