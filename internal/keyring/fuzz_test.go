package keyring

import "testing"

// FuzzKeyFile reads key files as an administrator may have downloaded them. What is
// taken from one must be usable: each key says what it is for.
func FuzzKeyFile(f *testing.F) {
	f.Add(public(f, newKey(f, "seed")))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add([]byte("\x00\x00\x00\x20\x01\x01\x00\x02KBXf"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys("key.gpg", data)
		if len(keys) == 0 && err == nil {
			t.Error("neither a key nor an error")
		}
		for _, k := range keys {
			if sig, _ := k.PrimarySelfSignature(); sig == nil {
				t.Errorf("key %X has no self-signature", k.PrimaryKey.Fingerprint)
			}
		}
	})
}
