package front

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// named are the proxies of the tests.
var named = Proxies{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.1/32")}

// identified returns whose request it is that came from peer with fields.
func identified(peer string, fields http.Header) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Header = peer, fields
	return ClientOf(named.Identify(r)).String()
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const unknown = "invalid IP"
	for _, tt := range []struct {
		peer           string
		forwarded, xff []string
		want           string
	}{
		{"192.0.2.1:80", nil, nil, "192.0.2.1"},
		{"192.0.2.1:80", nil, []string{"10.0.0.7"}, "10.0.0.7"},
		{"[::ffff:192.0.2.1]:80", nil, []string{"10.0.0.7"}, "10.0.0.7"},
		{"[2001:db8::1%eth0]:80", nil, []string{"fd00::7"}, "fd00::7"},
		{"10.0.0.1:80", []string{"for=10.0.0.7"}, []string{"10.0.0.7"}, "10.0.0.1"}, // no proxy
		{"192.0.2.1:80", nil, []string{"10.0.0.9, 10.0.0.7"}, "10.0.0.7"},
		{"192.0.2.1:80", nil, []string{"10.0.0.9", "10.0.0.7, 192.0.2.2"}, "10.0.0.7"},
		{"192.0.2.1:80", nil, []string{"192.0.2.3, 192.0.2.2"}, "192.0.2.3"},
		{"192.0.2.1:80", nil, []string{" , ,"}, "192.0.2.1"},
		{"192.0.2.1:80", nil, []string{"10.0.0.7:4711"}, "10.0.0.7"},
		{"192.0.2.1:80", nil, []string{"[fd00::7]:4711"}, "fd00::7"},
		{"192.0.2.1:80", nil, []string{"[fd00::7]"}, "fd00::7"},
		{"192.0.2.1:80", nil, []string{"::ffff:10.0.0.7"}, "10.0.0.7"},
		{"192.0.2.1:80", nil, []string{"10.0.0.9, unknown"}, "192.0.2.1"},
		{"192.0.2.1:80", nil, []string{"10.0.0.9, unknown, 192.0.2.2"}, "192.0.2.2"},
		{"192.0.2.1:80", nil, []string{"10.0.0.7, nonsense"}, unknown},
		{"192.0.2.1:80", nil, []string{"nonsense, 10.0.0.7"}, unknown},
		{"192.0.2.1:80", nil, []string{"[10.0.0.7]"}, unknown},
		{"192.0.2.1:80", []string{"for=10.0.0.7"}, nil, "10.0.0.7"},
		{"192.0.2.1:80", []string{`For="[fd00::7]:4711";proto=http;by=192.0.2.1, for=192.0.2.2`}, nil, "fd00::7"},
		{"192.0.2.1:80", []string{`for=10.0.0.9;host="a,b;c=\"d", for="10.0.0.7:80"`}, nil, "10.0.0.7"},
		{"192.0.2.1:80", []string{"for=10.0.0.9, for=_hidden"}, nil, "192.0.2.1"},
		{"192.0.2.1:80", []string{"for=10.0.0.9, proto=http"}, nil, "192.0.2.1"},
		{"192.0.2.1:80", []string{`for="10.0.0.9`, "for=10.0.0.7"}, nil, unknown}, // the mark would hide what a proxy appends
		{"192.0.2.1:80", []string{`for=10.0.0.9, for=", for=10.0.0.7`}, nil, unknown},
		{"192.0.2.1:80", []string{"for=10.0.0.9;for=10.0.0.7"}, nil, unknown},
		{"192.0.2.1:80", []string{"10.0.0.7"}, nil, unknown},
		{"192.0.2.1:80", []string{`for=1"0.0.0.7"`}, nil, unknown},
		{"192.0.2.1:80", []string{"for=10.0.0.7;proto=https"}, []string{"10.0.0.7"}, "10.0.0.7"},
		{"192.0.2.1:80", []string{"for=10.0.0.9"}, []string{"10.0.0.7"}, unknown}, // one of the two is the client's own
		{"192.0.2.1:80", []string{"for=10.0.0.9"}, []string{"unknown"}, unknown},
	} {
		if got := identified(tt.peer, http.Header{"Forwarded": tt.forwarded, "X-Forwarded-For": tt.xff}); got != tt.want {
			t.Errorf("from %s with Forwarded %q and X-Forwarded-For %q: %s, want %s", tt.peer, tt.forwarded, tt.xff, got, tt.want)
		}
	}
}

// FuzzForwarded holds that whatever a client writes, it is not taken for anyone
// but itself by what the proxy appends, at most for nobody; nor by the field that
// the proxy passes on.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "10.0.0.9", "for=10.0.0.9", `for="`, `for="[fd00::9]:1";by=x,`, `a=\`, "unknown", "for=_x;for=_y", `x="\"`, "192.0.2.9, for=192.0.2.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const client = "198.51.100.7"
		for _, fields := range []http.Header{
			{"X-Forwarded-For": {s + ", " + client}},
			{"X-Forwarded-For": {s, client}},
			{"X-Forwarded-For": {client}, "Forwarded": {s}},
			{"Forwarded": {s + ", for=" + client}},
			{"Forwarded": {s + `, for="` + client + `"`}},
			{"Forwarded": {s, "for=" + client}},
			{"Forwarded": {"for=" + client}, "X-Forwarded-For": {s}},
		} {
			if got := identified("192.0.2.1:80", fields); got != client && got != "invalid IP" {
				t.Errorf("%q makes it %s", fields, got)
			}
		}
		if got := identified("198.51.100.1:80", http.Header{"X-Forwarded-For": {s}, "Forwarded": {s}}); got != "198.51.100.1" {
			t.Errorf("%q of no proxy makes it %s", s, got)
		}
		if _, err := parseForwarded(s); err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of %q has more than a line: %v", s, err)
		}
	})
}
