package keyring

import (
	"crypto"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// This file says which algorithms apt accepts: apt 3.0 of Debian 13, which has
// sqv (1.3.0, Sequoia 2.0) verify under Sequoia's standard policy with the
// changes in /usr/share/apt/default-sequoia.config (debian/default-sequoia.config
// in apt's source, as of 2025-04-25). A rule counts from a day on, whenever the
// signature was made. TestSequoia holds it to what sqv says.

// hashes are those that a rule refuses, from a day on; the SHA-2 and SHA-3 that
// are not named have no such day.
type hashes map[crypto.Hash]time.Time

var (
	// of signatures of files, which an attacker can have prepared (Sequoia: MD5,
	// SHA-1, RIPEMD-160; apt: SHA-224)
	fileHashes = hashes{
		crypto.MD5: month(1997, 2), crypto.SHA1: month(2013, 2), crypto.RIPEMD160: month(2013, 2), crypto.SHA224: month(2026, 2),
	}
	// of a key's signatures of itself and its subkeys (Sequoia: MD5, RIPEMD-160;
	// apt: SHA-1, which Sequoia alone would refuse from 2023 on, and SHA-224)
	keyHashes = hashes{
		crypto.MD5: month(2004, 2), crypto.SHA1: month(2026, 2), crypto.RIPEMD160: month(2013, 2), crypto.SHA224: month(2026, 2),
	}
	// oldHashes are the numbers of these in a packet (RFC 9580, section 9.5).
	// Some of them go-crypto does not read.
	oldHashes = map[byte]crypto.Hash{1: crypto.MD5, 2: crypto.SHA1, 3: crypto.RIPEMD160, 11: crypto.SHA224}
)

// month is the first of a month, on which Sequoia's and apt's rules begin.
func month(year int, m time.Month) time.Time { return time.Date(year, m, 1, 0, 0, 0, 0, time.UTC) }

// refuse returns ErrWeak for what is not accepted from a day on, if it has come.
func refuse(what string, from, now time.Time) error {
	if now.Before(from) {
		return nil
	}
	return fmt.Errorf("%w: %s, since %s", ErrWeak, what, from.Format(time.DateOnly))
}

// accept checks the hash of a signature.
func (r hashes) accept(h crypto.Hash, use string, now time.Time) error {
	from, refused := r[h]
	if !refused {
		return nil
	}
	return refuse(use+" with "+h.String(), from, now)
}

// acceptKey checks key, which signed at a time, the primary key above it, and
// how they are bound. It returns the signatures that bind them, the primary
// key's first.
func acceptKey(key openpgp.Key, at, now time.Time) ([]*packet.Signature, error) {
	primary := key.Entity.PrimaryKey
	if err := acceptPublic(primary, now); err != nil {
		return nil, err
	}
	self, err := ownSignature(key.Entity, at, now)
	if err != nil || key.PublicKey == primary {
		return []*packet.Signature{self}, err
	}
	if err := acceptPublic(key.PublicKey, now); err != nil {
		return nil, err
	}
	for _, sig := range []*packet.Signature{key.SelfSignature, key.SelfSignature.EmbeddedSignature} {
		if sig == nil {
			continue
		}
		if err := keyHashes.accept(sig.Hash, "a subkey bound", now); err != nil {
			return nil, err
		}
	}
	return []*packet.Signature{self, key.SelfSignature}, nil
}

// ownSignature returns the signature of itself that a key had when it signed:
// the newest one until then that is accepted. A file may have newer ones alone,
// which is all that older versions of apt looked at; then it is the newest.
func ownSignature(e *openpgp.Entity, at, now time.Time) (own *packet.Signature, refused error) {
	refused = fmt.Errorf("%w: its key has not signed itself", ErrUnsupported)
	for _, sig := range ownSignatures(e) {
		if err := keyHashes.accept(sig.Hash, "a key that has signed itself", now); err != nil {
			refused = err
			continue
		}
		switch early := !sig.CreationTime.After(at); {
		case own == nil,
			early && own.CreationTime.After(at),
			(early || own.CreationTime.After(at)) && sig.CreationTime.After(own.CreationTime):
			own = sig
		}
	}
	if own != nil {
		return own, nil
	}
	return nil, refused
}

// ownSignatures returns a key's signatures of itself.
func ownSignatures(e *openpgp.Entity) (own []*packet.Signature) {
	if e.SelfSignature != nil {
		own = append(own, e.SelfSignature)
	}
	for _, id := range e.Identities {
		for _, sig := range id.Signatures {
			// Those were verified as they were read.
			if sig.CheckKeyIdOrFingerprint(e.PrimaryKey) && sig.SigType != packet.SigTypeCertificationRevocation {
				own = append(own, sig)
			}
		}
	}
	return own
}

// acceptPublic checks a key's algorithm and length.
func acceptPublic(pub *packet.PublicKey, now time.Time) error {
	switch pub.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		switch bits, err := pub.BitLength(); {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		case bits < 2048:
			return refuse(fmt.Sprintf("a key of %d bits (RSA)", bits), month(2014, 2), now)
		case bits < 3072:
			return refuse(fmt.Sprintf("a key of %d bits (RSA)", bits), month(2030, 2), now)
		}
		return nil
	case packet.PubKeyAlgoDSA:
		if bits, err := pub.BitLength(); err != nil || bits < 2048 {
			return refuse("a short DSA key", month(2014, 2), now)
		}
		return refuse("a DSA key", month(2024, 2), now)
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448:
		return acceptCurve(pub)
	}
	return fmt.Errorf("%w: a key of algorithm %d", ErrUnsupported, pub.PubKeyAlgo)
}

// acceptCurve checks an elliptic curve. The policy takes Brainpool's until
// 2028-02-01, but Debian builds sqv with Nettle, which knows neither them nor
// secp256k1.
func acceptCurve(pub *packet.PublicKey) error {
	curve, err := pub.Curve()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case curve == packet.CurveNistP256, curve == packet.CurveNistP384, curve == packet.CurveNistP521,
		curve == packet.Curve25519, pub.PubKeyAlgo == packet.PubKeyAlgoEd448:
		return nil
	}
	return fmt.Errorf("%w: a key on the curve %s", ErrWeak, curve)
}
