package swarm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/pnet"
)

// keyHead opens a swarm key file: libp2p's pre-shared key, version 1, in
// hexadecimal.
const keyHead = "/key/swarm/psk/1.0.0/\n/base16/\n"

// NewKey makes a swarm key file's content: 256 random bits behind two lines
// that tell what they are. Whoever has it can join the swarm.
func NewKey() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return fmt.Appendf(nil, "%s%x\n", keyHead, secret)
}

// parseKey reads a swarm key file's content. Nil content means no key, but an
// empty file is a fault: it must not open the swarm by accident.
func parseKey(content []byte) (pnet.PSK, error) {
	if content == nil {
		return nil, nil
	}
	const want = `want the three lines that "millpond swarm-key" prints`
	content = append(bytes.TrimSpace(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))), '\n')
	if len(content) == 1 {
		return nil, errors.New("reading the swarm key: the file is empty; " + want)
	}
	rest, ok := bytes.CutPrefix(content, []byte(keyHead))
	if !ok {
		return nil, fmt.Errorf("reading the swarm key: it does not begin with %q; %s", keyHead, want)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(rest)))
	if err != nil {
		// The error would quote a piece of the key.
		return nil, errors.New("reading the swarm key: the third line is not hexadecimal; " + want)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("reading the swarm key: %d bits, not 256; %s", 8*len(key), want)
	}
	return key, nil
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
