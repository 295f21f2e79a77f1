package mirror

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func mustUpstream(t *testing.T, proxy string, except ...string) Upstream {
	t.Helper()
	u, err := ParseUpstream(proxy)
	if err == nil {
		err = u.Except(except)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseUpstream(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              ":0 no login",
		"http://proxy.example.net:3128": "proxy.example.net:3128 no login",
		"http://Proxy.Example.net./":    "proxy.example.net:80 no login",
		"https://proxy.example.net":     "proxy.example.net:443 no login",
		"http://10.1.2.3:8080":          "10.1.2.3:8080 no login",
		"http://[fd00::1]:3128":         "[fd00::1]:3128 no login",
		"http://proxy:3128":             "proxy:3128 no login",
		"http://bob:a%2F%3A%40b@p:1":    "p:1 Basic Ym9iOmEvOkBi",
		"http://bob@p:1":                "p:1 Basic Ym9iOg==",
	} {
		u, err := ParseUpstream(text)
		login := string(u.login())
		if login == "" {
			login = "no login"
		}
		if got := u.String() + " " + login; err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
		if u.isSet() != (text != "") {
			t.Errorf("%q: set %v", text, u.isSet())
		}
	}
	for text, want := range map[string]string{
		"proxy.example.net:3128":                "neither http:// nor https://",
		"socks5://bob:hunter2@p:1080":           "neither http:// nor https://",
		"//p:3128":                              "neither http:// nor https://",
		"http://":                               "no host",
		"http://:3128":                          "no host",
		"http://bob:hunter2@":                   "no host",
		"http://p:0":                            "no host",
		"http://p:70000":                        "no host",
		"http://a..b:1":                         "no host",
		"http://10.1.2:1":                       "no host",
		"http://bob:hunter2@p:1/path":           "more than a host",
		"http://bob:hunter2@p:1?":               "more than a host",
		"http://bob:hunter2@p:1#x":              "more than a host",
		"http://bob:12#hunter2@p:1":             "more than a host",
		"http://bob:hunter2/x@p:1":              "not a URL",
		"http://bob:hunter2%zz@p:1":             "not a URL",
		"http://bob:hunter2@p:x":                "not a URL",
		"http://:hunter2@p:1":                   "without a user",
		"http://bob:hunter2@p:1\r\nX: injected": "not a URL",
	} {
		u, err := ParseUpstream(text)
		if err == nil || !strings.Contains(err.Error(), want) || u.isSet() {
			t.Errorf("%q: %v, want a fault with %q", text, err, want)
			continue
		}
		for _, secret := range []string{"hunter2", "bob"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the fault of %q has %q in it: %v", text, secret, err)
			}
		}
	}
}

// TestUpstreamIsSecret holds that no way to print a client's parts shows the login.
func TestUpstreamIsSecret(t *testing.T) {
	t.Parallel()
	u := mustUpstream(t, "http://bob:hunter2@proxy.example.net:3128")
	p := mustPolicy(t)
	p.Through(u)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, part := range []any{u, &u, u.login()} {
			if s := fmt.Sprintf(format, part); strings.Contains(s, "hunter2") || strings.Contains(s, "Ym9iO") {
				t.Errorf("%s of %T is %s", format, part, s)
			}
		}
		if s := fmt.Sprintf(format, p); strings.Contains(s, "hunter2") {
			t.Errorf("%s of a policy is %s", format, s)
		}
	}
}

