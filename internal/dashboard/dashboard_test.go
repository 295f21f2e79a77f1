package dashboard

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"millpond/internal/api"
	"millpond/internal/carry"
	"millpond/internal/catalog"
	"millpond/internal/clients"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/keyring"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/prefetch"
	"millpond/internal/store"
)

var since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 3600))

// figures are a Ledger of totals and hosts alone.
type figures struct{ Ledger }

func (figures) Totals() (ledger.Counts, time.Time) {
	return ledger.Counts{
		Requests: 11, DeliveredStore: 2_000_000, DeliveredPeer: 300_000, DeliveredMirror: 40_000,
		MirrorTaken: 50_000, PeerTaken: 310_000, PeerGiven: 7_000, Tunnelled: 800,
		MirrorRequests: 12, AvoidedRequests: 9,
	}, since
}

func (figures) Clients(string) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {}
}

func (figures) Series(ledger.Step, time.Time, time.Time) ([]ledger.Point, error) { return nil, nil }

func (figures) Hosts(string) iter.Seq2[ledger.Account, error] {
	return func(yield func(ledger.Account, error) bool) {
		answers := []ledger.Answer{{Status: ledger.NoAnswer, Requests: 1}, {Status: ledger.OtherStatus, Requests: 2}, {Status: 304, Requests: 4}}
		_ = yield(ledger.Account{Name: "deb.example.org", Answers: answers}, nil) &&
			yield(ledger.Account{Name: ledger.Others, Answers: []ledger.Answer{{Status: 200, Requests: 5}}}, nil)
	}
}

func (figures) Tunnels(time.Time, int) []ledger.TunnelHost {
	return []ledger.TunnelHost{{Name: "download.example.org:443", Ever: ledger.TunnelFigures{Bytes: 36}}}
}

func (figures) Mirrors(time.Time, int) []ledger.MirrorHost {
	f := ledger.MirrorFigures{Clients: ledger.Load{Requests: 100, Bytes: 1000}, Avoided: 37}
	f.ByClass[ledger.Class2xx] = ledger.Load{Requests: 38, Bytes: 39}
	f.ByClass[ledger.ClassNone] = ledger.Load{Requests: 2}
	return []ledger.MirrorHost{{Name: "deb.example.org", Ever: f}}
}

// usage is a Store that is counted alone.
type usage struct{ Store }

func (usage) Usage() store.Usage {
	return store.Usage{Blobs: 13, Bytes: 1_400_000, Partial: 15, QuotaBytes: 16_000_000}
}

func (usage) Limit() (store.Limit, error) {
	return store.Limit{Bytes: 15_000_000, Disk: 17_000_000, Free: 3_000_000}, nil
}

// known is a Catalog.
type known struct {
	suites   []catalog.SuiteInfo
	moments  []catalog.Moment
	packages map[catalog.Location][]catalog.Entry
	describe func(digest.Digest) (catalog.Entry, bool)
}

func (k known) Stats() catalog.Stats {
	return catalog.Stats{Archives: 17, Suites: 18, Tables: 19, Rows: 63_000}
}
func (k known) Suites() []catalog.SuiteInfo                    { return k.suites }
func (k known) Moments(catalog.Location) []catalog.Moment      { return k.moments }
func (k known) Describe(d digest.Digest) (catalog.Entry, bool) { return k.describe(d) }

