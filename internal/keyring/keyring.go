// Package keyring verifies Release files against the keys of archives.
//
// It stands on ProtonMail's go-crypto for OpenPGP and follows apt of the current
// Debian release (13) in what it accepts: framing has how apt splits
// clear-signed text, so that no unsigned text is accepted with it; policy which
// algorithms are too weak, and from when on; validity when keys and signatures
// are valid. Of several signatures one good one by a key of the keyring is
// enough, whatever the others are: archives sign with old and new keys side by
// side. (apt before Debian 13 refuses a file that has a wrong one, too.)
package keyring

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Reasons why a file is not verified. ErrBadSignature means that the file or its
// signature was changed; the others that it counts as unsigned.
var (
	ErrUnknownKey   = errors.New("no key in the keyring made this signature: put the archive's key there")
	ErrOtherKey     = errors.New("signed by none of the keys in the archive's Signed-By")
	ErrBadSignature = errors.New("signature does not match")
	ErrExpired      = errors.New("not valid at this time")
	ErrRevoked      = errors.New("the signing key is revoked")
	ErrWeak         = errors.New("the signature is too weak for apt, the archive has to sign anew")
	ErrUnsupported  = errors.New("the signature cannot be verified here")
	ErrLegacy       = errors.New("the signature has a legacy format (older than version 4), which apt refuses since 2026-02-01: the archive has to sign anew")
	ErrMalformed    = errors.New("not one well-formed OpenPGP signature")
)

// ErrEarly is the ErrExpired that passes with time, or when the clock is set
// right.
var ErrEarly = fmt.Errorf("%w: signed in the future, by this machine's clock", ErrExpired)

// UnknownKeyError is an ErrUnknownKey that names the keys that signed.
type UnknownKeyError struct {
	Keys  []string // fingerprints, or key IDs where a signature has no more
	Where []string // URIs in the signatures of key servers and policies
	err   error
}

func (e *UnknownKeyError) Error() string { return e.err.Error() }
func (e *UnknownKeyError) Unwrap() error { return e.err }

// DefaultDirs is where distributions put archive keys.
var DefaultDirs = []string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}

// maxSignatures bounds the work for one file. Debian signs with three keys.
const maxSignatures = 16

// Keyring is a set of archive keys, which Watch keeps in step with the files
// that Load read. It may be used by several goroutines. The zero value is an
// empty keyring.
type Keyring struct {
	keys  atomic.Pointer[keys] // nil: none
	files files                // used by Load, then by Watch
	now   func() time.Time     // nil: time.Now
}

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
// bounds the size: memory is about twice that of inRelease. If there are
// fingerprints in only, no other key counts, as with Signed-By in apt.
func (k *Keyring) Clearsigned(inRelease []byte, only ...string) (text []byte, s Signer, err error) {
	text, sigs, err := splitClearsigned(inRelease)
	if err != nil {
		return nil, Signer{}, fmt.Errorf("reading clear-signed text: %w", err)
	}
	s, err = k.verify(text, sigs, only)
	return text, s, err
}

// Detached verifies a Release by its Release.gpg, which may be armored or
// binary and may hold up to 16 signatures. only is Clearsigned's.
func (k *Keyring) Detached(release, sig []byte, only ...string) (Signer, error) {
	sigs, err := splitDetached(sig)
	if err != nil {
		return Signer{}, fmt.Errorf("reading a detached signature: %w", err)
	}
	return k.verify(release, sigs, only)
}

// clock is the present time.
func (k *Keyring) clock() time.Time {
	if k.now != nil {
		return k.now()
	}
	return time.Now()
}

// IsDetached reports whether sig is a Release.gpg, whoever signed what.
func IsDetached(sig []byte) bool {
	_, err := splitDetached(sig)
	return err == nil
}

// verify combines the results of all signatures of a text. If only is not empty,
// those of other keys do not count.
func (k *Keyring) verify(signed []byte, sigs []*packet.OpaquePacket, only []string) (Signer, error) {
	keys := k.present()
	worst := ErrUnknownKey
	if len(keys.byID) == 0 {
		worst = fmt.Errorf("the keyring is empty: %w", ErrUnknownKey)
	}
	var unknown UnknownKeyError
	var other error
	for _, sig := range sigs {
		s, err := keys.check(signed, sig, k.clock())
		var missing *UnknownKeyError
		if errors.As(err, &missing) {
			unknown.Keys, unknown.Where = append(unknown.Keys, missing.Keys...), append(unknown.Where, missing.Where...)
		}
		switch {
		case err == nil && len(only) > 0 && !slices.Contains(only, s.Fingerprint):
			other = fmt.Errorf("%w, but by %s", ErrOtherKey, s.Fingerprint)
		case err == nil:
			return s, nil
		case errors.Is(err, ErrBadSignature), errors.Is(err, ErrEarly) && !errors.Is(worst, ErrBadSignature):
			worst = err
		case len(keys.byID) > 0 && (errors.Is(worst, ErrUnknownKey) || errors.Is(worst, ErrUnsupported)):
			worst = err // an expired known key says more than an unknown one
		}
	}
	if other != nil {
		return Signer{}, other
	}
	if errors.Is(worst, ErrUnknownKey) && len(unknown.Keys) > 0 {
		unknown.err = worst
		worst = &unknown
	}
	return Signer{}, worst
}

