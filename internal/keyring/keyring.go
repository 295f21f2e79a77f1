// Package keyring verifies Release files against the keys of archives.
//
// It stands on ProtonMail's go-crypto for OpenPGP and adds what apt requires
// beyond a good signature: strict framing of clear-signed text, so that
// no unsigned text is accepted with it, and one result for several signatures. As
// in apt, a file is good if at least one key of the keyring signed it and no
// signature by a key of the keyring is wrong; signatures by unknown keys do not
// matter, since archives sign with old and new keys side by side. Signatures
// made with MD5, SHA-1 or RIPEMD-160 count for nothing. The length of a key
// is not checked: the administrator decides which keys the keyring has.
package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Reasons why a file is not verified. ErrBadSignature means that the file or its
// signature was changed; the others that it counts as unsigned.
var (
	ErrUnknownKey   = errors.New("no key in the keyring made this signature: put the archive's key there")
	ErrBadSignature = errors.New("signature does not match")
	ErrExpired      = errors.New("key or signature has expired, or is not yet valid by this machine's clock")
	ErrRevoked      = errors.New("the signing key is revoked")
	ErrWeak         = errors.New("the signature uses a broken hash (MD5, SHA-1 or RIPEMD-160)")
	ErrLegacy       = errors.New("the signature has a legacy format (older than version 4) that is not supported: the archive has to sign anew")
	ErrMalformed    = errors.New("not one well-formed OpenPGP signature")
)

// DefaultDirs is where distributions put archive keys.
var DefaultDirs = []string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}

// maxSignatures bounds the work for one file. Debian signs with three keys.
const maxSignatures = 16

// Keyring is a set of archive keys. It does not change after Load and may be
// used by several goroutines. The zero value is an empty keyring.
type Keyring struct {
	// keys holds the keys by the IDs of each and of its subkeys. Two files
	// may hold one key in different states, a renewed and an expired one for
	// instance, so copies are kept side by side.
	keys map[uint64]openpgp.EntityList
	n    int
}

// Len returns the number of keys, not counting subkeys and copies.
func (k *Keyring) Len() int { return k.n }

// Signer names the key that made a valid signature.
type Signer struct {
	Fingerprint string // of the primary key, in upper-case hexadecimal digits
	Identity    string // the key's user ID
	At          time.Time
}

// Clearsigned verifies an InRelease and returns the signed text, as apt
// parses it: dash-escapes undone, blanks at line ends removed, lines ended by
// "\n" alone. The text is returned together with the errors above too, so
// that the files of an unsigned archive can still be listed; only with
// ErrMalformed there is none. That stands for anything but exactly one
// clear-signed message with nothing but white space around it. The caller
// bounds the size: memory is about four times that of inRelease.
func (k *Keyring) Clearsigned(inRelease []byte) (text []byte, s Signer, err error) {
	text, signed, sigs, err := splitClearsigned(inRelease)
	if err != nil {
		return nil, Signer{}, fmt.Errorf("reading clear-signed text: %w", err)
	}
	s, err = k.verify(signed, sigs)
	return text, s, err
}

// Detached verifies a Release by its Release.gpg, which may be armored or
// binary and may hold up to 16 signatures.
func (k *Keyring) Detached(release, sig []byte) (Signer, error) {
	sigs, err := splitDetached(sig)
	if err != nil {
		return Signer{}, fmt.Errorf("reading a detached signature: %w", err)
	}
	return k.verify(release, sigs)
}

// verify combines the results of all signatures of a text.
func (k *Keyring) verify(signed []byte, sigs []*packet.OpaquePacket) (Signer, error) {
	var (
		signer Signer
		good   bool
		worst  error
	)
	for _, sig := range sigs {
		s, err := k.check(signed, sig)
		switch {
		case errors.Is(err, ErrBadSignature):
			return Signer{}, err
		case err != nil:
			// An expired known key says more than an unknown one.
			if worst == nil || errors.Is(worst, ErrUnknownKey) {
				worst = err
			}
		case !good:
			signer, good = s, true
		}
	}
	if good {
		return signer, nil
	}
	return Signer{}, worst
}

// check verifies one signature against every copy of the key that made it.
func (k *Keyring) check(signed []byte, p *packet.OpaquePacket) (Signer, error) {
	if p.Contents[0] < 4 {
		return Signer{}, fmt.Errorf("signature of version %d: %w", p.Contents[0], ErrLegacy)
	}
	if weakHash(p.Contents) {
		return Signer{}, ErrWeak
	}
	parsed, err := p.Parse()
	sig, ok := parsed.(*packet.Signature)
	if err != nil || !ok || sig.IssuerKeyId == nil {
		// A kind of key that go-crypto does not know cannot be in the keyring.
		return Signer{}, fmt.Errorf("signature that cannot be read (%v): %w", err, ErrUnknownKey)
	}
	var raw bytes.Buffer
	if err := p.Serialize(&raw); err != nil {
		return Signer{}, fmt.Errorf("serializing a signature: %w", err)
	}
	var signer Signer
	result := ErrUnknownKey
	for _, entity := range k.keys[*sig.IssuerKeyId] {
		_, _, err := openpgp.VerifyDetachedSignature(openpgp.EntityList{entity},
			bytes.NewReader(signed), bytes.NewReader(raw.Bytes()), nil)
		if err = sentinel(err); rank(err) > rank(result) {
			result = err
			signer = describe(entity, sig)
		}
	}
	if result != nil {
		return Signer{}, fmt.Errorf("signature by key %016X of %s: %w",
			*sig.IssuerKeyId, sig.CreationTime.UTC().Format(time.DateOnly), result)
	}
	return signer, nil
}

// rank orders what the copies of a key say of one signature: the last counts.
// A copy that can check the signature beats another key with the same ID, a
// renewed copy an expired one, and one that knows of a revocation beats all.
func rank(result error) int {
	return slices.Index([]error{ErrUnknownKey, ErrBadSignature, ErrExpired, nil, ErrRevoked}, result)
}

// sentinel returns our error for one of go-crypto, which reports expiry and
// revocation only of signatures that match.
func sentinel(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer): // among others a key not meant for signing
		return ErrUnknownKey
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
		return ErrExpired
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return ErrRevoked
	}
	return ErrBadSignature
}

// weakHash reports whether a signature packet of version 4 or later names one
// of the hashes 1 to 3 (RFC 9580, section 9.5): MD5, SHA-1 or RIPEMD-160.
func weakHash(packet []byte) bool {
	return len(packet) > 3 && 1 <= packet[3] && packet[3] <= 3
}

func describe(e *openpgp.Entity, sig *packet.Signature) Signer {
	s := Signer{
		Fingerprint: strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint)),
		At:          sig.CreationTime.UTC(),
	}
	if id := e.PrimaryIdentity(); id != nil { // keys of version 6 need none
		s.Identity = id.Name
	}
	return s
}
