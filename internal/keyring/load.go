package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	k = &Keyring{files: files{dirs: dirs, known: make(map[string]*file), faults: make(map[string]string)}}
	for _, dir := range dirs {
		seen, err := list(dir)
		if err != nil {
			return nil, nil, err
		}
		for path, now := range seen {
			f := &file{next: now}
			if _, err := f.read(path, now); err != nil {
				f.fault = err.Error()
				bad = append(bad, fmt.Errorf("reading keys of %s: %w", path, err))
			}
			k.files.known[path] = f
		}
	}
	k.keys.Store(k.files.keys())
	return k, bad, nil
}

// list returns the key files in dir, none if there is no such directory.
func list(dir string) (map[string]state, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a keyring directory (name the directory, not a file in it): %w", err)
	}
	seen := make(map[string]state)
	for _, e := range entries {
		if isKeyFile(e.Name()) {
			path := filepath.Join(dir, e.Name())
			seen[path] = stateOf(path)
		}
	}
	return seen, nil
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
	return parseKeys(file, b)
}

// parseKeys is readKeys for what stands in a file.
func parseKeys(file string, b []byte) (_ openpgp.EntityList, err error) {
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