// check verifies one signature against every copy of the key that made it.
func (k *keys) check(signed []byte, p *packet.OpaquePacket, now time.Time) (Signer, error) {
	if p.Contents[0] < 4 {
		return Signer{}, fmt.Errorf("signature of version %d: %w", p.Contents[0], ErrLegacy)
	}
	if len(p.Contents) > 3 {
		if err := fileHashes.accept(oldHashes[p.Contents[3]], "made", now); err != nil {
			return Signer{}, err
		}
	}
	parsed, err := p.Parse()
	sig, ok := parsed.(*packet.Signature)
	if err != nil || !ok || sig.IssuerKeyId == nil {
		return Signer{}, fmt.Errorf("%w: it cannot be read (%v)", ErrUnsupported, err)
	}
	var signer Signer
	result := ErrUnknownKey
	for _, entity := range k.byID[*sig.IssuerKeyId] {
		if err := checkBy(entity, sig, signed, now); rank(err) > rank(result) {
			result = err
			signer = describe(entity, sig)
		}
	}
	if result == nil {
		return signer, nil
	}
	err = fmt.Errorf("signature by key %016X of %s: %w",
		*sig.IssuerKeyId, sig.CreationTime.UTC().Format(time.DateOnly), result)
	if errors.Is(err, ErrUnknownKey) {
		err = &UnknownKeyError{[]string{issuer(sig)}, where(p), err}
	}
	return Signer{}, err
}

// issuer names the key that made a signature, by its fingerprint if it has that.
func issuer(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	}
	return fmt.Sprintf("%016X", *sig.IssuerKeyId)
}

// checkBy verifies a signature against one copy of the key that it names.
func checkBy(entity *openpgp.Entity, sig *packet.Signature, signed []byte, now time.Time) error {
	keys := openpgp.EntityList{entity}.KeysByIdUsage(*sig.IssuerKeyId, packet.KeyFlagSign)
	if len(keys) == 0 { // not meant for signing
		return ErrUnknownKey
	}
	bindings, err := acceptKey(keys[0], sig.CreationTime, now)
	if err != nil {
		return err
	}
	if err := match(keys[0].PublicKey, sig, signed); err != nil {
		return err
	}
	return valid(keys[0], bindings, sig, now)
}

// match checks that sig is by pub and of the text.
func match(pub *packet.PublicKey, sig *packet.Signature, signed []byte) error {
	h, err := sig.PrepareVerify()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	switch sig.SigType {
	case packet.SigTypeBinary:
		h.Write(signed)
	case packet.SigTypeText:
		openpgp.NewCanonicalTextHash(h).Write(signed)
	default:
		return fmt.Errorf("%w: it is not one of a file, but of type %d", ErrBadSignature, sig.SigType)
	}
	var unsupported pgperrors.UnsupportedError
	switch err := pub.VerifySignature(h, sig); {
	case errors.As(err, &unsupported):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case err != nil:
		return ErrBadSignature
	}
	return nil
}

// rank orders what the copies of a key say of one signature: the last counts.
// A copy that can check the signature beats another key with the same ID, a
// renewed copy an expired one, and one that knows of a revocation beats all.
func rank(result error) int {
	if result == nil {
		return 5
	}
	return slices.IndexFunc([]error{ErrUnknownKey, ErrUnsupported, ErrBadSignature, ErrWeak, ErrExpired, nil, ErrRevoked},
		func(e error) bool { return e != nil && errors.Is(result, e) })
}

func describe(e *openpgp.Entity, sig *packet.Signature) Signer {
	s := Signer{
		Fingerprint: fingerprint(e),
		At:          sig.CreationTime.UTC(),
	}
	if id := e.PrimaryIdentity(); id != nil { // keys of version 6 need none
		s.Identity = id.Name
	}
	return s
}
