package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millpond/internal/api"
	"millpond/internal/catalog"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

func decode[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestFigures(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	want := api.Counts{Requests: 2, SavedBytes: 600, ClientBytes: 1000, FromStore: 700, FromMirror: 300, MirrorBytes: 400, MirrorRequests: 3, AvoidedRequests: 1}
	if got := get[api.Periods](t, r, "/api/v1/periods"); got.Week != want || got.Month != want || got.Ever != want {
		t.Errorf("periods: %+v", got)
	}
	for _, step := range []string{"minute", "hour", "day"} {
		got := get[api.Series](t, r, "/api/v1/series?step="+step)
		if len(got.Points) != 1 || got.Points[0].Counts != want || got.Step != step {
			t.Errorf("series by %s: %+v", step, got)
		}
	}
	clients := get[api.Page[api.Account]](t, r, "/api/v1/clients?sort=name&limit=1&offset=1")
	if clients.Total != 2 || len(clients.Items) != 1 || clients.Items[0].Name != "10.1.2.4" {
		t.Errorf("second client: %+v", clients)
	}
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients?q=2.3"); got.Total != 1 || got.Items[0].SavedBytes != 1000 {
		t.Errorf("found client: %+v", got)
	}
	hosts := get[api.Page[api.Host]](t, r, "/api/v1/hosts?sort=mirror_requests")
	answers := []api.HostAnswer{{Status: "200", Requests: 1}, {Status: "304", Requests: 2}}
	if hosts.Total != 1 || hosts.Items[0].MirrorBytes != 400 || !slices.Equal(hosts.Items[0].Answers, answers) {
		t.Errorf("hosts: %+v", hosts)
	}
	csv := r.do(t, http.MethodGet, "/api/v1/ledger.csv", "", "").Body.String()
	lines := strings.Split(strings.TrimSpace(csv), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[1], ",2,600,1000,700,0,300,400,0,0,0,3,1") || strings.Count(lines[0], ",") != strings.Count(lines[1], ",") {
		t.Errorf("CSV:\n%s", csv)
	}
}

func TestMirrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	got := get[api.MirrorList](t, r, "/api/v1/mirrors").Mirrors
	if len(got) != 3 || got[0].FirstByte != 1.5 || got[0].Rate != 7_000_000 || !got[0].Measured.Equal(since) || got[1].Measured != nil || got[2].Down == "" {
		t.Errorf("mirrors: %+v", got)
	}
	none := newRig(t, func(o *Options) { o.Mirrors = new(mirror.Client) })
	if got := none.do(t, http.MethodGet, "/api/v1/mirrors", "", "").Body.String(); !strings.Contains(got, `"mirrors": []`) {
		t.Errorf("no mirrors: %s", got)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, path := range []string{
		"series?step=year", "series?step=day&from=yesterday", "series?step=minute&from=2020-01-01T00:00:00Z",
		"clients?limit=0", "clients?limit=201", "clients?offset=-1", "clients?sort=colour", "suites?limit=x", "keys?limit=0", "events?limit=1000",
		"periods?day=2020-01-01T00:00:00Z", "blobs?after=xyz", "blobs?after=%25", "packages?sort=colour", "packages?limit=201",
	} {
		if w := r.do(t, http.MethodGet, "/api/v1/"+path, "", ""); w.Code != http.StatusBadRequest || w.Body.Len() < 10 {
			t.Errorf("%s: %d: %s", path, w.Code, w.Body)
		}
	}
	if got := get[api.Page[api.Account]](t, r, "/api/v1/clients?offset=1000000"); got.Total != 2 || len(got.Items) != 0 {
		t.Errorf("past the end: %+v", got)
	}
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	got := get[api.Found](t, r, "/api/v1/blobs?q=BASH")
	if len(got.Items) != 1 || got.Items[0].Digest != r.deb.String() || !got.Items[0].Signed || got.Next != "" || got.Scanned != 2 {
		t.Errorf("by name: %+v", got)
	}
	from := []api.Source{{Origin: "mirror", Name: "deb.example.org"}, {Origin: "peer", Name: "you"}}
	if b := got.Items[0]; b.Name != "bash_5.2-1_amd64.deb" || b.Package != "bash" || !slices.Equal(b.From, from) {
		t.Errorf("a blob: %+v", b)
	}
	if got := get[api.Found](t, r, "/api/v1/blobs?q="+r.loose.String()[:12]); len(got.Items) != 1 || got.Items[0].URL != "" {
		t.Errorf("by digest: %+v", got)
	}
	first := get[api.Found](t, r, "/api/v1/blobs?limit=1")
	second := get[api.Found](t, r, "/api/v1/blobs?limit=1&after="+first.Next)
	third := get[api.Found](t, r, "/api/v1/blobs?limit=1&after="+second.Next)
	if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0].Name == "" || second.Items[0].Name != "" || len(third.Items) != 0 || third.Next != "" {
		t.Errorf("page by page: %+v, %+v, %+v", first, second, third)
	}
}

