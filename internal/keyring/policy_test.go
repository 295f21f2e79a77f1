package keyring

import (
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// TestSequoia holds verdicts to those of Debian 13's sqv under apt's policy, over
// keys and signatures of the real gpg (testdata/policy/make.sh made all of them).
func TestSequoia(t *testing.T) {
	t.Parallel()
	release := testdata(t, "policy/Release")
	// A file may hold only the newest signature of a key of itself; that apt then
	// refuses what was signed before is no weakness that would count here.
	lenient := map[string]bool{"renewed old-early": true, "renewed old-late": true}
	n := 0
	for line := range strings.Lines(string(testdata(t, "policy/verdicts"))) {
		var ring, sig, day, verdict string
		if _, err := fmt.Sscan(line, &ring, &sig, &day, &verdict); err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		k := mustLoad(t, dirWith(t, map[string][]byte{"key.gpg": testdata(t, "policy/"+ring+".gpg")}))
		k.now = func() time.Time { return now }
		_, err = k.Detached(release, testdata(t, "policy/"+sig+".sig"))
		if want := verdict == "yes" || lenient[ring+" "+sig]; (err == nil) != want {
			t.Errorf("%s by %s on %s: got %v, sqv says %s", sig, ring, day, err, verdict)
		}
		n++
	}
	if n < 150 {
		t.Errorf("%d verdicts", n)
	}
}

// TestReasons: why a file counts as unsigned is said so that an administrator
// knows what to do.
func TestReasons(t *testing.T) {
	t.Parallel()
	release := testdata(t, "policy/Release")
	for _, tt := range []struct {
		ring, sig, day string
		want           error
		says           string
	}{
		{"rsa1024", "rsa1024", "2026-11-26", ErrWeak, "a key of 1024 bits (RSA), since 2014-02-01"},
		{"dsa2048", "dsa2048", "2026-11-26", ErrWeak, "a DSA key, since 2024-02-01"},
		{"brainpoolP256r1", "brainpoolP256r1", "2026-11-26", ErrWeak, "a key on the curve BrainpoolP256"},
		{"rsa3072", "hash-SHA1", "2026-11-26", ErrWeak, "made with SHA-1, since 2013-02-01"},
		{"rsa3072", "hash-SHA224", "2026-11-26", ErrWeak, "made with SHA-224, since 2026-02-01"},
		{"self-SHA1", "self-SHA1", "2026-11-26", ErrWeak, "a key that has signed itself with SHA-1, since 2026-02-01"},
		{"sub-SHA224", "sub-SHA224", "2026-11-26", ErrWeak, "a subkey bound with SHA-224, since 2026-02-01"},
		{"rsa3072", "expired", "2026-11-26", ErrExpired, "the signature has expired on 2026-06-11"},
		{"rsa3072", "future", "2026-05-01", ErrExpired, "signed in the future, by this machine's clock"},
		{"old", "old-late", "2026-11-26", ErrExpired, "the key had expired on 2026-07-01"},
		{"revoked", "revoked", "2026-11-26", ErrRevoked, "the signing key is revoked"},
		{"ed25519", "rsa3072", "2026-11-26", ErrUnknownKey, "no key in the keyring made this signature"},
		{"", "rsa3072", "2026-11-26", ErrUnknownKey, "the keyring is empty"},
		{"three", "several-bad", "2026-11-26", ErrBadSignature, "does not match"},
	} {
		now, err := time.Parse(time.DateOnly, tt.day)
		if err != nil {
			t.Fatal(err)
		}
		k := &Keyring{}
		if tt.ring != "" {
			k = mustLoad(t, dirWith(t, map[string][]byte{"key.gpg": testdata(t, "policy/"+tt.ring+".gpg")}))
		}
		k.now = func() time.Time { return now }
		_, err = k.Detached(release, testdata(t, "policy/"+tt.sig+".sig"))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s by %s: got %v, want %v that says %q", tt.sig, tt.ring, err, tt.want, tt.says)
		}
	}
}

// TestWeakSubkeyBinding: neither gpg nor go-crypto makes a binding with SHA-1 any
// more, so this one only says that it is.
func TestWeakSubkeyBinding(t *testing.T) {
	t.Parallel()
	key := newKey(t, "key")
	if err := key.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}); err != nil {
		t.Fatal(err)
	}
	for name, weaken := range map[string]func(*packet.Signature){
		"nothing":          func(*packet.Signature) {},
		"the binding":      func(s *packet.Signature) { s.Hash = crypto.SHA1 },
		"the subkey's own": func(s *packet.Signature) { s.EmbeddedSignature.Hash = crypto.SHA1 },
	} {
		entity := ringOf(t, key).present().byID[key.PrimaryKey.KeyId][0]
		sub := entity.Subkeys[len(entity.Subkeys)-1]
		weaken(sub.Sig)
		signing := openpgp.Key{Entity: entity, PublicKey: sub.PublicKey, SelfSignature: sub.Sig}
		for day, refused := range map[time.Time]bool{month(2026, 2).Add(-1): false, month(2026, 2): name != "nothing"} {
			if _, err := acceptKey(signing, time.Now(), day); errors.Is(err, ErrWeak) != refused {
				t.Errorf("%s made with SHA-1, on %s: got %v", name, day.Format(time.DateOnly), err)
			}
		}
	}
}
