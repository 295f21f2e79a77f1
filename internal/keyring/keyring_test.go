package keyring

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const releaseText = "Suite: stable\nDate: Fri, 02 Jan 2026 03:04:05 UTC\nSHA256:\n 00 0 Packages"

func newKey(t testing.TB, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@deb.example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// shorten makes key expire after a lifetime.
func shorten(t testing.TB, key *openpgp.Entity, lifetime time.Duration) {
	t.Helper()
	id, seconds := key.PrimaryIdentity(), uint32(lifetime/time.Second)
	id.SelfSignature.KeyLifetimeSecs = &seconds
	if err := id.SelfSignature.SignUserId(id.UserId.Id, key.PrimaryKey, key.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
}

func public(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, e := range keys {
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func ringOf(t testing.TB, keys ...*openpgp.Entity) *Keyring {
	t.Helper()
	return mustLoad(t, dirWith(t, map[string][]byte{"keys.gpg": public(t, keys...)}))
}

func detachSign(t testing.TB, text string, key *openpgp.Entity, c *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, key, strings.NewReader(text), c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func clearSign(t testing.TB, text string, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, e := range keys {
		private = append(private, e.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func armored(t testing.TB, kind string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// legacySignature is the frame of a signature of version 3 (RFC 9580, section
// 5.2.2), with invalid numbers: its version must be noticed before they are read.
func legacySignature() []byte {
	body := append([]byte{3, 5, 0x00}, make([]byte, 4+8)...)
	body = append(body, 1, 8, 0, 0, 0, 8, 0xff)
	return append([]byte{0xc0 | 2, byte(len(body))}, body...)
}

// TestVerdict covers texts with several signatures. All keys but the
// stranger's are in the keyring; the clock stands one day after all was made.
func TestVerdict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good, other := newKey(t, "good"), newKey(t, "other")
		stranger, old := newKey(t, "stranger"), newKey(t, "old")
		revoked, retired := newKey(t, "revoked"), newKey(t, "retired")
		in := func(d time.Duration) *packet.Config {
			at := time.Now().Add(d)
			return &packet.Config{Time: func() time.Time { return at }}
		}
		signatures := map[string][]byte{
			"good":      detachSign(t, releaseText, good, nil),
			"other":     detachSign(t, releaseText, other, nil),
			"stranger":  detachSign(t, releaseText, stranger, nil),
			"old":       detachSign(t, releaseText, old, nil),
			"late":      detachSign(t, releaseText, old, in(2*time.Hour)),
			"revoked":   detachSign(t, releaseText, revoked, nil),
			"retired":   detachSign(t, releaseText, retired, nil),
			"too late":  detachSign(t, releaseText, retired, in(2*time.Hour)),
			"bad":       detachSign(t, releaseText+"!", other, nil),
			"bad old":   detachSign(t, releaseText+"!", old, nil),
			"bad alien": detachSign(t, releaseText+"!", stranger, nil),
			"short":     detachSign(t, releaseText, good, &packet.Config{SigLifetimeSecs: 60}),
			"early":     detachSign(t, releaseText, good, in(24*time.Hour+time.Second)),
			"legacy":    legacySignature(),
		}
		if err := revoked.RevokeKey(packet.KeyCompromised, "stolen", nil); err != nil {
			t.Fatal(err)
		}
		if err := retired.RevokeKey(packet.KeyRetired, "replaced", in(time.Hour)); err != nil {
			t.Fatal(err)
		}
		shorten(t, old, time.Hour)
		k := ringOf(t, good, other, old, revoked, retired)
		time.Sleep(24 * time.Hour)

		for _, tt := range []struct {
			name string
			sigs []string
			want error
		}{
			{"one good", []string{"good"}, nil},
			{"good among strangers", []string{"stranger", "good", "legacy"}, nil},
			{"good beside an expired one", []string{"late", "good"}, nil},
			{"good of a key that has expired since", []string{"old"}, nil},
			{"good of a key that was retired since", []string{"retired"}, nil},
			{"good beside a revoked one", []string{"revoked", "good"}, nil},
			{"good after a bad one", []string{"bad", "good"}, nil},
			{"good before a bad one", []string{"good", "bad"}, nil},
			{"bad among others", []string{"late", "bad", "stranger"}, ErrBadSignature},
			{"bad by a stranger", []string{"bad alien", "good"}, nil},
			{"bad by an expired key", []string{"bad old"}, ErrBadSignature},
			{"stranger", []string{"stranger"}, ErrUnknownKey},
			{"expired key", []string{"late"}, ErrExpired},
			{"expired key tells more than a stranger", []string{"stranger", "late", "stranger"}, ErrExpired},
			{"expired signature", []string{"short"}, ErrExpired},
			{"signature of tomorrow", []string{"early"}, ErrExpired},
			{"revoked key", []string{"revoked"}, ErrRevoked},
			{"retired key", []string{"too late"}, ErrRevoked},
			{"version 3", []string{"legacy"}, ErrLegacy},
		} {
			var sig []byte
			for _, name := range tt.sigs {
				sig = append(sig, signatures[name]...)
			}
			for form, b := range map[string][]byte{"binary": sig, "armored": armored(t, openpgp.SignatureType, sig)} {
				s, err := k.Detached([]byte(releaseText), b)
				if !errors.Is(err, tt.want) {
					t.Errorf("%s, %s: got error %v, want %v", tt.name, form, err, tt.want)
				}
				signer := map[string]*openpgp.Entity{"old": old, "retired": retired}[tt.sigs[0]]
				if signer == nil {
					signer = good
				}
				if want := fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint); err == nil && s.Fingerprint != want {
					t.Errorf("%s, %s: got signer %s, want %s", tt.name, form, s.Fingerprint, want)
				}
				if err != nil && s != (Signer{}) {
					t.Errorf("%s, %s: got signer %+v with an error", tt.name, form, s)
				}
			}
		}
	})
}

// TestCopies: several files of a directory may hold one key in several states.
func TestCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, "key")
		fresh := public(t, key)
		later := time.Now().Add(2 * time.Hour)
		sig := detachSign(t, releaseText, key, &packet.Config{Time: func() time.Time { return later }})

		shorten(t, key, time.Hour)
		expiring := public(t, key)
		if err := key.RevokeKey(packet.KeyCompromised, "stolen", nil); err != nil {
			t.Fatal(err)
		}
		revoked := public(t, key)
		time.Sleep(24 * time.Hour)

		for _, tt := range []struct {
			name  string
			files map[string][]byte
			want  error
		}{
			{"renewed copy first", map[string][]byte{"1.gpg": fresh, "2.gpg": expiring}, nil},
			{"renewed copy last", map[string][]byte{"1.gpg": expiring, "2.gpg": fresh}, nil},
			{"no renewed copy", map[string][]byte{"1.gpg": expiring, "2.gpg": expiring}, ErrExpired},
			{"revocation first", map[string][]byte{"1.gpg": revoked, "2.gpg": fresh}, ErrRevoked},
			{"revocation last", map[string][]byte{"1.gpg": fresh, "2.gpg": revoked}, ErrRevoked},
		} {
			k := mustLoad(t, dirWith(t, tt.files))
			if k.Len() != 1 {
				t.Errorf("%s: got %d keys, want 1", tt.name, k.Len())
			}
			if _, err := k.Detached([]byte(releaseText), sig); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
	})
}

func TestClearsignedText(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	k := ringOf(t, key)
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "Suite: stable\nCodename: x", "Suite: stable\nCodename: x"},
		{"final newline", "Suite: stable\n", "Suite: stable\n"},
		{"dashes", "-a\n- b\n--\n-----BEGIN PGP SIGNED MESSAGE-----\n", "-a\n- b\n--\n-----BEGIN PGP SIGNED MESSAGE-----\n"},
		{"blanks at line ends", "a \t\nb  \n c", "a\nb\n c"},
		{"empty lines", "\n\na\n\n", "\n\na\n\n"},
	} {
		signed := clearSign(t, tt.text, key)
		crlf := bytes.ReplaceAll(signed, []byte("\n"), []byte("\r\n"))
		spaced := append(append([]byte("\n \n"), signed...), " \n\n"...)
		for form, b := range map[string][]byte{"LF": signed, "CRLF": crlf, "white space around": spaced} {
			text, s, err := k.Clearsigned(b)
			if err != nil || s.Identity != "key <key@deb.example.org>" {
				t.Errorf("%s, %s: got signer %+v, error %v", tt.name, form, s, err)
			}
			if string(text) != tt.want {
				t.Errorf("%s, %s: got text %q, want %q", tt.name, form, text, tt.want)
			}
		}
	}
}

