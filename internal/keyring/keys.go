package keyring

import (
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// keys is one state of a Keyring. It does not change.
type keys struct {
	// byID holds the keys by the IDs of each and of its subkeys. Two files
	// may hold one key in different states, a renewed and an expired one for
	// instance, so copies are kept side by side.
	byID map[uint64]openpgp.EntityList
	list []Key // by user and fingerprint, without copies
}

// Key is an archive key, as a person knows it.
type Key struct {
	Fingerprint string   // in upper-case hexadecimal digits
	Users       []string // its user IDs, the primary one first: archive or owner
	Files       []string // that hold it
	Made        time.Time
	Expires     time.Time // by the copy that lasts longest; zero: never
	Revoked     bool      // by one of the copies
}

// present is the state now.
func (k *Keyring) present() *keys {
	if now := k.keys.Load(); now != nil {
		return now
	}
	return new(keys)
}

// Len returns the number of keys, not counting subkeys and copies.
func (k *Keyring) Len() int { return len(k.present().list) }

// Keys returns the keys, by user and fingerprint.
func (k *Keyring) Keys() []Key { return slices.Clone(k.present().list) }

// Has reports whether there is a key of that fingerprint.
func (k *Keyring) Has(fingerprint string) bool {
	return slices.ContainsFunc(k.present().list, func(o Key) bool { return o.Fingerprint == fingerprint })
}

func (k *keys) add(path string, e *openpgp.Entity) {
	id := e.PrimaryKey.KeyId
	k.byID[id] = append(k.byID[id], e)
	for _, sub := range e.Subkeys {
		k.byID[sub.PublicKey.KeyId] = append(k.byID[sub.PublicKey.KeyId], e)
	}
	print := fingerprint(e)
	i := slices.IndexFunc(k.list, func(o Key) bool { return o.Fingerprint == print })
	if i < 0 {
		k.list = append(k.list, Key{
			Fingerprint: print, Users: users(e), Files: []string{path}, Made: e.PrimaryKey.CreationTime.UTC(),
			Expires: expiry(e), Revoked: len(e.Revocations) > 0,
		})
		return
	}
	known := &k.list[i]
	if !slices.Contains(known.Files, path) {
		known.Files = append(known.Files, path)
	}
	if end := expiry(e); end.IsZero() || !known.Expires.IsZero() && end.After(known.Expires) {
		known.Expires = end
	}
	known.Revoked = known.Revoked || len(e.Revocations) > 0
}

func (k *keys) sort() {
	slices.SortFunc(k.list, func(a, b Key) int {
		return slices.Compare(append(a.Users[:len(a.Users):len(a.Users)], a.Fingerprint), append(b.Users[:len(b.Users):len(b.Users)], b.Fingerprint))
	})
}

func fingerprint(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }

// users returns a key's user IDs, the primary one first.
func users(e *openpgp.Entity) (names []string) {
	first := e.PrimaryIdentity()
	for name := range e.Identities {
		if first == nil || name != first.Name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if first != nil {
		names = slices.Insert(names, 0, first.Name)
	}
	return names
}

// expiry is when a key expires, by its newest signature of itself.
func expiry(e *openpgp.Entity) (end time.Time) {
	var newest time.Time
	for _, sig := range ownSignatures(e) {
		if !newest.IsZero() && !sig.CreationTime.After(newest) {
			continue
		}
		newest = sig.CreationTime
		end, _ = lifetime(e.PrimaryKey.CreationTime, sig.KeyLifetimeSecs)
	}
	return end.UTC()
}
