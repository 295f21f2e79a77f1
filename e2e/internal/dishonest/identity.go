package dishonest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
)

// tries is how many identities a squatter makes before it takes the best: that which
// is the first owner of most files. It gets half of them among six boxes.
const tries = 512

// makeIdentity writes the private key of a squatter that ranks above the honest boxes,
// which have the multiaddrs, for as many of the files as it can.
func makeIdentity(name string, honest []string, files []File) error {
	var others []p2p.ID
	for _, addr := range honest {
		_, text, _ := strings.Cut(addr, "/p2p/")
		id, err := p2p.Decode(text)
		if err != nil {
			return err
		}
		others = append(others, id)
	}
	var best crypto.PrivKey
	most := -1
	for range tries {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return err
		}
		id, err := p2p.IDFromPrivateKey(key)
		if err != nil {
			return err
		}
		if n := owned(id, others, files); n > most {
			best, most = key, n
		}
	}
	content, err := crypto.MarshalPrivateKey(best)
	if err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o600)
}

// owned is for how many files id ranks above all others.
func owned(id p2p.ID, others []p2p.ID, files []File) (n int) {
	for _, f := range files {
		w := weight(id, f.Digest)
		if !slices.ContainsFunc(others, func(o p2p.ID) bool { return bytes.Compare(weight(o, f.Digest), w) > 0 }) {
			n++
		}
	}
	return n
}

// weight is the rank of a box for a file, as the swarm has it.
func weight(id p2p.ID, d digest.Digest) []byte {
	h := sha256.New()
	h.Write(d[:])
	h.Write([]byte(id))
	return h.Sum(nil)
}
