package dashboard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/keyring"
)

type keys []keyring.Key

func (k keys) Keys() []keyring.Key { return k }

// The keys come with the suites that they sign, and an unsigned suite with the
// keys that it lacks.
func TestArchiveKeys(t *testing.T) {
	t.Parallel()
	until := time.Date(2031, 1, 21, 0, 0, 0, 0, time.UTC)
	suite := func(name, signer string, signed bool, missing ...string) catalog.SuiteInfo {
		return catalog.SuiteInfo{
			Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/dists/" + name},
			Current:  catalog.Generation{Signed: signed}, Signer: signer, MissingKeys: missing,
			Where: []string{"hkps://keys.example.org"}, SignedBy: slices.Repeat([]string{"DD"}, 40),
		}
	}
	suites := []catalog.SuiteInfo{suite("a", "AA", true), suite("b", "", true), suite("c", "AA", false), suite("d", "", false, "CC")}
	for i := range 150 {
		suites = append(suites, suite(fmt.Sprint(i), "BB", true))
	}
	r := newRig(t, func(o *Options) {
		o.Keys = keys{
			{Fingerprint: "AA", Users: []string{"archive"}, Files: []string{"/etc/apt/keyrings/a.gpg"}, Expires: until},
			{Fingerprint: "BB", Users: strings.Split(strings.Repeat("user ", 40), " "), Revoked: true},
		}
		o.Catalog = known{suites: suites}
	})
	got := get[api.Page[api.Key]](t, r, "/api/v1/keys")
	if got.Total != 2 || len(got.Items) != 2 {
		t.Fatalf("got %+v", got)
	}
	a, b := got.Items[0], got.Items[1]
	if a.Fingerprint != "AA" || a.Revoked || a.Expires == nil || !a.Expires.Equal(until) || len(a.Files) != 1 ||
		!slices.Equal(a.Suites, []string{"http://archive.example.org/dists/a"}) {
		t.Errorf("first key: %+v", a)
	}
	if !b.Revoked || b.Expires != nil || len(b.Users) != maxKeyUsers || len(b.Suites) != maxKeySuites {
		t.Errorf("second key: %+v", b)
	}
	if got := get[api.Page[api.Key]](t, r, "/api/v1/keys?limit=1&offset=1"); len(got.Items) != 1 || got.Items[0].Fingerprint != "BB" {
		t.Errorf("part of the list: %+v", got)
	}
	rows := get[api.Page[api.Suite]](t, r, "/api/v1/suites").Items
	if rows[0].Signer != "AA" || len(rows[0].MissingKeys) != 0 || !slices.Equal(rows[3].MissingKeys, []string{"CC"}) {
		t.Errorf("suites: %+v, %+v", rows[0], rows[3])
	}
	if s := rows[3]; !slices.Equal(s.KeysAt, []string{"hkps://keys.example.org"}) || len(s.SignedBy) != maxSuiteKeys {
		t.Errorf("suite: %+v", s)
	}
}
