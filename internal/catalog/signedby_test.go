package catalog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// A Release that names keys in Signed-By makes only those count for the next one,
// as long as it is valid; whatever is given out meanwhile, the demand stands.
func TestSignedBy(t *testing.T) {
	t.Parallel()
	archive, other, lost := aptest.NewKey("archive"), aptest.NewKey("other"), aptest.NewKey("lost")
	dir := at(t, suiteURL)
	until := day.Add(7 * 24 * time.Hour)
	text := func(fields ...string) []byte { return []byte(strings.Join(append(fields, "SHA256:"), "\n") + "\n") }
	valid := "Valid-Until: " + until.Format(time.RFC1123)
	for name, tt := range map[string]struct {
		first   []string // fields
		want    bool     // that the next one, signed with other, counts
		missing []string
	}{
		"no demand":               {first: []string{valid}, want: true},
		"another key":             {first: []string{valid, "Signed-By: " + archive.Fingerprint()}},
		"one of the keys":         {first: []string{valid, "Signed-By: " + archive.Fingerprint() + ",\n " + other.Fingerprint()}, want: true},
		"a key that is not there": {first: []string{valid, "Signed-By: " + lost.Fingerprint()}, missing: []string{lost.Fingerprint()}},
		"a subkey alone":          {first: []string{valid, "Signed-By: " + other.Fingerprint() + "!"}, missing: []string{other.Fingerprint() + "!"}},
		"no end":                  {first: []string{"Signed-By: " + archive.Fingerprint()}, want: true},
		"no fingerprint":          {first: []string{valid, "Signed-By: archive.gpg"}, want: true},
	} {
		for _, pair := range []bool{false, true} {
			files := func(text []byte, key *aptest.Key) ReleaseFiles {
				if pair {
					return ReleaseFiles{Release: text, Signature: aptest.Sign(text, day, key)}
				}
				return ReleaseFiles{InRelease: aptest.Clearsign(text, day, key)}
			}
			c := newCatalog(t, archive, other)
			now := day.Add(time.Hour)
			c.now = func() time.Time { return now }
			learn := func(f ReleaseFiles) Generation {
				g, err := c.learnRelease(dir, f)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return g
			}
			if g := learn(files(text(append(tt.first, "Version: 1")...), archive)); !g.Signed {
				t.Fatalf("%s: the first one: %+v", name, g)
			}
			second, third := files(text("Version: 2"), other), files(text("Version: 3"), other)
			for _, f := range []ReleaseFiles{second, third, second} {
				g := learn(f)
				if g.Signed != tt.want || !tt.want && !strings.Contains(g.Why, "Signed-By") {
					t.Errorf("%s: %+v", name, g)
				}
				if s := c.Suites()[0]; !slices.Equal(s.MissingKeys, tt.missing) {
					t.Errorf("%s: missing %v, want %v", name, s.MissingKeys, tt.missing)
				}
			}
			if g := learn(files(text("Version: 4"), archive)); !g.Signed && len(tt.missing) == 0 {
				t.Errorf("%s: signed as demanded: %+v", name, g)
			}
			now = until
			if g, _, err := c.Verify(dir, second); err != nil || !g.Signed {
				t.Errorf("%s: after its end: %+v, %v", name, g, err)
			}
		}
	}
}

// What a Release demands is known after a restart, and told.
func TestSignedByIsKept(t *testing.T) {
	t.Parallel()
	archive, other := aptest.NewKey("archive"), aptest.NewKey("other")
	db, dir := openDB(t, t.TempDir()), at(t, suiteURL)
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC1123)
	first := []byte("Valid-Until: " + until + "\nSigned-By: " + archive.Fingerprint() + "\nSHA256:\n")
	c := openCatalog(t, db, ring(t, archive, other))
	if _, err := c.learnRelease(dir, ReleaseFiles{InRelease: aptest.Clearsign(first, day, archive)}); err != nil {
		t.Fatal(err)
	}
	c = openCatalog(t, db, ring(t, archive, other))
	if s := c.Suites()[0]; !slices.Equal(s.SignedBy, []string{archive.Fingerprint()}) {
		t.Errorf("after a restart: %+v", s)
	}
	g, err := c.learnRelease(dir, ReleaseFiles{InRelease: aptest.Clearsign([]byte("SHA256:\n"), day, other)})
	if err != nil || g.Signed {
		t.Errorf("after a restart: %+v, %v", g, err)
	}
}
