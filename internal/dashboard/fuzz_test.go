package dashboard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest asks the API for anything, with the admin token: a client's mistake is
// told as one, and is never the box's.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, body string }{
		{"GET", "/api/v1/slice?search=bash&limit=3", ""},
		{"GET", "/api/v1/series?days=-1", ""},
		{"PUT", "/api/v1/peers/you/ban", `{"hours":1}`},
		{"PUT", "/api/v1/upload-rate", `{"rate":1e309}`},
		{"DELETE", "/api/v1/blobs/" + strings.Repeat("0", 64), ""},
		{"GET", "/api/v1/packages/%00?arch=", ""},
		{"GET", "/setup.sh?x=`id`", ""},
	} {
		f.Add(seed.method, seed.target, seed.body)
	}
	r := newRig(f, nil)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		// The stream of events ends with its client.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
		if err != nil {
			return
		}
		req.Host, req.RemoteAddr = "box.lan:3142", "10.1.2.3:4"
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s %q with %q: %d: %s", method, target, body, w.Code, w.Body)
		}
	})
}

// FuzzNames asks under names as browsers send them: one that anybody can register in
// the public DNS is never answered.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"box", "box.lan:80", "evil.example.com", "evil.example.com.", "[::1]:80", "127.0.0.1", "lan.example.com", "a@b.lan", "0x7f.1", "localhost.", "evil.com\x00.lan", ".]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.Host != host {
			return // no browser sends it
		}
		if !(Access{}).names(host) {
			return
		}
		name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		if _, err := netip.ParseAddr(name); err == nil {
			return
		}
		last := name[strings.LastIndexByte(name, '.')+1:]
		if last == name {
			return
		}
		switch last {
		case "local", "lan", "internal", "arpa", "svc":
		default:
			t.Errorf("%q is answered, under %q", host, last)
		}
	})
}