func TestSlice(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if got := get[api.Slice](t, r, "/api/v1/slice"); !got.Running || got.Holdings == nil {
		t.Errorf("at first: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	for get[api.Slice](t, r, "/api/v1/slice").Running {
		time.Sleep(time.Millisecond) // polling another goroutine through the API
	}
	got := get[api.Slice](t, r, "/api/v1/slice")
	want := api.Group{Archive: "deb.example.org/debian", Component: "main", Architecture: "amd64"}
	if len(got.Holdings) != 2 || got.Holdings[0].Group != (api.Group{}) || got.Holdings[1].Group != want || got.Holdings[1].Files != 1 || got.Holdings[1].Bytes != 9 {
		t.Errorf("counted: %+v", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestGroupOf(t *testing.T) {
	t.Parallel()
	at := func(path string) catalog.Location {
		return catalog.Location{Scheme: "http", Host: "h.example", Path: path}
	}
	tests := []struct {
		file, suite string
		want        api.Group
	}{
		{"/debian/pool/main/b/bash/bash_5_arm64.deb", "", api.Group{Archive: "h.example/debian", Suite: "", Component: "main", Architecture: "arm64"}},
		{"/debian/pool/non-free/x/x_1.dsc", "", api.Group{Archive: "h.example/debian", Suite: "", Component: "non-free", Architecture: "source"}},
		{"/flat/x_1_all.deb", "", api.Group{Archive: "h.example/flat", Suite: "", Component: "", Architecture: "all"}},
		{"/x_1_all.udeb", "", api.Group{Archive: "h.example", Suite: "", Component: "", Architecture: "all"}},
		{"/debian/dists/sid/main/binary-amd64/Packages.xz", "/debian/dists/sid", api.Group{Archive: "h.example/debian", Suite: "sid", Component: "main", Architecture: "index"}},
		{"/flat/Packages", "/flat", api.Group{Archive: "h.example/flat", Suite: "flat", Component: "", Architecture: "index"}},
		{"/s/dists/bookworm-security/updates/main/i18n/Translation-en.xz", "/s/dists/bookworm-security/updates",
			api.Group{Archive: "h.example/s", Suite: "bookworm-security/updates", Component: "main", Architecture: "index"}},
	}
	for _, tt := range tests {
		e := catalog.Entry{Location: at(tt.file)}
		if tt.suite != "" {
			e.Suite = at(tt.suite)
		}
		if got := groupOf(e); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.file, got, tt.want)
		}
	}
}

func TestSuiteState(t *testing.T) {
	t.Parallel()
	now := since.Add(24 * time.Hour)
	tests := []struct {
		name    string
		until   time.Time
		checked time.Time
		stale   string
		want    string
	}{
		{"confirmed", time.Time{}, since, "", "fresh"},
		{"never asked for", time.Time{}, time.Time{}, "", "unchecked"},
		{"confirmed, by nobody's key", time.Time{}, since, "", "unsigned"},
		{"mirror away", now.Add(time.Hour), since, "no answer", "stale"},
		{"too old for apt", now.Add(-time.Hour), since, "no answer", "expired"},
	}
	for _, tt := range tests {
		got := suiteOf(catalog.SuiteInfo{Current: catalog.Generation{ValidUntil: tt.until, Signed: tt.want != "unsigned"}}, tt.checked, tt.stale, now)
		if got.State != tt.want || got.Reason == "" || (got.Checked == nil) != tt.checked.IsZero() {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := httptest.NewUnstartedServer(nil)
	s.Config = r.Server()
	s.Start()
	defer s.Close()
	open := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := open()
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"event: tick", "data: {", ""} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			t.Fatalf("line %q, want %q", lines.Text(), want)
		}
	}
	r.ledger.Taken(ledger.File{Host: "deb.example.org"}, 1000)
	for range 2 { // the name, the data
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
	}
	tick := decode[api.Tick](t, []byte(strings.TrimPrefix(lines.Text(), "data: ")))
	if tick.Summary.MirrorBytes != 1400 || tick.Status != "degraded" || len(tick.Faults) != 1 || len(tick.Transfers) != 1 {
		t.Errorf("second tick: %+v", tick)
	}
	// A server that stops need not wait for pages that are open.
	if err := s.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
}

// A client that opens streams without end loses its own oldest ones, and nobody else.
func TestOneClientTakesNoStreamOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := New(options())
		ctx, cancel := context.WithCancel(t.Context())
		var ended []string
		ask := func(client string) {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/events", nil)
			r.Host, r.RemoteAddr = "box", client+":4711"
			r.Header.Set("Accept", "text/event-stream")
			go func() {
				w := httptest.NewRecorder()
				d.Handler().ServeHTTP(w, r)
				if ctx.Err() == nil {
					ended = append(ended, client)
				}
				if !strings.HasPrefix(w.Body.String(), "event: tick\n") {
					t.Errorf("%s: %s", client, w.Body)
				}
			}()
			synctest.Wait()
		}
		ask("10.0.0.2")
		for range maxStreams + 10 {
			ask("10.0.0.1")
		}
		ask("10.0.0.3")
		if len(ended) != 12 || slices.Contains(ended, "10.0.0.2") || slices.Contains(ended, "10.0.0.3") {
			t.Errorf("ended are streams of %q", ended)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	blob, missing := "/api/v1/blobs/"+r.deb.String(), "/api/v1/blobs/"+strings.Repeat("0", 64)
	tests := []struct {
		method, path, body string
		code               int
	}{
		{"PUT", blob + "/pin", "", 204},
		{"DELETE", blob + "/pin", "", 204},
		{"POST", blob + "/verify", "", 204},
		{"PUT", missing + "/pin", "", 404},
		{"DELETE", "/api/v1/blobs/abc", "", 400},
		{"PUT", "/api/v1/peers/you/ban", "", 204},
		{"PUT", "/api/v1/swarm/upload-rate", `{"bytes_per_second": 5}`, 204},
		{"PUT", "/api/v1/swarm/upload-rate", `{}`, 400},
		{"POST", "/api/v1/admin/check", "", 204},
		{"POST", "/api/v1/clients/erase", `{"address": "10.1.2.3"}`, 200},
		{"POST", "/api/v1/clients/erase", `{"address": "10.1.2.0/24"}`, 400},
		{"POST", "/api/v1/clients/erase", `{}`, 400},
		{"DELETE", blob, "", 204},
		{"DELETE", blob, "", 404},
	}
	off := newRig(t, func(o *Options) { o.AdminToken = "" })
	for _, tt := range tests {
		r.wrongTokens.of = nil // bursts_test has their limit
		for _, wrong := range []string{"", "wrong", token + "x"} {
			if w := r.do(t, tt.method, tt.path, wrong, tt.body); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s with token %q: %d", tt.method, tt.path, wrong, w.Code)
			}
		}
		if w := off.do(t, tt.method, tt.path, token, tt.body); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "MILLPOND_ADMIN_TOKEN") {
			t.Errorf("%s %s with actions off: %d: %s", tt.method, tt.path, w.Code, w.Body)
		}
		if w := r.do(t, tt.method, tt.path, token, tt.body); w.Code != tt.code {
			t.Errorf("%s %s: %d, want %d: %s", tt.method, tt.path, w.Code, tt.code, w.Body)
		}
	}
	if r.swarm.banned != "you" || r.swarm.rate != 5 {
		t.Errorf("swarm: %+v", r.swarm)
	}
}

// No answer has the token in it, sets a cookie or lets another site read it.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	paths := []string{"/", "/setup.sh", "/metrics", "/healthz", "/readyz"}
	for path, item := range get[map[string]any](t, r, "/api/v1/openapi.json")["paths"].(map[string]any) {
		if item.(map[string]any)["get"] != nil {
			paths = append(paths, strings.ReplaceAll(path, "{name}", "bash"))
		}
	}
	for _, path := range paths {
		w := r.do(t, http.MethodGet, path, token, "")
		h := w.Header()
		if strings.Contains(w.Body.String(), token) || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("GET %s: %v", path, h)
		}
	}
}

var _ Ledger = (*ledger.Ledger)(nil)
