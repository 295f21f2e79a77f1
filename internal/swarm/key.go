package swarm

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/pnet"
)

// keyHead is what libp2p's own key files begin with: pre-shared key, version 1, in
// hexadecimal. It may be left out.
const keyHead = "/key/swarm/psk/1.0.0/\n/base16/\n"

// NewKey makes a swarm key: a line with 256 random bits in hexadecimal, as
// `openssl rand -hex 32` prints. Whoever has it can join the swarm.
func NewKey() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return fmt.Appendf(nil, "%x\n", secret)
}

// parseKey reads a swarm key, with or without keyHead. Nil means no key, but an
// empty one is a fault: it must not open the swarm by accident.
func parseKey(content []byte) (pnet.PSK, error) {
	if content == nil {
		return nil, nil
	}
	const want = "want 64 hexadecimal digits, as `millpond swarm-key` prints them"
	content = bytes.TrimSpace(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")))
	if len(content) == 0 {
		return nil, errors.New("reading the swarm key: it is empty; " + want)
	}
	digits := bytes.TrimSpace(bytes.TrimPrefix(content, []byte(keyHead)))
	key, err := hex.DecodeString(string(digits))
	if err != nil {
		// The error would quote a piece of the key.
		return nil, errors.New("reading the swarm key: it is not hexadecimal; " + want)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("reading the swarm key: %d bits, not 256; %s", 8*len(key), want)
	}
	return key, nil
}

// Secret returns 256 bits that the boxes of a swarm have in common for one purpose, and
// that nobody without its key knows. Everybody knows those of an open swarm, whose key is
// nil. The key is as in Options.
func Secret(key []byte, purpose string) ([]byte, error) {
	psk, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, psk)
	mac.Write([]byte("millpond\n" + purpose))
	return mac.Sum(nil), nil
}

// swarmTag names the swarm of key in protocol names and on the network
// segment, so that swarms do not meet: 64 bits of a hash, which tell nothing
// of the key.
func swarmTag(key pnet.PSK) string {
	if key == nil {
		return "open"
	}
	sum := sha256.Sum256(append([]byte("millpond swarm tag\n"), key...))
	return hex.EncodeToString(sum[:8])
}
