package dashboard

import (
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
	"millpond/internal/clients"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/ledger"
)

// upToDate has two suites and backports, each with newer versions of what clients have.
func upToDate(o *Options) {
	of := func(path string) catalog.Location {
		return catalog.Location{Scheme: "http", Host: "deb.example.org", Path: path}
	}
	suites := map[string][]string{
		"/debian/dists/trixie":                   {"pool/main/b/bash/bash_5.2-1_amd64.deb", "pool/main/b/bash/bash_5.2-2_amd64.deb", "pool/main/b/bash/bash_5.2-9_arm64.deb", "pool/main/v/vim/vim_9.1-1_amd64.deb"},
		"/debian-security/dists/trixie-security": {"pool/updates/main/b/bash/bash_5.2-10_amd64.deb"},
		"/debian/dists/trixie-backports":         {"pool/main/v/vim/vim_9.9-1~bpo13+1_amd64.deb", "pool/main/g/git/git_2.60-1~bpo13+1_amd64.deb"},
	}
	k := known{packages: make(map[catalog.Location][]catalog.Entry), describe: o.Catalog.(known).describe}
	for path, files := range suites {
		suite := of(path)
		k.suites = append(k.suites, catalog.SuiteInfo{Location: suite, Current: catalog.Generation{ID: digest.Of([]byte("new")), Date: since.Add(time.Hour)}})
		for _, f := range files {
			k.packages[suite] = append(k.packages[suite], catalog.Entry{Location: of("/" + f)})
		}
	}
	k.moments = []catalog.Moment{{Generation: catalog.Generation{ID: digest.Of([]byte("old")), Date: since}}}
	o.Catalog = k
}

func TestClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, upToDate)
	laptop := netip.MustParseAddr("10.1.2.3")
	base := "http://deb.example.org/debian/dists/trixie"
	r.notes.Updated(laptop, "http://deb.example.org/debian-security/dists/trixie-security", "", digest.Of([]byte("new")))
	r.notes.Updated(laptop, base+"-backports", "", catalog.OtherGeneration)
	r.notes.Updated(laptop, base, "prod", digest.Of([]byte("1")))
	r.notes.Got(laptop, deb.File{Package: "vim", Version: "9.1-1", Architecture: "amd64", Type: "deb"}, 5000, true)
	r.notes.Got(laptop, deb.File{Package: "git", Version: "2.59-1~bpo13+1", Architecture: "amd64", Type: "deb"}, 1, true)

	got := get[api.ClientDetail](t, r, "/api/v1/clients/10.1.2.3")
	if got.Name != "10.1.2.3" || got.Requests != 1 || got.FromStore != 700 || got.FromMirror != 300 || got.LastUpdate == nil || got.Since == nil {
		t.Errorf("%+v", got.ClientAccount)
	}
	suites := make(map[string]api.ClientSuite)
	for _, s := range got.Suites {
		suites[s.Name+s.Ring] = s
	}
	if s := suites["trixie"]; !s.Behind || s.Generation != digest.Of([]byte("old")).String() || !s.Date.Equal(since) || !s.InForce.Equal(since.Add(time.Hour)) {
		t.Errorf("an older generation: %+v", s)
	}
	if s := suites["trixie-security"]; s.Behind || s.URL != "http://deb.example.org/debian-security/dists/trixie-security" {
		t.Errorf("the generation in force: %+v", s)
	}
	if s := suites["trixie-backports"]; s.Behind || s.Generation != "" || s.Date != nil {
		t.Errorf("a newer generation than the box has: %+v", s)
	}
	if s := suites["trixieprod"]; s.Behind || s.Ring != "prod" || !s.InForce.Equal(since) {
		t.Errorf("what its ring has: %+v", s)
	}
	want := []api.ClientUpdate{
		{Name: "bash", Architecture: "amd64", Has: "5.2-1", Version: "5.2-10", Suite: "http://deb.example.org/debian-security/dists/trixie-security"},
		{Name: "git", Architecture: "amd64", Has: "2.59-1~bpo13+1", Version: "2.60-1~bpo13+1", Suite: base + "-backports"},
	}
	if !slices.Equal(got.Pending, want) || got.PendingTotal != 2 {
		t.Errorf("pending: %+v", got.Pending)
	}
	if len(got.Packages) != 3 || got.Packages[0].Name != "vim" || got.PackageTotal != 3 {
		t.Errorf("packages: %+v", got.Packages)
	}
	if len(got.Failures) != 1 || got.Failures[0].Status != 404 || got.Failures[0].Times != 1 || got.Failures[0].URL != "http://deb.example.org/x" {
		t.Errorf("failures: %+v", got.Failures)
	}

	if got := get[api.ClientDetail](t, r, "/api/v1/clients/::ffff:10.1.2.4"); got.Name != "10.1.2.4" || got.Since != nil || got.LastUpdate != nil || len(got.Suites) != 0 {
		t.Errorf("a client without notes: %+v", got)
	}
	if w := r.do(t, http.MethodGet, "/api/v1/clients/10.9.9.9", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("an unknown client: %d: %s", w.Code, w.Body)
	}
}

