package keyring

import (
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// valid checks a signature that matches: whether it is in force now, and whether
// its key, which bindings bind, was when it signed. As for apt's sqv, a signature
// outlives its key: one that was made before the key expired, or was replaced by
// another, is good.
func valid(key openpgp.Key, bindings []*packet.Signature, sig *packet.Signature, now time.Time) error {
	at := sig.CreationTime
	if at.After(now) {
		return ErrEarly
	}
	if end, ends := lifetime(at, sig.SigLifetimeSecs); ends && !now.Before(end) {
		return fmt.Errorf("%w: the signature has expired on %s", ErrExpired, end.UTC().Format(time.DateOnly))
	}
	for _, s := range append([]*packet.Signature{sig}, bindings...) {
		for _, n := range s.Notations {
			if n.IsCritical {
				return fmt.Errorf("%w: unknown critical notation %q", ErrUnsupported, n.Name)
			}
		}
	}
	_, identity := key.Entity.PrimarySelfSignature()
	if revoked(key.Entity.Revocations, at) || revoked(key.Revocations, at) || identity != nil && revoked(identity.Revocations, at) {
		return ErrRevoked
	}
	for i, pub := range []*packet.PublicKey{key.Entity.PrimaryKey, key.PublicKey}[:len(bindings)] {
		if pub.CreationTime.After(at) {
			return fmt.Errorf("%w: the key was made later, on %s", ErrExpired, pub.CreationTime.UTC().Format(time.DateOnly))
		}
		if end, ends := lifetime(pub.CreationTime, bindings[i].KeyLifetimeSecs); ends && !at.Before(end) {
			return fmt.Errorf("%w: the key had expired on %s", ErrExpired, end.UTC().Format(time.DateOnly))
		}
		if end, ends := lifetime(bindings[i].CreationTime, bindings[i].SigLifetimeSecs); ends && !at.Before(end) {
			return fmt.Errorf("%w: the key's signature of itself had expired on %s", ErrExpired, end.UTC().Format(time.DateOnly))
		}
	}
	return nil
}

// lifetime returns when what began at from ends, if it does.
func lifetime(from time.Time, seconds *uint32) (end time.Time, ends bool) {
	if seconds == nil || *seconds == 0 {
		return time.Time{}, false
	}
	return from.Add(time.Duration(*seconds) * time.Second), true
}

// revoked reports whether a key was revoked when it signed, at. One that was
// superseded or retired is good for what it signed before. Any other revocation
// may mean that the key was stolen, and a thief can date signatures at will.
func revoked(revocations []*packet.Signature, at time.Time) bool {
	for _, r := range revocations {
		harmless := r.RevocationReason != nil &&
			(*r.RevocationReason == packet.KeySuperseded || *r.RevocationReason == packet.KeyRetired || *r.RevocationReason == packet.UserIDNotValid)
		if !harmless || !r.CreationTime.After(at) {
			return true
		}
	}
	return false
}
