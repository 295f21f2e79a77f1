package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// maxKeyFile bounds a file of keys. Debian's whole keyring has 60 KB.
const maxKeyFile = 16 << 20

// Load reads the keys of every *.gpg, *.pgp and *.asc in dirs, armored or
// binary whatever the name says. A missing directory counts as an empty one.
// Keyrings of removed keys (*removed-keys*), which Debian ships to verify old
// releases, are left out. A file that cannot be used is an error in bad, and
// the rest is loaded; err is for a directory that cannot be read.
func Load(dirs ...string) (k *Keyring, bad []error, err error) {
	k = &Keyring{keys: make(map[uint64]openpgp.EntityList)}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, bad, fmt.Errorf("reading a keyring directory (name the directory, not a file in it): %w", err)
		}
		for _, e := range entries {
			if !isKeyFile(e.Name()) {
				continue
			}
			file := filepath.Join(dir, e.Name())
			entities, err := readKeys(file)
			if err != nil {
				bad = append(bad, fmt.Errorf("reading keys of %s: %w", file, err))
			}
			for _, entity := range entities {
				k.add(entity)
			}
		}
	}
	return k, bad, nil
}

func isKeyFile(name string) bool {
	switch filepath.Ext(name) {
	case ".gpg", ".pgp", ".asc":
		return !strings.Contains(name, "removed-keys")
	}
	return false
}

// readKeys returns the usable keys of a file, with an error if that is not
// all of them. A directory has none.
func readKeys(file string) (openpgp.EntityList, error) {
	info, err := os.Stat(file) // follows links: mounted secrets are made of them
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, nil
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("%d bytes, at most %d are read", info.Size(), maxKeyFile)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if isKeybox(b) {
		return nil, fmt.Errorf("a GnuPG keybox, which apt does not read either; "+
			"export its keys: gpg --no-default-keyring --keyring %[1]s --export > exported.gpg", file)
	}
	if !isBinary(b) {
		if b, _, err = dearmor(b, openpgp.PublicKeyType); err != nil {
			return nil, err
		}
	}
	entities, err := openpgp.ReadKeyRing(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if len(entities) == 0 {
		return nil, errors.New("no public key in it")
	}
	return selfSigned(entities)
}

// selfSigned leaves out keys without a self-signature: it would state their
// purpose, and go-crypto relies on its presence when it verifies.
func selfSigned(entities openpgp.EntityList) (kept openpgp.EntityList, err error) {
	for _, e := range entities {
		if sig, _ := e.PrimarySelfSignature(); sig == nil {
			err = fmt.Errorf("key %X has no valid self-signature", e.PrimaryKey.Fingerprint)
			continue
		}
		kept = append(kept, e)
	}
	return kept, err
}

// isKeybox looks for the magic number in the header of GnuPG's own format.
func isKeybox(b []byte) bool {
	return len(b) >= 12 && string(b[8:12]) == "KBXf"
}

func (k *Keyring) add(e *openpgp.Entity) {
	id := e.PrimaryKey.KeyId
	known := slices.ContainsFunc(k.keys[id], func(o *openpgp.Entity) bool {
		return bytes.Equal(o.PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint)
	})
	if !known {
		k.n++
	}
	k.keys[id] = append(k.keys[id], e)
	for _, sub := range e.Subkeys {
		k.keys[sub.PublicKey.KeyId] = append(k.keys[sub.PublicKey.KeyId], e)
	}
}
