package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// A Release that names its key in Signed-By makes apt refuse the next one if
// another key that it trusts signed that, and a box reject it as unsigned. A client
// whose sources name that key takes it from the mirror, and from the box once an
// administrator has accepted it.
func TestReleaseNamesItsKey(t *testing.T) {
	t.Parallel()
	key, other := aptest.NewKey("archive"), aptest.NewKey("other archive")
	dir := t.TempDir()
	for name, k := range map[string]*aptest.Key{"archive": key, "other": other} {
		if err := os.WriteFile(filepath.Join(dir, name+".asc"), k.Armored(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive := aptest.NewArchive(key, aptest.Suite{
		ValidFor:    48 * time.Hour,
		EditRelease: func(text string) string { return "Signed-By: " + key.Fingerprint() + "\n" + text },
	})
	archive.Add(aptest.Package{Name: "pkg", Version: "1.0-1", Size: 1000})
	mirror := aptest.NewMirror(t, aptest.MirrorOptions{})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Hour)))
	b := box.Start(t, "MILLPOND_KEYRING_DIR="+dir, "MILLPOND_ADMIN_TOKEN="+adminToken, "MILLPOND_INDEX_TTL=0s", "MILLPOND_ALLOW_UPSTREAMS="+mirror.Addr())
	source := mirror.Source("/debian", "stable", "main")
	named := strings.Replace(source, "deb ", "deb [signed-by="+filepath.Join(dir, "other.asc")+","+filepath.Join(dir, "archive.asc")+"] ", 1)
	clients := map[string]*aptest.Client{}
	for name, line := range map[string]string{"direct": source, "box": source, "direct, key in its sources": named, "box, key in its sources": named} {
		c := aptest.NewClient(t)
		c.Trust(key)
		c.Trust(other)
		if strings.HasPrefix(name, "box") {
			c.Proxy(b.URL)
		}
		c.Sources(line)
		c.MustApt("update")
		clients[name] = c
	}
	becomes(t, b, "a signed suite", func(s api.Suite) bool { return s.Signed && len(s.SignedBy) == 1 })

	archive.SignWith(other)
	archive.Add(aptest.Package{Name: "new", Version: "1.0-1", Size: 1000})
	mirror.Publish("/debian", archive.Publish(time.Now().Add(-time.Minute)))
	for name, c := range clients {
		out, err := c.Apt(t.Context(), "update")
		policy, _ := c.Run(t.Context(), "apt-cache", "policy", "new")
		got := strings.Contains(policy, "1.0-1")
		if want := name == "direct, key in its sources"; got != want || err != nil {
			t.Errorf("%s: the new Release was taken: %v, %v\n%s", name, got, err, out)
		}
	}
	becomes(t, b, "a suite that was sent what another key signed", func(s api.Suite) bool {
		return s.Signed && s.Rejected != nil && strings.Contains(s.Rejected.Reason, "Signed-By")
	})
	acceptRejected(t, b)
	clients["box, key in its sources"].MustApt("update")
	if policy, _ := clients["box, key in its sources"].Run(t.Context(), "apt-cache", "policy", "new"); !strings.Contains(policy, "1.0-1") {
		t.Errorf("after it was accepted: %s", policy)
	}
	becomes(t, b, "an unsigned suite", func(s api.Suite) bool { return !s.Signed && strings.Contains(s.UnsignedWhy, "Signed-By") })

	archive.SignWith(key)
	mirror.Publish("/debian", archive.Publish(time.Now()))
	clients["box"].MustApt("update")
	becomes(t, b, "a suite signed by its key again", func(s api.Suite) bool { return s.Signed })
}