func (k known) PackagesOf(suite catalog.Location, _ digest.Digest) iter.Seq2[catalog.Entry, error] {
	return func(yield func(catalog.Entry, error) bool) {
		for _, e := range k.packages[suite] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// unnoted are Notes of nothing.
type unnoted struct{}

func (unnoted) Of(netip.Addr) (clients.Client, error)   { return clients.Client{}, nil }
func (unnoted) LastUpdate(netip.Addr) (never time.Time) { return never }
func (unnoted) Began() time.Time                        { return since }

// downloads is a Fetch.
type downloads struct {
	transfers []fetch.Transfer
	checked   time.Time
	stale     string
	checkedBy string
	rejected  fetch.Rejected
	accept    func(catalog.Location, digest.Digest) error
	purged    func(fetch.Scope, digest.Digest)
}

func (f downloads) Stats() fetch.Stats {
	return fetch.Stats{Flights: 21, Joined: 22, Resumed: 23, Wrong: 24, Diverted: 25, Stale: 26, Learned: 27, LearnFaults: 28, Running: 29}
}
func (f downloads) Transfers() []fetch.Transfer { return f.transfers }
func (f downloads) Rejected(catalog.Location) (fetch.Rejected, bool) {
	return f.rejected, !f.rejected.Digest.IsZero()
}
func (f downloads) AcceptRelease(_ context.Context, suite catalog.Location, d digest.Digest) error {
	return f.accept(suite, d)
}
func (f downloads) Purge(_ context.Context, s fetch.Scope, from digest.Digest) (fetch.Purged, error) {
	f.purged(s, from)
	return fetch.Purged{Files: 2, Bytes: 300, Pinned: 1, Next: digest.Of(nil), More: from.IsZero()}, nil
}
func (f downloads) Checked(catalog.Location) (time.Time, string) { return f.checked, f.stale }
func (f downloads) CheckedBy(catalog.Location) string            { return f.checkedBy }

// several are Mirrors: one that answers, one that was not asked yet, one that is down.
type several struct{}

func (several) Health() []mirror.MirrorHealth {
	const archive = "http://archive.example.org/debian"
	return []mirror.MirrorHealth{
		{Archive: archive, URL: "http://a.example/debian", FirstByte: 1500 * time.Microsecond, Rate: 7_000_000, Measured: since},
		{Archive: archive, URL: "http://b.example/debian"},
		{Archive: archive, URL: "http://c.example/debian", Down: "it answers 503", Measured: since},
	}
}

// options are snapshots in which every figure is another.
func options(faults ...api.Fault) Options {
	return Options{
		Version: "1.2.3", Ledger: figures{}, Store: usage{}, Fetch: downloads{}, Mirrors: several{},
		Catalog:   known{describe: func(digest.Digest) (catalog.Entry, bool) { return catalog.Entry{}, false }},
		Keys:      new(keyring.Keyring),
		Follow:    followed{},
		Prefetch:  &ahead{cost: prefetch.Figures{Since: since, Total: prefetch.Cost{Files: 34, FromPeers: 30, FromMirrors: 31, UsedBytes: 32, WastedBytes: 33, UsedFiles: 40, WastedFiles: 41}, Limit: 42, Spent: 43, Saved: 44}},
		Rings:     new(someRings),
		Notes:     unnoted{},
		Places:    Places{Interfaces: func() []Place { return nil }, Port: "3142", PagePort: "3142"},
		KeepPrice: func(api.Price) error { return nil },
		Keep:      kept{},
		Jobs:      someJobs{},
		Verifier:  new(checks),
		Carrier:   new(carried),
		WantList:  func(context.Context) (*carry.WantList, error) { return new(carry.WantList), nil },
		Backup:    someBackup,
		Site:      newPair(),
		Events:    new(Events),
		Ready:     func() []api.Fault { return faults },
		Drain:     func() {},
		Draining:  func() api.Drain { return api.Drain{Downloads: 3} },
		Log:       slog.New(slog.DiscardHandler),
	}
}

// ask sends a request with a Host header to the whole of a dashboard.
func ask(o Options, method, path, host string) *httptest.ResponseRecorder {
	return askOf(New(o), method, path, host)
}

func askOf(d *Dashboard, method, path, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

// getFrom sends a GET to a handler.
func getFrom(h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
	r.Host = "box"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestSummary(t *testing.T) {
	t.Parallel()
	w := ask(options(), http.MethodGet, "/api/v1/summary", "box")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"version": "1.2.3", "since": "2026-01-02T02:04:05Z", "requests": 11.0,
		"saved_bytes": 2_290_000.0, "client_bytes": 2_340_000.0, "client_bytes_from_store": 2_000_000.0,
		"client_bytes_from_peers": 300_000.0, "client_bytes_from_mirror": 40_000.0,
		"mirror_bytes": 50_000.0, "peer_bytes_in": 310_000.0, "peer_bytes_out": 7_000.0, "tunnel_bytes": 800.0,
		"mirror_requests": 12.0, "revalidations_avoided": 9.0,
		"blobs": 13.0, "blob_bytes": 1_400_000.0, "quota_bytes": 16_000_000.0, "limit_bytes": 15_000_000.0,
		"archives": 17.0, "suites": 18.0, "known_files": 63_000.0, "downloads_running": 29.0,
		"money": map[string]any{"per_gb": 0.0, "currency": "", "saved": 0.0},
	}
	for name, value := range want {
		if !reflect.DeepEqual(got[name], value) {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d figures, want %d: %v", len(got), len(want), got)
	}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	soft, hard := api.Fault{What: "disk", Why: "is full"}, api.Fault{What: "store", Why: "is gone", Fatal: true}
	tests := []struct {
		name   string
		faults []api.Fault
		code   int
		status string
	}{
		{"sound", nil, 200, "ok"},
		{"degraded", []api.Fault{soft}, 200, "degraded"},
		{"unavailable", []api.Fault{hard}, 503, "unavailable"},
		{"both", []api.Fault{soft, hard, soft}, 503, "unavailable"},
	}
	for _, tt := range tests {
		w := ask(options(tt.faults...), http.MethodGet, "/readyz", "box")
		var got api.Readiness
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != tt.code || got.Status != tt.status || len(got.Faults) != len(tt.faults) || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%s: %d, want %d and %q: %s", tt.name, w.Code, tt.code, tt.status, w.Body)
		}
	}
	if w := ask(options(hard), http.MethodGet, "/healthz", "box"); w.Code != 200 || !strings.Contains(w.Body.String(), "1.2.3") {
		t.Errorf("healthz of a box that is unavailable: %d: %s", w.Code, w.Body)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	d := New(options())
	tests := []struct {
		method, path  string
		whole, health int // codes
	}{
		{"GET", "/", 200, 404},
		{"GET", "/api/v1/summary", 200, 404},
		{"GET", "/metrics", 200, 404},
		{"GET", "/healthz", 200, 200},
		{"HEAD", "/readyz", 200, 200},
		{"GET", "/probe?http://archive.example.org/debian/", 200, 200},
		{"HEAD", "/", 200, 404},
		{"GET", "/setup.sh", 200, 404},
		{"GET", "/api/v1/peer", 404, 404}, // in no swarm
		{"GET", "/debian", 404, 404},
		{"POST", "/api/v1/summary", 405, 404},
		{"DELETE", "/healthz", 405, 405},
	}
	for _, tt := range tests {
		for _, h := range []struct {
			handler http.Handler
			want    int
		}{{d.Handler(), tt.whole}, {d.Basics(), tt.health}} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil)
			r.Host = "box"
			h.handler.ServeHTTP(w, r)
			if w.Code != h.want {
				t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, h.want)
			}
			if w.Code == 404 && tt.path == "/debian" && !strings.Contains(w.Body.String(), "sources.list") {
				t.Errorf("%s %s: no help in %q", tt.method, tt.path, w.Body)
			}
		}
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(nil)
	s.Config = New(options()).Server()
	s.Start()
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil {
		t.Errorf("%s: %s, %v", resp.Status, body, err)
	}
	c := s.Config
	if c.ReadTimeout == 0 || c.WriteTimeout == 0 || c.IdleTimeout == 0 || c.MaxHeaderBytes == 0 {
		t.Error("a limit is missing")
	}
}

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(newRegistry(New(options())))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Metrics say what the summary says.
func TestMetrics(t *testing.T) {
	t.Parallel()
	o := options(api.Fault{What: "disk"}, api.Fault{What: "store"})
	want := map[string]float64{
		"millpond_requests_total": 11, "millpond_mirror_bytes_total": 50_000, "millpond_peer_bytes_in_total": 310_000,
		"millpond_peer_bytes_out_total": 7_000, "millpond_tunnel_bytes_total": 800, "millpond_saved_bytes": 2_290_000,
		"millpond_client_bytes_total store": 2_000_000, "millpond_client_bytes_total peers": 300_000, "millpond_client_bytes_total mirror": 40_000,
		"millpond_mirror_requests_total deb.example.org none": 1, "millpond_mirror_requests_total deb.example.org other": 2,
		"millpond_mirror_requests_total deb.example.org 304": 4, "millpond_mirror_requests_total others 200": 5, "millpond_revalidations_avoided_total": 9,
		"millpond_mirror_up http://archive.example.org/debian http://a.example/debian":                         1,
		"millpond_mirror_up http://archive.example.org/debian http://b.example/debian":                         1,
		"millpond_mirror_up http://archive.example.org/debian http://c.example/debian":                         0,
		"millpond_mirror_answered_timestamp_seconds http://archive.example.org/debian http://a.example/debian": float64(since.Unix()),
		"millpond_mirror_answered_timestamp_seconds http://archive.example.org/debian http://c.example/debian": float64(since.Unix()),
		"millpond_mirror_answer_bytes_total 2xx deb.example.org":                                               39, "millpond_mirror_revalidations_avoided_total deb.example.org": 37,
		"millpond_mirror_spared_requests deb.example.org": 60, "millpond_mirror_spared_bytes deb.example.org": 961,
		"millpond_tunnel_host_bytes_total download.example.org": 36, "millpond_build_info " + runtime.Version() + " 1.2.3": 1,
		"millpond_prefetch_used_files_total": 40, "millpond_prefetch_wasted_files_total": 41, "millpond_prefetch_budget_bytes": 86, "millpond_prefetch_budget_spent_bytes": 43,
		"millpond_mirror_first_byte_seconds http://archive.example.org/debian http://a.example/debian": 0.0015,
		"millpond_mirror_rate_bytes http://archive.example.org/debian http://a.example/debian":         7_000_000,
		"millpond_blobs": 13, "millpond_blob_bytes": 1_400_000, "millpond_quota_bytes": 16_000_000, "millpond_known_files": 63_000,
		"millpond_faults": 2, "millpond_downloads_running": 29, "millpond_downloads_total": 21, "millpond_downloads_joined_total": 22,
		"millpond_downloads_resumed_total": 23, "millpond_wrong_bytes_total": 24, "millpond_downloads_unkept_total": 25,
		"millpond_stale_served_total": 26, "millpond_prefetch_bytes_total peers": 30, "millpond_prefetch_bytes_total mirror": 31,
		"millpond_prefetch_used_bytes_total": 32, "millpond_prefetch_wasted_bytes_total": 33, "millpond_prefetch_files_total": 34, "millpond_indices_learned_total": 27, "millpond_indices_unread_total": 28,
	}
	got := gathered(t, New(o))
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d metrics, want %d: %v", len(got), len(want), got)
	}
	if w := ask(o, http.MethodGet, "/metrics", "box"); !strings.Contains(w.Body.String(), `millpond_client_bytes_total{from="store"} 2e+06`) ||
		!strings.Contains(w.Body.String(), "go_goroutines") {
		t.Errorf("/metrics:\n%s", w.Body)
	}
}

// gathered are the values of the metrics but histograms, by name and labels.
func gathered(t *testing.T, d *Dashboard) map[string]float64 {
	t.Helper()
	return gatheredBy(t, newCollector(d))
}

func gatheredBy(t *testing.T, c *collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "millpond_site_") { // TestSiteMetrics
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestFormatBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		n    int64
		want string
	}{
		{0, "0 B"}, {1, "1 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {1049, "1.0 kB"}, {1050, "1.1 kB"},
		{999_949, "999.9 kB"}, {999_950, "1.0 MB"}, {1_000_000, "1.0 MB"}, {123_456_789, "123.5 MB"},
		{5e9, "5.0 GB"}, {5e12, "5.0 TB"}, {5e15, "5.0 PB"}, {1<<63 - 1, "9.2 EB"},
		{-1, "−1 B"}, {-1500, "−1.5 kB"}, {-1 << 63, "−9.2 EB"},
	}
	for _, tt := range tests {
		if got := FormatBytes(tt.n); got != tt.want {
			t.Errorf("%d is %q, want %q", tt.n, got, tt.want)
		}
	}
}
