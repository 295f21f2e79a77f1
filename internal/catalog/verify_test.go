package catalog

import (
	"errors"
	"slices"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/keyring"
)

// Signed follows the keys, in every generation, and what is current stays so.
func TestVerify(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	db, dir := openDB(t, t.TempDir()), at(t, suiteURL)
	text := func(version string) []byte { return []byte("Suite: stable\nVersion: " + version + "\nSHA256:\n") }
	first := ReleaseFiles{InRelease: aptest.Clearsign(text("1"), day, key)}
	second := ReleaseFiles{InRelease: aptest.Clearsign(text("2"), day, key)}
	unheld := ReleaseFiles{InRelease: aptest.Clearsign(text("3"), day, key)}
	signed := func(c *Catalog) (is []bool) {
		for _, files := range []ReleaseFiles{first, second} {
			g, ok := c.Generation(dir, digest.Of(files.InRelease))
			is = append(is, ok && g.Signed)
		}
		if g, _ := c.Generation(dir, digest.Digest{}); g.ID != digest.Of(second.InRelease) {
			t.Errorf("current is %v", g.ID)
		}
		return is
	}
	verify := func(c *Catalog, files ReleaseFiles) bool {
		_, changed, err := c.Verify(dir, files)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}

	c := openCatalog(t, db, ring(t))
	for _, files := range []ReleaseFiles{first, second} {
		if _, err := c.learnRelease(dir, files); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Suites()[0]; !slices.Equal(s.MissingKeys, []string{key.Fingerprint()}) || s.Signer != "" || s.Early {
		t.Errorf("without the key: %+v", s)
	}
	c = openCatalog(t, db, ring(t, key))
	changes := c.Changed()
	if !verify(c, first) || verify(c, first) || !slices.Equal(signed(c), []bool{true, false}) {
		t.Errorf("the earlier one verified: %v", signed(c))
	}
	select {
	case <-changes:
	default:
		t.Error("nobody was told that more is shared")
	}
	if !verify(c, second) || verify(c, unheld) || !slices.Equal(signed(c), []bool{true, true}) {
		t.Errorf("both verified: %v", signed(c))
	}
	if s := c.Suites()[0]; len(s.MissingKeys) != 0 || s.Signer != key.Fingerprint() {
		t.Errorf("with the key: %+v", s)
	}
	forged := ReleaseFiles{Release: text("2"), Signature: aptest.Sign(text("4"), day, key)}
	if _, _, err := c.Verify(dir, forged); !errors.Is(err, keyring.ErrBadSignature) {
		t.Errorf("another text's signature: %v", err)
	}

	c = openCatalog(t, db, ring(t)) // the key is gone after a restart
	if err := c.KeysChanged(); err != nil || !slices.Equal(signed(c), []bool{false, false}) {
		t.Errorf("without the key again: %v, %v", signed(c), err)
	}
	c.keyring = ring(t, key) // and comes back
	if err := c.KeysChanged(); err != nil || !slices.Equal(signed(c), []bool{true, true}) {
		t.Errorf("with the key again: %v, %v", signed(c), err)
	}
	c.keyring = ring(t)
	if err := c.KeysChanged(); err != nil || !slices.Equal(signed(c), []bool{false, false}) {
		t.Errorf("without the key at last: %v, %v", signed(c), err)
	}
}

func TestEarlySignature(t *testing.T) {
	t.Parallel()
	key := aptest.NewKey("archive")
	c, dir := newCatalog(t, key), at(t, suiteURL)
	files := ReleaseFiles{InRelease: aptest.Clearsign([]byte("Suite: stable\nSHA256:\n"), time.Now().Add(time.Hour), key)}
	if _, err := c.learnRelease(dir, files); err != nil {
		t.Fatal(err)
	}
	if s := c.Suites()[0]; !s.Early || s.Current.Signed || len(s.MissingKeys) != 0 {
		t.Errorf("signed in an hour: %+v", s)
	}
}
