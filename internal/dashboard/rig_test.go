// The tests: a Dashboard over a real store and ledger is in this file.
// dashboard_test has health and metrics; api_, document_ and generated_test the
// API and its description; packages_, prefetch_ and swarm_test one view each;
// page_test the page and the client set-up.
package dashboard

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/api"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/clients"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "correct-horse-battery-staple"

// neighbour is a swarm of one other box.
type neighbour struct {
	private bool
	banned  string
	rate    int64
}

func (n *neighbour) Identity() api.Identity {
	return api.Identity{ID: "me", Addrs: []string{"/ip4/10.0.0.1/tcp/4001/p2p/me"}}
}
func (n *neighbour) Peers() []api.Peer {
	return []api.Peer{{ID: "you", Kind: "local", Addr: "/ip4/10.0.0.2/tcp/4001", Path: "direct", RTT: 1.5, Since: since}}
}
func (n *neighbour) Status() api.Swarm {
	return api.Swarm{Enabled: true, ID: "me", Mode: "server", Private: n.private}
}
func (n *neighbour) Graph() api.Graph {
	return api.Graph{
		Nodes: []api.GraphNode{{ID: "me", Self: true}, {ID: "you", Connected: true, Nearby: true}, {ID: "they"}},
		Links: []api.GraphLink{{A: "me", B: "you", Path: "direct", RTT: 1.5}, {A: "they", B: "you", Path: "relayed"}},
		Asked: since, Silent: []string{},
	}
}
func (n *neighbour) Ban(id string, _ time.Duration) error { n.banned = id; return nil }
func (n *neighbour) SetUploadRate(rate int64)             { n.rate = rate }

// rig is a dashboard over a real ledger and a real store.
type rig struct {
	*Dashboard
	ledger *ledger.Ledger
	store  *store.Store
	notes  *clients.Notes
	swarm  *neighbour
	deb    digest.Digest // held, and listed as bash
	loose  digest.Digest // held, and listed nowhere
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	box := boxtest.New(t, boxtest.Options{Quota: 1e9})
	r := &rig{swarm: new(neighbour), ledger: box.Ledger, store: box.Store}
	r.deb = r.put(t, "a package", store.Meta{
		Name: "bash_5.2-1_amd64.deb", From: []store.Provenance{{Name: "deb.example.org"}, {Peer: true, Name: "you"}},
	})
	r.loose = r.put(t, "something else", store.Meta{})
	l, err := catalog.ParseLocation("http", "deb.example.org", "/debian/pool/main/b/bash/bash_5.2-1_amd64.deb")
	if err != nil {
		t.Fatal(err)
	}
	suite := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/trixie"}
	o := options(api.Fault{What: "disk", Why: "is full"})
	o.Ledger, o.Store, o.Swarm, o.AdminToken = r.ledger, r.store, r.swarm, token
	o.Settings = []api.Setting{{Name: "MILLPOND_ADMIN_TOKEN", Value: "hidden", Set: true}}
	o.Catalog = known{
		suites: []catalog.SuiteInfo{{
			Location: suite, Codename: "trixie", Current: catalog.Generation{Signed: true, Date: since},
			Indices: []catalog.IndexInfo{{Path: "main/binary-amd64/Packages", Rows: 3}},
		}},
		describe: func(d digest.Digest) (catalog.Entry, bool) {
			return catalog.Entry{Location: l, Kind: catalog.Content, Digest: d, Signed: true}, d == r.deb
		},
	}
	o.Fetch = downloads{
		checked: since, stale: "the mirror does not answer",
		transfers: []fetch.Transfer{{Location: l, Size: 10, Started: since, Clients: 1, Parts: []fetch.Part{{Off: 0, End: 4, Origin: ledger.FromMirror}}}},
	}
	if r.notes, _, err = clients.Open(box.DB.Table("clients"), clients.Privacy{}, box.Log); err != nil {
		t.Fatal(err)
	}
	o.Notes = r.notes
	o.Resolver = site
	o.Erase = func(client netip.Addr) (bool, error) {
		known, err := r.ledger.Erase(client)
		noted, fault := r.notes.Erase(client)
		return known || noted, errors.Join(err, fault)
	}
	if change != nil {
		change(&o)
	}
	client, bash := netip.MustParseAddr("10.1.2.3"), ledger.File{Host: "deb.example.org", Package: "bash"}
	r.ledger.Request(client, bash)
	r.ledger.Delivered(client, bash, ledger.FromStore, 700)
	r.ledger.Delivered(client, bash, ledger.FromMirror, 300)
	r.ledger.Taken(bash, 300)
	r.ledger.Taken(ledger.File{Host: "deb.example.org"}, 100)
	for _, status := range []int{200, 304, 304} {
		r.ledger.Asked(ledger.File{Host: "deb.example.org"}, status)
	}
	r.ledger.Avoided(ledger.File{Host: "deb.example.org"})
	r.notes.Updated(client, suite.String(), "", digest.Of([]byte("old")))
	r.notes.Got(client, deb.File{Package: "bash", Version: "5.2-1", Architecture: "amd64", Type: "deb"}, 1000, true)
	r.notes.Failed(client, 404, "404 Not Found for http://deb.example.org/x", "http://deb.example.org/x")
	r.ledger.Request(netip.MustParseAddr("10.1.2.4"), ledger.File{Host: "deb.example.org"})
	r.Dashboard = New(o)
	return r
}

func (r *rig) put(t testing.TB, content string, m store.Meta) digest.Digest {
	t.Helper()
	d := digest.Of([]byte(content))
	if err := r.store.Put(d, int64(len(content)), strings.NewReader(content), m); err != nil {
		t.Fatal(err)
	}
	return d
}

// do sends a request, with the admin token if there is one.
func (r *rig) do(t testing.TB, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewBufferString(body))
	req.Host = "box.lan:3142"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	return w
}

// get decodes the JSON answer to a GET.
func get[T any](t *testing.T, r *rig, path string) T {
	t.Helper()
	w := r.do(t, http.MethodGet, path, "", "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d: %s", path, w.Code, w.Body)
	}
	return decode[T](t, w.Body.Bytes())
}
