package dashboard

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"millpond/internal/api"
)

const readToken = "tell-me-what-you-hold"

// serve is a dashboard on a real server.
func serve(t *testing.T, change func(*Options)) (*rig, *httptest.Server) {
	t.Helper()
	r := newRig(t, change)
	s := httptest.NewServer(r.Handler())
	t.Cleanup(s.Close)
	return r, s
}

// request asks a server, with headers given as name, value, and so on; Host among
// them.
func request(t *testing.T, s *httptest.Server, method, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
		if pair[0] == "Host" {
			req.Host = pair[1]
		}
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp, "" // it has no end
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// open are the routes that show nothing of the site.
var open = []string{
	"/", "/index.html", "/icon.svg", "/licenses.txt", "/assets/", "/setup.sh", "/healthz", "/readyz", "/probe", api.IdentityPath,
}

func isOpen(route string) bool {
	return slices.ContainsFunc(open, func(o string) bool { return route == o || o == "/assets/" && strings.HasPrefix(route, o) })
}

// A page whose name leads to the box reads nothing of the site, at whatever route.
func TestRebindingReadsNothing(t *testing.T) {
	t.Parallel()
	r, s := serve(t, nil)
	guarded := 0
	err := chi.Walk(r.Handler().(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		path := strings.NewReplacer("{name}", "bash", "{digest}", r.deb.String(), "{id}", "you").Replace(route)
		resp, body := request(t, s, method, path, "Host", "evil.example:3142", "Authorization", "Bearer "+token, "Accept", "text/event-stream")
		if isOpen(route) != (resp.StatusCode == http.StatusOK) || !isOpen(route) && resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s %s: %s: %s", method, route, resp.Status, body)
		}
		if !isOpen(route) {
			guarded++
			if method != http.MethodHead && !strings.Contains(body, "MILLPOND_DASHBOARD_ACCESS=evil.example") {
				t.Errorf("%s %s does not say what would allow it: %s", method, route, body)
			}
		}
		return nil
	})
	if err != nil || guarded < 20 {
		t.Errorf("%d guarded routes, %v", guarded, err)
	}
	if r.swarm.banned != "" || r.swarm.rate != 0 {
		t.Error("an action was done")
	}
}

// Names that nobody can own pass, others when they are listed.
func TestNamesOfTheDashboard(t *testing.T) {
	t.Parallel()
	_, s := serve(t, func(o *Options) { o.Access.Names = []string{"apt.example.org", "*.boxes.example.org"} })
	for host, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3:3142": true, "[fd00::1]:3142": true, "[fe80::1]": true, "8.8.8.8": true,
		"nas": true, "NAS:3142": true, "nas.": true, "localhost:3142": true, "box.local": true, "box.lan:3142": true, "box.site.internal": true,
		"box.home.arpa": true, "millpond.apt.svc": true, "millpond.apt.svc.cluster.local:80": true, "BOX.Local.": true,
		"apt.example.org": true, "APT.example.org.:3142": true, "a.boxes.example.org": true, "a.b.boxes.example.org": true,
		"evil.example": false, "evil.example:3142": false, "boxes.example.org": false, "xboxes.example.org": false, "apt.example.org.evil.example": false,
		"local.evil.example": false, "127.0.0.1.evil.example": false, "lan.com": false, "homearpa.org": false, "svc.example": false, "10.1.2.3.4": false,
	} {
		for _, path := range []string{"/api/v1/clients", "/metrics"} {
			if resp, body := request(t, s, http.MethodGet, path, "Host", host); (resp.StatusCode == 200) != want || !want && resp.StatusCode != 421 {
				t.Errorf("%s at %s: %s: %s", path, host, resp.Status, body)
			}
		}
	}
}

func TestRangesOfTheDashboard(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Access.Ranges = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	})
	for from, want := range map[string]int{"10.1.2.3:5": 200, "[::ffff:10.1.2.3]:5": 200, "[fd00::1%eth0]:5": 200, "10.2.0.1:5": 403, "[fe80::1]:5": 403, "": 403} {
		for _, path := range []string{"/api/v1/clients", "/metrics", "/api/v1/none", "/", "/healthz", "/setup.sh", api.IdentityPath} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			req.Host, req.RemoteAddr = "box", from
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, req)
			switch {
			case isOpen(path) && w.Code != 200, path == "/api/v1/none" && w.Code != 404, path == "/metrics" && w.Code != want, path == "/api/v1/clients" && w.Code != want:
				t.Errorf("GET %s from %q: %d: %s", path, from, w.Code, w.Body)
			case w.Code == 403 && !strings.Contains(w.Body.String(), "MILLPOND_DASHBOARD_ACCESS"):
				t.Errorf("GET %s from %q does not say what would allow it: %s", path, from, w.Body)
			}
		}
	}
}