// A client that has more than an answer lists gets as much as that, and all are counted.
func TestClientIsBounded(t *testing.T) {
	t.Parallel()
	suite := catalog.Location{Scheme: "http", Host: "deb.example.org", Path: "/debian/dists/trixie"}
	r := newRig(t, func(o *Options) {
		k := o.Catalog.(known)
		k.packages = make(map[catalog.Location][]catalog.Entry)
		for i := range 2 * maxUpdates {
			k.packages[suite] = append(k.packages[suite], catalog.Entry{Location: suite.Join(fmt.Sprintf("p%03d_2_all.deb", i))})
		}
		o.Catalog = k
	})
	client := netip.MustParseAddr("10.1.2.4")
	r.notes.Updated(client, suite.String(), "", digest.Digest{})
	for i := range 2 * maxUpdates {
		r.notes.Got(client, deb.File{Package: fmt.Sprintf("p%03d", i), Version: "1", Architecture: "all", Type: "deb"}, 1, true)
	}
	got := get[api.ClientDetail](t, r, "/api/v1/clients/10.1.2.4")
	if len(got.Pending) != maxUpdates || got.PendingTotal != 2*maxUpdates || len(got.Packages) != maxTop || got.PackageTotal != 2*maxUpdates {
		t.Errorf("%d of %d updates, %d of %d packages", len(got.Pending), got.PendingTotal, len(got.Packages), got.PackageTotal)
	}
}

// dated are Notes of clients that updated so many days ago.
type dated struct {
	unnoted
	days  map[string]int
	began time.Time
}

func (n dated) LastUpdate(c netip.Addr) time.Time {
	days, ok := n.days[c.String()]
	if !ok {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, -days)
}
func (n dated) Began() time.Time { return n.began }

// seen are clients that came first so many days ago.
type seen struct {
	figures
	days map[string]int
}

func (s seen) Clients(string) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		for _, name := range slices.Sorted(func(yield func(string) bool) {
			for name := range s.days {
				if !yield(name) {
					return
				}
			}
		}) {
			if !yield(ledger.Account{Name: name, First: time.Now().AddDate(0, 0, -s.days[name])}, nil) {
				return
			}
		}
	}
}

func TestClientsByUpdate(t *testing.T) {
	t.Parallel()
	o := options()
	o.Ledger = seen{days: map[string]int{"10.0.0.1": 90, "10.0.0.2": 90, "10.0.0.3": 90, "10.0.0.4": 2, ledger.Others: 90}}
	o.Notes = dated{days: map[string]int{"10.0.0.1": 0, "10.0.0.2": 30}, began: time.Now().AddDate(0, 0, -60)}
	names := func(query string) (all []string) {
		for _, a := range decode[api.Page[api.ClientAccount]](t, ask(o, http.MethodGet, "/api/v1/clients?"+query, "box").Body.Bytes()).Items {
			all = append(all, a.Name)
		}
		return all
	}
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"sort=last_update&limit=2", []string{"10.0.0.1", "10.0.0.2"}},
		{"sort=last_update&q=10.0.0.2", []string{"10.0.0.2"}},
		{"not_updated_days=7&sort=name", []string{"10.0.0.2", "10.0.0.3"}},
		{"not_updated_days=1&sort=name", []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"}},
		{"not_updated_days=45&sort=last_update", []string{"10.0.0.3"}},
		{"not_updated_days=61", nil}, // so long nothing was noted
	} {
		if got := names(tt.query); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.query, got, tt.want)
		}
	}
}

// BenchmarkClients lists 10,000 clients of a real ledger with real notes.
func BenchmarkClients(b *testing.B) {
	box := boxtest.New(b, boxtest.Options{Dir: filepath.Join(b.TempDir(), "box")})
	notes, _, err := clients.Open(box.DB.Table("clients"), clients.Privacy{}, box.Log)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		client := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		box.Ledger.Delivered(client, ledger.File{Host: "deb.example.org"}, ledger.FromStore, int64(i)+1)
		notes.Updated(client, "http://deb.example.org/debian/dists/trixie", "", digest.Digest{})
		if i%500 == 0 {
			if err := box.Ledger.Flush(); err != nil {
				b.Fatal(err)
			}
			if err := notes.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	o := options()
	o.Ledger, o.Notes = box.Ledger, notes
	handler := New(o).Handler()
	for _, query := range []string{"limit=50", "limit=50&sort=last_update", "limit=50&q=10.0.7", "not_updated_days=7"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				if w := getFrom(handler, "/api/v1/clients?"+query); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
