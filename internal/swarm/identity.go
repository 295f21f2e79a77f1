package swarm

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"millpond/internal/disk"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
)

// loadIdentity reads the box's ed25519 key, in libp2p's protobuf form, and
// makes the file if it is missing. Two processes that make it at once end up
// with the same key.
func loadIdentity(file string, log *slog.Logger) (crypto.PrivKey, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeIdentity(file); err != nil {
			return nil, fmt.Errorf("making the identity key %s: %w", file, err)
		}
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the identity key: %w", err)
	}
	key, err := unmarshalIdentity(content)
	if err != nil {
		return nil, fmt.Errorf("reading the identity key %s: %w; restore it, or remove it for a new identity", file, err)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		// No error: secrets that Kubernetes mounts have wider modes.
		log.Warn("identity key readable by other users", "file", file, "mode", info.Mode().Perm(), "cure", "chmod 600")
	}
	return key, nil
}

// CheckIdentity reports why content is not that of a file with an identity key.
func CheckIdentity(content []byte) error {
	_, err := unmarshalIdentity(content)
	return err
}

func unmarshalIdentity(content []byte) (crypto.PrivKey, error) {
	key, err := crypto.UnmarshalPrivateKey(content)
	if err != nil {
		return nil, err
	}
	if key.Type() != pb.KeyType_Ed25519 {
		return nil, fmt.Errorf("a key of type %s, want Ed25519", key.Type())
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, err
	}
	// libp2p takes a key whose halves do not belong together.
	if !bytes.Equal(raw, ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])) {
		return nil, errors.New("the public half of the key is not that of the private one")
	}
	return key, nil
}

// makeIdentity writes a new key to file unless there is one.
func makeIdentity(file string) error {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	content, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	temp, err := os.CreateTemp(dir, ".identity-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	// A link, other than a rename, leaves a key alone that came meanwhile.
	if err := os.Link(temp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return disk.SyncDir(dir)
}
