package keyring

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func dirWith(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t testing.TB, dirs ...string) *Keyring {
	t.Helper()
	k, bad, err := Load(dirs...)
	if err != nil || len(bad) > 0 {
		t.Fatalf("loading %v: %v, %v", dirs, err, bad)
	}
	return k
}

func TestLoad(t *testing.T) {
	t.Parallel()
	a, b, c := newKey(t, "a"), newKey(t, "b"), newKey(t, "c")
	block := func(e *openpgp.Entity) []byte { return armored(t, openpgp.PublicKeyType, public(t, e)) }
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  int
		bad   string // a part of the one error; empty for none
	}{
		{"nothing", nil, 0, ""},
		{"binary .gpg", map[string][]byte{"a.gpg": public(t, a, b)}, 2, ""},
		{"armored .gpg", map[string][]byte{"a.gpg": block(a)}, 1, ""},
		{"binary .asc", map[string][]byte{"a.asc": public(t, a)}, 1, ""},
		{".pgp", map[string][]byte{"a.pgp": block(a)}, 1, ""},
		{"other names", map[string][]byte{"a.txt": block(a), "gpg": block(a), "a.gpg~": block(a)}, 0, ""},
		{"two blocks and text around", map[string][]byte{"a.asc": []byte("pub a\n" + string(block(a)) + "\npub b\n" + string(block(b)) + "end\n")}, 2, ""},
		{"one key in two files", map[string][]byte{"a.gpg": public(t, a), "b.gpg": public(t, a, b)}, 2, ""},
		{"removed keys", map[string][]byte{"debian-archive-removed-keys.gpg": public(t, a), "b.gpg": public(t, b)}, 1, ""},
		{"a broken file beside others", map[string][]byte{"a.gpg": public(t, a), "b.gpg": public(t, b)[:40], "c.gpg": public(t, c)}, 2, "b.gpg"},
		{"no block", map[string][]byte{"a.asc": []byte("404 not found\n")}, 0, "no public key"},
		{"empty file", map[string][]byte{"a.gpg": nil}, 0, "no public key"},
		{"block without end", map[string][]byte{"a.asc": block(a)[:100]}, 0, "no end"},
		{"signature in place of a key", map[string][]byte{"a.gpg": detachSign(t, releaseText, a, nil)}, 0, "a.gpg"},
		{"keybox", map[string][]byte{"a.gpg": []byte("\x00\x00\x00\x20\x01\x01\x00\x02KBXf\x00\x00\x00\x00")}, 0, "gpg --no-default-keyring --keyring"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, bad, err := Load(dirWith(t, tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if k.Len() != tt.want {
				t.Errorf("got %d keys, want %d", k.Len(), tt.want)
			}
			switch {
			case tt.bad == "" && len(bad) > 0:
				t.Errorf("got errors %v, want none", bad)
			case tt.bad != "" && (len(bad) != 1 || !strings.Contains(bad[0].Error(), tt.bad)):
				t.Errorf("got errors %v, want one with %q", bad, tt.bad)
			}
		})
	}
}

func TestLoadDirectories(t *testing.T) {
	t.Parallel()
	a, b := newKey(t, "a"), newKey(t, "b")
	first := dirWith(t, map[string][]byte{"a.gpg": public(t, a)})
	second := dirWith(t, map[string][]byte{"b.gpg": public(t, b)})
	if err := os.Mkdir(filepath.Join(second, "old.gpg"), 0o700); err != nil {
		t.Fatal(err)
	}
	// Mounted secrets are links.
	if err := os.Symlink(filepath.Join(first, "a.gpg"), filepath.Join(second, "link.gpg")); err != nil {
		t.Fatal(err)
	}
	k := mustLoad(t, first, filepath.Join(first, "missing"), second)
	if k.Len() != 2 {
		t.Errorf("got %d keys, want 2", k.Len())
	}

	if err := os.Symlink("nowhere", filepath.Join(second, "dangling.gpg")); err != nil {
		t.Fatal(err)
	}
	if k, bad, err := Load(second); err != nil || len(bad) != 1 || k.Len() != 2 {
		t.Errorf("dangling link: got %d keys, %v, %v, want 2 keys and one bad file", k.Len(), bad, err)
	}
	if _, _, err := Load(filepath.Join(first, "a.gpg")); err == nil || !strings.Contains(err.Error(), "name the directory") {
		t.Errorf("a file in place of a directory: got %v, want an error that says so", err)
	}
}
