package aptest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keyCreated lies before any time that a test could publish at, the start of
// a synctest bubble (2000-01-01) included: verifiers refuse a signature that is
// older than its key.
var keyCreated = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

// Key is an archive signing key: OpenPGP version 4, Ed25519, without expiry but
// for that of NewExpiredKey.
type Key struct{ entity, public *openpgp.Entity }

// NewKey returns the key of that name; the same name gives the same key. It is
// no secret, therefore, and good for tests alone.
func NewKey(name string) *Key {
	entity := newEntity(name, 0)
	return &Key{entity, entity}
}

// NewExpiredKey returns the key of that name with a public part that says that
// it expired a day after it was made. It still signs.
func NewExpiredKey(name string) *Key {
	return &Key{newEntity(name, 0), newEntity(name, 24*time.Hour)}
}

func newEntity(name string, lifetime time.Duration) *openpgp.Entity {
	c := config(keyCreated, seeded("key "+name))
	c.KeyLifetimeSecs = uint32(lifetime.Seconds())
	entity, err := openpgp.NewEntity(name, "", "archive@example.org", c)
	must("generating a key", err)
	// A fresh entity has an encryption subkey. Archive keys have none.
	entity.Subkeys = nil
	return entity
}

// Fingerprint returns 40 upper-case hexadecimal digits, as gpg prints them.
func (k *Key) Fingerprint() string {
	return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint)
}

// Public returns a binary keyring with the public key (a .gpg file).
func (k *Key) Public() []byte {
	var b bytes.Buffer
	must("writing a key", k.public.Serialize(&b))
	return b.Bytes()
}

// Private returns the key with its private part, for gpg --import.
func (k *Key) Private() []byte {
	var b bytes.Buffer
	must("writing a private key", k.entity.SerializePrivate(&b, config(keyCreated, nil)))
	return b.Bytes()
}

// Armored returns the public key as an ASCII-armored block (an .asc file).
func (k *Key) Armored() []byte {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	must("armoring a key", err)
	must("armoring a key", k.public.Serialize(w))
	must("armoring a key", w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

// Clearsign returns text in a cleartext-signed message made at t by each of the
// keys, the form of an InRelease file.
func Clearsign(text []byte, t time.Time, keys ...*Key) []byte {
	var b bytes.Buffer
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.entity.PrivateKey)
	}
	w, err := clearsign.EncodeMulti(&b, private, config(t, nil))
	must("clear-signing", err)
	// The line end before the signature is not part of the signed text (RFC
	// 9580, section 7), and the encoder adds one.
	_, err = w.Write(bytes.TrimSuffix(text, []byte("\n")))
	must("clear-signing", err)
	must("clear-signing", w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

// Sign returns an armored detached signature over text made at t by each of the
// keys, the form of a Release.gpg file.
func Sign(text []byte, t time.Time, keys ...*Key) []byte {
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, nil)
	must("signing", err)
	for _, k := range keys {
		must("signing", openpgp.DetachSign(w, k.entity, bytes.NewReader(text), config(t, nil)))
	}
	must("signing", w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

func config(t time.Time, random io.Reader) *packet.Config {
	// Without this the library salts every signature, and no two runs would
	// give the same InRelease.
	salt := false
	return &packet.Config{
		Rand:                                  random,
		Time:                                  func() time.Time { return t },
		Algorithm:                             packet.PubKeyAlgoEdDSA,
		NonDeterministicSignaturesViaNotation: &salt,
	}
}

// seeded returns an endless stream of bytes that depends on seed alone.
func seeded(seed string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }

// must panics: nothing here fails but by a wrong argument in a test.
func must(doing string, err error) {
	if err != nil {
		panic(fmt.Sprintf("aptest: %s: %v", doing, err))
	}
}
