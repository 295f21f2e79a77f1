package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// sumsName is the file with the checksums of all others but its own signature.
const sumsName = "SHA256SUMS"

// writeNotes makes a page of what CHANGELOG.md says of the version.
func (r *release) writeNotes() error {
	return os.WriteFile(filepath.Join(r.dir, "RELEASE_NOTES.md"), []byte(r.version.notes), 0o644)
}

// writeSums makes the checksums, as `sha256sum --check` reads them.
func (r *release) writeSums() error {
	all, err := r.artefacts()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s  %s\n", a.Digest["sha256"], a.Name)
	}
	return os.WriteFile(filepath.Join(r.dir, sumsName), []byte(b.String()), 0o644)
}

// sign signs the checksums, and with them all else, if there is a key.
func (r *release) sign() error {
	if r.key == "" {
		return nil
	}
	signature, err := signed(r.key, filepath.Join(r.dir, sumsName), r.version.time)
	if err != nil {
		return fmt.Errorf("signing with the key in %s: %w", r.key, err)
	}
	return os.WriteFile(filepath.Join(r.dir, sumsName+".asc"), signature, 0o644)
}

// signed is the detached signature of a file, armored. It has the time of the release
// rather than the present one, and no random notation, so that keys of RSA and EdDSA give
// the same each time.
func signed(keyFile, file string, at time.Time) ([]byte, error) {
	key, err := os.Open(keyFile)
	if err != nil {
		return nil, err
	}
	defer key.Close()
	keys, err := openpgp.ReadArmoredKeyRing(key)
	if err != nil {
		return nil, fmt.Errorf("%w; it takes what `gpg --export-secret-keys --armor` writes", err)
	}
	if len(keys) != 1 || keys[0].PrivateKey == nil {
		return nil, fmt.Errorf("the file has %d keys; it takes one, with its private part", len(keys))
	}
	if keys[0].PrivateKey.Encrypted {
		return nil, errors.New("the key has a passphrase: export it without one, to where only the release can read it")
	}
	data, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	random := false
	var b bytes.Buffer
	err = openpgp.ArmoredDetachSign(&b, keys[0], data, &packet.Config{
		Time: func() time.Time { return at }, NonDeterministicSignaturesViaNotation: &random,
	})
	if err != nil {
		return nil, fmt.Errorf("%w; was the key made before %s, the time of the release?", err, at.Format(time.RFC3339))
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