func TestUpstreamExcept(t *testing.T) {
	t.Parallel()
	u := mustUpstream(t, "http://p:3128", "nas", "mirror.example.net:8080", "*.lan.example.net", "10.0.0.0/8", "192.0.2.7", "[fd00::1]:8080", "fd01::/16")
	for _, tt := range []struct {
		host   string
		port   int
		direct bool
	}{
		{"archive.example.org", 80, false},
		{"nas", 80, true},
		{"NAS.", 443, true},
		{"nas.example.net", 80, false},
		{"mirror.example.net", 8080, true},
		{"mirror.example.net", 80, false},
		{"a.lan.example.net", 80, true},
		{"lan.example.net", 80, false},
		{"10.1.2.3", 80, true},
		{"::ffff:10.1.2.3", 80, true},
		{"11.1.2.3", 80, false},
		{"192.0.2.7", 443, true},
		{"fd00::1", 8080, true},
		{"fd00::1", 80, false},
		{"fd01::5", 80, true},
		{"fd01::5%eth0", 80, true},
	} {
		if got := !u.leadsTo(tt.host, tt.port); got != tt.direct {
			t.Errorf("%s at %d: direct %v, want %v", tt.host, tt.port, got, tt.direct)
		}
	}
	var none Upstream
	if none.leadsTo("archive.example.org", 80) || none.is("", 0) {
		t.Error("no proxy leads somewhere")
	}
	bad := []string{"http://nas", "nas/debian", "10.1.2.3/8", "::ffff:10.0.0.0/104", "nas:0", "a b", "", "*", "*.10.1.2.3", "fe80::1%eth0"}
	err := new(Upstream).Except(append(bad, "nas"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != len(bad) {
		t.Fatalf("got %v, want %d faults", err, len(bad))
	}
	for i, f := range joined.Unwrap() {
		if !strings.Contains(f.Error(), `"`+bad[i]+`"`) || !strings.HasPrefix(f.Error(), "MILLPOND_UPSTREAM_PROXY_EXCEPT") {
			t.Errorf("fault %q does not name %q", f, bad[i])
		}
	}
}

// TestPolicyByName is what may be reached when the proxy resolves.
func TestPolicyByName(t *testing.T) {
	t.Parallel()
	p := mustPolicy(t, "nas", "mirror.corp:8080", "10.2.0.0/16", "deb.example.org:81")
	p.Through(mustUpstream(t, "http://proxy.example.net:3128", "near.example.net", "nas.lan"))
	for _, tt := range []struct {
		host    string
		port    int
		refused string // what the reason says; empty if it may
		setting string
	}{
		{"archive.example.org", 80, "", ""},
		{"DEB.debian.ORG.", 443, "", ""},
		{"foo.github.io", 443, "", ""},
		{"github.io", 443, "", ""},
		{"a.example.co.uk", 80, "", ""},
		{"xn--e1afmkfd.xn--p1ai", 80, "", ""},
		{"archive.example.org", 8080, "neither 80 nor 443", "archive.example.org:8080"},
		{"deb.example.org", 81, "", ""},

		{"internal-host", 80, "no public suffix", "internal-host"},
		{"dev", 80, "no public suffix", "dev"}, // a suffix, and a host of some site
		{"co.uk", 80, "no public suffix", "co.uk"},
		{"mirror.lan", 80, "no public suffix", "mirror.lan"},
		{"mirror.internal", 80, "no public suffix", "mirror.internal"},
		{"metadata.google.internal", 80, "no public suffix", "metadata.google.internal"},
		{"box.local", 80, "no public suffix", "box.local"},
		{"mirror.home.arpa", 80, "no public suffix", "mirror.home.arpa"},
		{"1.0.0.10.in-addr.arpa", 80, "no public suffix", "1.0.0.10.in-addr.arpa"},
		{"x.onion", 80, "no public suffix", "x.onion"},
		{"localhost", 80, "no public suffix", "localhost"},
		{"millpond.apt.svc.cluster.local", 80, "no public suffix", "millpond.apt.svc.cluster.local"},
		{"mirror.lan", 8080, "no public suffix", "mirror.lan:8080"},
		// What some resolvers take for addresses, and what a proxy may read as
		// another host.
		{"127.1", 80, "no public suffix", ""},
		{"0x7f000001", 80, "no public suffix", ""},
		{"2130706433", 80, "no public suffix", ""},
		{"127.0.0.1.", 80, "no public suffix", ""},
		{"10.0.0.1/.example.org", 443, "no public suffix", ""},
		{"10.0.0.1#.example.org", 443, "no public suffix", ""},
		{"10.0.0.1\\.example.org", 443, "no public suffix", ""},
		{"10.0.0.1%2f.example.org", 443, "no public suffix", ""},
		{"a b.example.org", 443, "no public suffix", ""},
		{"bob@10.0.0.1", 443, "no public suffix", ""},
		{"", 443, "no public suffix", ""},

		{"nas", 80, "", ""},
		{"nas", 3142, "", ""},
		{"mirror.corp", 8080, "", ""},
		{"mirror.corp", 80, "no public suffix", "mirror.corp"},
		// Addresses are judged as without a proxy, and ranges are about addresses.
		{"10.1.2.3", 80, "a private address", "10.1.2.3"},
		{"10.2.0.9", 8080, "", ""},
		{"1.1.1.1", 80, "", ""},
		{"1.1.1.1", 8080, "neither 80 nor 443", "1.1.1.1:8080"},
		{"::ffff:127.0.0.1", 80, "a loopback address", "127.0.0.1"},
		// The proxy itself is nobody's mirror.
		{"proxy.example.net", 3128, "the proxy of MILLPOND_UPSTREAM_PROXY itself", ""},
		{"PROXY.example.net.", 3128, "the proxy of MILLPOND_UPSTREAM_PROXY itself", ""},
		// Where no proxy leads, the address decides, later.
		{"near.example.net", 80, "", ""},
		{"nas.lan", 80, "", ""},
	} {
		err := p.CheckName(tt.host, tt.port)
		var r *RefusedError
		switch {
		case tt.refused == "":
			if err != nil {
				t.Errorf("%s at %d: %v, want it allowed", tt.host, tt.port, err)
			}
			continue
		case !errors.As(err, &r) || !strings.Contains(r.Reason, tt.refused):
			t.Errorf("%q at %d: %v, want a refusal: %s", tt.host, tt.port, err, tt.refused)
			continue
		}
		if tt.setting == "" {
			continue
		}
		if r.Setting != "MILLPOND_ALLOW_UPSTREAMS="+tt.setting {
			t.Errorf("%s at %d: cure %s, want %s", tt.host, tt.port, r.Setting, tt.setting)
		}
		cured := mustPolicy(t, tt.setting)
		cured.Through(p.upstream)
		if err := cured.CheckName(tt.host, tt.port); err != nil {
			t.Errorf("with %s: %v", tt.setting, err)
		}
	}
}

// FuzzByName holds that no name passes that is not one by its letters, or whose last
// part is none of the public's.
func FuzzByName(f *testing.F) {
	for _, s := range []string{"archive.example.org", "nas", "127.1", "10.0.0.1/.example.org", "a.local", "[::1]", "foo.github.io", "a..org", "org."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !isPublicName(host) {
			return
		}
		last := host[strings.LastIndexByte(canonical(host), '.')+1:]
		if !isHostName(host) || !strings.Contains(canonical(host), ".") || strings.Trim(last, "0123456789.") == "" {
			t.Errorf("%q passes", host)
		}
	})
}
