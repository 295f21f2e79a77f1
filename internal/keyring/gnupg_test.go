package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const (
	archiveKey = "F2CB0C905D32746C65487E0F047D09E857013E7A"
	releaseKey = "5261746C46038E7FB235404949E9ABC0D0899639"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGnuPG verifies what the real gpg made (testdata/README.md).
func TestGnuPG(t *testing.T) {
	t.Parallel()
	both := mustLoad(t, "testdata/keys")
	if both.Len() != 2 {
		t.Fatalf("got %d keys, want 2", both.Len())
	}
	onlyRelease := mustLoad(t, dirWith(t, map[string][]byte{"release.asc": testdata(t, "keys/release.asc")}))
	release := testdata(t, "Release")
	for _, tt := range []struct {
		name    string
		keyring *Keyring
		signer  string
	}{
		{"first of two signers, by its subkey", both, archiveKey},
		{"second of two signers", onlyRelease, releaseKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			s, err := tt.keyring.Detached(release, testdata(t, "Release.gpg"))
			if err != nil || s.Fingerprint != tt.signer || !s.At.Equal(at) {
				t.Errorf("Detached: got %+v, %v, want key %s at %v", s, err, tt.signer, at)
			}
			text, s, err := tt.keyring.Clearsigned(testdata(t, "InRelease"))
			if err != nil || s.Fingerprint != tt.signer || !s.At.Equal(at) {
				t.Errorf("Clearsigned: got %+v, %v, want key %s at %v", s, err, tt.signer, at)
			}
			want := regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAll(release, nil)
			if got := append(text, '\n'); !bytes.Equal(got, want) {
				t.Errorf("text:\n%q\nwant\n%q", got, want)
			}
		})
	}
}

func TestGnuPGRefusals(t *testing.T) {
	t.Parallel()
	both := mustLoad(t, "testdata/keys")
	release, sig, inRelease := testdata(t, "Release"), testdata(t, "Release.gpg"), testdata(t, "InRelease")
	empty := &Keyring{}

	if _, _, err := both.Clearsigned(testdata(t, "InRelease.sha1")); !errors.Is(err, ErrWeak) {
		t.Errorf("signed with SHA-1: got %v, want %v", err, ErrWeak)
	}
	if _, err := empty.Detached(release, sig); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("empty keyring: got %v, want %v", err, ErrUnknownKey)
	}
	changed := bytes.Replace(release, []byte("Suite: stable"), []byte("Suite: staple"), 1)
	if _, err := both.Detached(changed, sig); !errors.Is(err, ErrBadSignature) {
		t.Errorf("changed Release: got %v, want %v", err, ErrBadSignature)
	}
	changed = bytes.Replace(inRelease, []byte("Suite: stable"), []byte("Suite: staple"), 1)
	text, s, err := both.Clearsigned(changed)
	if !errors.Is(err, ErrBadSignature) || s != (Signer{}) || !bytes.Contains(text, []byte("staple")) {
		t.Errorf("changed InRelease: got %+v, %v, text %q, want %v and the text", s, err, text, ErrBadSignature)
	}
}