// With a read token, the token or the admin token shows what there is; only the
// admin token, and only as a bearer token, changes something.
func TestReadToken(t *testing.T) {
	t.Parallel()
	r, s := serve(t, func(o *Options) { o.Access.Token = readToken })
	basic := func(user, password string) string {
		req := http.Request{Header: http.Header{}}
		req.SetBasicAuth(user, password)
		return req.Header.Get("Authorization")
	}
	for _, tt := range []struct {
		authorization  string
		reads, changes int
	}{
		{"", 401, 401}, {"Bearer " + readToken, 200, 401}, {"bearer " + readToken, 200, 401}, {"Bearer " + token, 200, 204},
		{basic("anybody", readToken), 200, 401}, {basic("", token), 200, 401},
		{"Bearer ", 401, 401}, {"Bearer x" + readToken, 401, 401}, {basic(readToken, "x"), 401, 401}, {"Digest " + readToken, 401, 401},
	} {
		for _, path := range []string{"/api/v1/clients", "/metrics"} {
			resp, body := request(t, s, http.MethodGet, path, "Authorization", tt.authorization)
			if resp.StatusCode != tt.reads {
				t.Errorf("%s with %q: %s: %s", path, tt.authorization, resp.Status, body)
			}
			challenges := strings.Join(resp.Header.Values("WWW-Authenticate"), ", ")
			if bearer := strings.HasPrefix(tt.authorization, "Bearer "); resp.StatusCode == 401 &&
				(strings.Contains(challenges, "Basic ") == bearer || !strings.Contains(challenges, "Bearer ") || strings.Contains(body, readToken)) {
				t.Errorf("%s with %q: challenges %s: %s", path, tt.authorization, challenges, body)
			}
		}
		if resp, body := request(t, s, http.MethodPut, "/api/v1/peers/you/ban", "Authorization", tt.authorization); resp.StatusCode != tt.changes {
			t.Errorf("a ban with %q: %s: %s", tt.authorization, resp.Status, body)
		}
		for _, path := range open {
			if path == "/assets/" {
				continue
			}
			if resp, _ := request(t, s, http.MethodGet, path, "Authorization", tt.authorization); resp.StatusCode != 200 {
				t.Errorf("%s with %q: %s", path, tt.authorization, resp.Status)
			}
		}
		r.wrongTokens.mu.Lock()
		r.wrongTokens.of = nil // bursts_test has their limit
		r.wrongTokens.mu.Unlock()
	}
}

// A page elsewhere can have a browser send requests, with a password that the
// browser knows; it reads no answer, and changes nothing.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	r, s := serve(t, func(o *Options) { o.Access.Token = readToken })
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth("", token)
	known := req.Header.Get("Authorization")
	for _, tt := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/api/v1/clients"}, {"GET", "/metrics"}, {"GET", api.IdentityPath}, {"OPTIONS", "/api/v1/clients"},
		{"OPTIONS", "/api/v1/peers/you/ban"}, {"PUT", "/api/v1/peers/you/ban"}, {"POST", "/api/v1/prefetch"}, {"DELETE", "/api/v1/blobs/" + r.deb.String()},
	} {
		resp, body := request(t, s, tt.method, tt.path, "Origin", "http://evil.example", "Authorization", known, "Content-Type", "text/plain",
			"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization")
		for name := range resp.Header {
			if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
				t.Errorf("%s %s: header %s", tt.method, tt.path, name)
			}
		}
		if tt.method != "GET" && resp.StatusCode < 400 {
			t.Errorf("%s %s: %s: %s", tt.method, tt.path, resp.Status, body)
		}
	}
	if _, err := r.store.Stat(r.deb); r.swarm.banned != "" || err != nil {
		t.Errorf("banned %q; the file: %v", r.swarm.banned, err)
	}
}

// A refusal is logged with the setting, and is one event however often it comes.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	events := new(Events)
	r, s := serve(t, func(o *Options) { o.Events, o.Log = events, logTo(&out, events) })
	for range 150 {
		request(t, s, http.MethodGet, "/metrics", "Host", "evil.example")
	}
	if n := strings.Count(out.String(), "\n"); n != 150 || strings.Count(out.String(), "setting=MILLPOND_DASHBOARD_ACCESS") != 150 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	if got := get[api.EventList](t, r, "/api/v1/events").Events; len(got) != 1 || got[0].Times != 150 || got[0].Setting != AccessSetting || got[0].Client != "127.0.0.1" {
		t.Errorf("events: %+v", got)
	}
}
