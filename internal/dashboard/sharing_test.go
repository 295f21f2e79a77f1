package dashboard

import (
	"strings"
	"testing"

	"millpond/internal/api"
	"millpond/internal/catalog"
)

// The page says of each suite which boxes may have its files, why, and what would
// change it.
func TestSuitesTellWhoHasThem(t *testing.T) {
	t.Parallel()
	private := catalog.Reach{Why: "10.1.2.3 is a private address"}
	suites := []struct {
		generation    catalog.Generation
		open, members string // in a swarm of that kind
		why           string // in an open one
	}{
		{catalog.Generation{Reach: catalog.Reach{Public: true}}, "nobody", "nobody", "not count as signed"},
		{catalog.Generation{Signed: true, Reach: catalog.Reach{Public: true}}, "all", "members", "anybody can fetch it"},
		{catalog.Generation{Signed: true, Reach: private}, "nobody", "members", "10.1.2.3 is a private address; MILLPOND_SHARE_HOSTS=archive.example.org would share it"},
		{catalog.Generation{Signed: true, Reach: private, Listed: true}, "all", "members", "MILLPOND_SHARE_HOSTS has its host"},
		{catalog.Generation{Signed: true}, "nobody", "members", "not known"},
		{catalog.Generation{Signed: true, Private: true, Reach: catalog.Reach{Why: "a login was sent"}}, "nobody", "nobody", "a login was sent; MILLPOND_SHARE_HOSTS"},
	}
	var all known
	for _, s := range suites {
		all.suites = append(all.suites, catalog.SuiteInfo{
			Location: catalog.Location{Scheme: "http", Host: "archive.example.org", Path: "/dists/stable"}, Current: s.generation,
		})
	}
	for _, swarm := range []*neighbour{nil, {}, {private: true}} {
		r := newRig(t, func(o *Options) {
			o.Catalog = all
			if o.Swarm = nil; swarm != nil {
				o.Swarm = swarm
			}
		})
		for i, row := range get[api.Page[api.Suite]](t, r, "/api/v1/suites").Items {
			s := suites[i]
			switch {
			case swarm == nil:
				if row.Shared != "nobody" || row.SharedWhy != "this box is in no swarm" {
					t.Errorf("%d in no swarm: %s, %s", i, row.Shared, row.SharedWhy)
				}
			case swarm.private:
				if row.Shared != s.members || row.SharedWhy == "" {
					t.Errorf("%d in a private swarm: %s, %s; want %s", i, row.Shared, row.SharedWhy, s.members)
				}
			case row.Shared != s.open || !strings.Contains(row.SharedWhy, s.why):
				t.Errorf("%d in an open swarm: %s, %s; want %s, %s", i, row.Shared, row.SharedWhy, s.open, s.why)
			}
		}
	}
}
