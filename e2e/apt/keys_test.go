package apt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// list asks a box for a list.
func list[T any](t *testing.T, b *box.Box, path string) (p api.Page[T]) {
	t.Helper()
	if err := json.Unmarshal(b.Get(path), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// becomes waits until the one suite of the box is as it ought to be.
func becomes(t *testing.T, b *box.Box, what string, is func(api.Suite) bool) {
	t.Helper()
	err := poll.Until(t.Context(), 10*time.Second, what, func() error {
		suites := list[api.Suite](t, b, "/api/v1/suites")
		if len(suites.Items) != 1 || !is(suites.Items[0]) {
			return fmt.Errorf("suites: %+v", suites.Items)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v; its log:\n%s", err, b.Log())
	}
}

// The key of an archive comes into the keyring of a running box, is replaced and
// goes: the suite that clients use follows, and no client asks.
func TestKeyOfAnArchiveComesAndGoes(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release and Release.gpg": {NoInRelease: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, other := aptest.NewKey("archive"), aptest.NewKey("other archive")
			archive := aptest.NewArchive(key, suite)
			archive.Add(aptest.Package{Name: "pkg", Version: "1.0-1", Size: 10_000})
			mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
			mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
			keys := t.TempDir()
			b := box.Start(t, "MILLPOND_KEYRING_DIR="+keys, "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr())
			c := aptest.NewClient(t)
			c.Trust(key)
			c.Proxy(b.URL)
			c.Sources(mirror.Source("/debian", "stable", "main"))
			c.MustApt("update")
			c.MustApt("download", "pkg")
			becomes(t, b, "an unsigned suite that names the missing key", func(s api.Suite) bool {
				return !s.Signed && s.Signer == "" && slices.Equal(s.MissingKeys, []string{key.Fingerprint()}) &&
					strings.Contains(s.UnsignedWhy, "put the archive's key there")
			})
			if got := list[api.Key](t, b, "/api/v1/keys"); got.Total != 0 {
				t.Errorf("keys at first: %+v", got)
			}
			asked := len(mirror.Log())

			file := filepath.Join(keys, "archive.asc")
			install := func(k *aptest.Key) {
				t.Helper()
				if err := os.WriteFile(file, k.Armored(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			install(key)
			signed := func(s api.Suite) bool {
				return s.Signed && s.Signer == key.Fingerprint() && len(s.MissingKeys) == 0 && s.UnsignedWhy == ""
			}
			becomes(t, b, "the key signs the suite", signed)
			got := list[api.Key](t, b, "/api/v1/keys")
			if len(got.Items) != 1 || got.Items[0].Fingerprint != key.Fingerprint() || !slices.Equal(got.Items[0].Files, []string{file}) ||
				len(got.Items[0].Suites) != 1 || !strings.HasSuffix(got.Items[0].Suites[0], "/debian/dists/stable") {
				t.Errorf("keys: %+v", got)
			}
			install(other)
			becomes(t, b, "another key does not", func(s api.Suite) bool { return !s.Signed && len(s.MissingKeys) == 1 })
			install(key)
			becomes(t, b, "the key signs the suite again", signed)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			becomes(t, b, "no key does", func(s api.Suite) bool { return !s.Signed })
			if n := len(mirror.Log()); n != asked {
				t.Errorf("%d requests at the mirror for the sake of a key", n-asked)
			}

			// While the box is off, too.
			b.Stop()
			install(key)
			b.Run()
			becomes(t, b, "the key signs the suite after a restart", signed)
			c.MustApt("update")
		})
	}
}