func TestHashes(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	k := ringOf(t, key)
	sig := detachSign(t, releaseText, key, &packet.Config{DefaultHash: crypto.SHA512})
	if _, err := k.Detached([]byte(releaseText), sig); err != nil {
		t.Errorf("SHA-512: got %v, want a good signature", err)
	}
	// The packet: two bytes of header, then version, type, key algorithm, hash.
	for id, want := range map[byte]error{1: ErrWeak, 2: ErrWeak, 3: ErrWeak, 8: ErrBadSignature, 11: ErrWeak, 99: ErrUnsupported} {
		sig := bytes.Clone(sig)
		sig[5] = id
		if _, err := k.Detached([]byte(releaseText), sig); !errors.Is(err, want) {
			t.Errorf("hash %d: got %v, want %v", id, err, want)
		}
	}
}

// TestNotASignatureOfText: a key's signatures of other things say nothing of
// a file.
func TestNotASignatureOfText(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	var b bytes.Buffer
	if err := key.PrimaryIdentity().SelfSignature.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := ringOf(t, key).Detached([]byte(releaseText), b.Bytes()); !errors.Is(err, ErrBadSignature) {
		t.Errorf("certification in place of a signature: got %v, want %v", err, ErrBadSignature)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	k, signed := ringOf(t, key), clearSign(t, releaseText, key)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, _, err := k.Clearsigned(signed); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
