package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"millpond/internal/aptest"
)

func TestDashboardAccess(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                                      "{[] [] }",
		"Apt.example.org., *.boxes.example.org": "{[apt.example.org *.boxes.example.org] [] }",
		"10.0.0.0/8, fd00::1":                   "{[] [10.0.0.0/8 fd00::1/128] }",
		"a.example.org,192.0.2.7,token:0123456789ab": "{[a.example.org] [192.0.2.7/32] 0123456789ab}",
	} {
		c, err := parseConfig([]string{"MILLPOND_DASHBOARD_ACCESS=" + value})
		if got := fmt.Sprint(c.access); err != nil || got != want {
			t.Errorf("%q gives %s, %v; want %s", value, got, err, want)
		}
	}
	for value, why := range map[string]string{
		"hunter2":                     "entry 1: a name without a dot, which is always allowed; a token has token: before it",
		"a.example.org,token:hunter2": "entry 2: a token of less than 12 characters",
		"token:hunter2hunter2,token:hunter2hunter2": "entry 2: a second token",
		"http://hunter2.example.org":                "neither a name nor a range",
		"hunter2.example.org:3142":                  "without scheme, port and path",
		"*.hunter2.*":                               "not a name",
		"hunter2 hunter2.x":                         "not a name",
		"10.1.2.3/8":                                "neither a name nor a range",
	} {
		_, err := parseConfig([]string{"MILLPOND_DASHBOARD_ACCESS=" + value})
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", value, err, why)
		}
	}
}

// The setting holds at both listeners, for what is the box's own and not for
// archives; `millpond peers` gives the token.
func TestDashboardAccessAtBothListeners(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	const token = "tell-me-what-you-hold"
	access := "MILLPOND_DASHBOARD_ACCESS=apt.example.org,127.0.0.0/8,token:" + token
	shared := start(t, s.environ(t.TempDir(), access))
	apart := start(t, s.environ(t.TempDir(), access, "MILLPOND_DASHBOARD_LISTEN=127.0.0.1:0"))
	people := "http://" + apart.servers[1].listener.Addr().String()
	release := "/" + s.Mirror.Addr() + "/debian/dists/stable/InRelease"
	for _, tt := range []struct {
		url, host, token string
		code             int
	}{
		{shared.url + "/api/v1/summary", "", "", 401}, {people + "/api/v1/summary", "", "", 401},
		{shared.url + "/api/v1/summary", "", token, 200}, {people + "/metrics", "", token, 200},
		{shared.url + "/api/v1/summary", "evil.example", token, 421}, {people + "/metrics", "evil.example", token, 421},
		{shared.url + "/api/v1/summary", "apt.example.org:3142", token, 200}, {people + "/api/v1/summary", "apt.example.org", token, 200},
		{shared.url + "/", "evil.example", "", 200}, {shared.url + "/readyz", "evil.example", "", 200}, {shared.url + "/api/v1/peer", "evil.example", "", 200},
		{apart.url + "/api/v1/peer", "evil.example", "", 200}, {people + "/setup.sh", "evil.example", "", 200},
		{shared.url + release, "evil.example", "", 200}, {apart.url + release, "evil.example", "", 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.code {
			t.Errorf("GET %s at %q with token %q: %s, want %d", tt.url, tt.host, tt.token, resp.Status, tt.code)
		}
	}
	for _, tt := range []struct{ access, says string }{
		{access, "No other box is connected"},
		{"MILLPOND_DASHBOARD_ACCESS=", "This needs the token in MILLPOND_DASHBOARD_ACCESS"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"peers"}, []string{"MILLPOND_LISTEN=" + shared.Addr().String(), tt.access}, &out, &errs)
		if !strings.Contains(out.String()+errs.String(), tt.says) || (code == exitOK) != strings.HasPrefix(tt.says, "No") {
			t.Errorf("millpond peers with %s: %d, %s%s", tt.access, code, &out, &errs)
		}
	}
}
