// Package digest holds SHA-256 as a value.
//
// A digest is the name of a blob everywhere in millpond: in the store, in the
// catalog, between boxes and in the DHT. It is a comparable array, so it can
// key a map, and no package passes a hash as a string. The digests come
// from the SHA256 fields of Debian's Release, Packages and Sources files.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Size is the length of a digest in bytes.
const Size = sha256.Size

// Digest is the SHA-256 of a blob. The zero value stands for "none": no known
// content hashes to it.
type Digest [Size]byte

// Parse reads 64 hexadecimal digits of either case.
func Parse(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*Size {
		return Digest{}, fmt.Errorf("digest %.80q: %d characters, want %d hexadecimal digits", s, len(s), 2*Size)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// Of returns the digest of b.
func Of(b []byte) Digest { return sha256.Sum256(b) }

// String returns 64 lower-case hexadecimal digits.
func (d Digest) String() string {
	var text [2 * Size]byte
	hex.Encode(text[:], d[:])
	return string(text[:])
}

// Short returns the first 12 hexadecimal digits, for logs.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero reports whether d is the zero value.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Hasher computes the digest of the bytes written to it. Writes never fail.
type Hasher struct{ h hash.Cloner }

// NewHasher returns a Hasher that has seen no bytes.
func NewHasher() *Hasher { return &Hasher{h: sha256.New().(hash.Cloner)} }

// Write adds b to the hashed bytes.
func (h *Hasher) Write(b []byte) (int, error) { return h.h.Write(b) }

// Digest returns the digest of all bytes so far; more may follow.
func (h *Hasher) Digest() Digest {
	var d Digest
	h.h.Sum(d[:0])
	return d
}

// Clone returns an independent Hasher in the same state, which can
// hash the rest of a stream from here on.
func (h *Hasher) Clone() *Hasher {
	c, err := h.h.Clone()
	if err != nil {
		// crypto/sha256 documents no failure; hash.Cloner's error is for
		// hashes kept in hardware.
		panic(fmt.Sprintf("digest: cloning SHA-256: %v", err))
	}
	return &Hasher{h: c}
}
