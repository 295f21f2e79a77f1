package mirror

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// seen records the logins that requests came with, by host and path.
type seen struct {
	mu  sync.Mutex
	all map[string]string
}

func (s *seen) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]string)
	}
	s.all[r.Host+r.URL.Path] = r.Header.Get("Authorization")
}

func get(t *testing.T, c *Client, r Request) error {
	t.Helper()
	resp, err := c.Get(t.Context(), r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func mustLogins(t *testing.T, text string) Logins {
	t.Helper()
	l, err := ParseLogins(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A login follows a redirect to its own scheme, host and port only: not to a
// host below its own, where net/http would send it, nor to another port.
func TestLoginStaysWithItsHost(t *testing.T) {
	var s seen
	var other *httptest.Server
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		switch r.URL.Path {
		case "/own":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/below":
			_, port, _ := strings.Cut(r.Host, ":")
			http.Redirect(w, r, "http://sub.localhost:"+port+"/there", http.StatusFound)
		case "/port":
			http.Redirect(w, r, other.URL+"/back", http.StatusFound)
		}
	}, Options{Policy: mustPolicy(t, "127.0.0.1", "::1", "localhost", "sub.localhost")})
	other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		http.Redirect(w, r, srv.URL+"/returned", http.StatusFound)
	}))
	defer other.Close()
	const login = "Basic c2VjcmV0"
	host := strings.TrimPrefix(srv.URL, "http://")
	_, port, _ := strings.Cut(host, ":")
	for _, u := range []string{srv.URL + "/own", "http://localhost:" + port + "/below", srv.URL + "/port"} {
		if err := get(t, c, Request{URL: u, Login: login}); err != nil && !strings.Contains(err.Error(), "sub.localhost") {
			t.Fatal(err)
		}
	}
	for at, want := range map[string]string{
		host + "/own": login, host + "/there": login, "localhost:" + port + "/below": login,
		host + "/port": login, strings.TrimPrefix(other.URL, "http://") + "/back": "", host + "/returned": login,
	} {
		if s.all[at] != want {
			t.Errorf("%s got %q, want %q", at, s.all[at], want)
		}
	}
	if got := s.all["sub.localhost:"+port+"/there"]; got != "" {
		t.Errorf("a host below got %q", got)
	}
	// Where the name does not resolve, the rule itself.
	req, _ := http.NewRequest(http.MethodGet, "http://sub.localhost/x", nil)
	first, _ := http.NewRequest(http.MethodGet, "http://localhost/x", nil)
	req.Header.Set("Authorization", login) // as net/http does
	first.Header.Set("Authorization", login)
	if c.logInAfter(req, first); req.Header.Get("Authorization") != "" {
		t.Error("a host below got the login")
	}
}

// A redirect gets the box's login of the new host, but only as part of a request
// with the box's login: the caller has to know that the answer is no public
// file, and a client could have the box log in wherever a mirror of its own leads.
func TestRedirectGetsTheBoxsLogin(t *testing.T) {
	var s seen
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.note(r) }))
	defer target.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL+r.URL.Path, http.StatusFound)
	}))
	defer srv.Close()
	logins := mustLogins(t, "machine "+srv.URL+"/own login a password b machine "+target.URL+" login bob password builder")
	c := New(Options{Policy: mustPolicy(t, "127.0.0.1"), Logins: logins})
	defer c.Close()
	for path, login := range map[string]Login{"/own": Basic("a", "b"), "/client": "Bearer x", "/own-client": "Bearer x", "/without": ""} {
		if err := get(t, c, Request{URL: srv.URL + path, Login: login}); err != nil {
			t.Fatal(err)
		}
	}
	host := strings.TrimPrefix(target.URL, "http://")
	for path, want := range map[string]Login{"/own": Basic("bob", "builder"), "/client": "", "/own-client": "", "/without": ""} {
		if got := s.all[host+path]; got != string(want) {
			t.Errorf("%s: the new host got %q, want %q", path, got, string(want))
		}
	}
	if got := c.LoginFor(target.URL + "/x"); got != Basic("bob", "builder") {
		t.Error("the box's login is not found")
	}
}

// A refusal keeps the mirror's challenge, and says whether a login was refused;
// nothing that is printed of it has a secret in it.
func TestRefusedLogin(t *testing.T) {
	srv, c := newLoopback(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://bob:builder@"+r.Host+"/x", http.StatusFound)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}, Options{})
	for path, login := range map[string]Login{"/x": "", "/y": "Basic c2VjcmV0", "/redirect": ""} {
		err := get(t, c, Request{URL: srv.URL + path, Login: login})
		var status *StatusError
		if !errors.As(err, &status) || status.Code != 401 || !slices.Equal(status.Challenges, []string{`Basic realm="x"`}) {
			t.Fatalf("%s: %#v", path, err)
		}
		if path != "/redirect" && status.LoggedIn != (login != "") {
			t.Errorf("%s: LoggedIn is %v", path, status.LoggedIn)
		}
		if text := err.Error() + status.URL; strings.Contains(text, "builder") || strings.Contains(text, "c2VjcmV0") {
			t.Errorf("a secret is shown: %s", text)
		}
	}
	if text := fmt.Sprintf("%v %s %#v %+v", Login("Basic c2VjcmV0"), Login("x"), Login("Basic c2VjcmV0"), Request{Login: "Basic c2VjcmV0"}); strings.Contains(text, "c2VjcmV0") {
		t.Errorf("a login is formatted: %s", text)
	}
}

// What apt_auth.conf(5) says of its examples, and what apt does beyond.
func TestLogins(t *testing.T) {
	const end = " login apt password debian"
	want := Basic("apt", "debian")
	for _, tt := range []struct {
		text, url string
		match     bool
	}{
		{"machine example.org" + end, "https://example.org/debian", true},
		{"machine example.org\nlogin apt\npassword debian\n", "https://example.org/debian", true},
		{"machine example.org/deb" + end, "https://example.org/debian", true},
		{"machine example.org/debian/" + end, "https://example.org/debian/x", true},
		{"machine example.org/deb/" + end, "https://example.org/debian/x", false},
		{"machine example.org/ubuntu" + end, "https://example.org/debian", false},
		{"machine example.orga" + end, "https://example.org/debian", false},
		{"machine example.org" + end, "https://www.example.org/debian", false},
		{"machine example.org" + end, "http://example.org/debian", false},
		{"machine http://example.org" + end, "http://example.org/debian", true},
		{"machine http://example.org" + end, "https://example.org/debian", false},
		{"machine https://Example.ORG" + end, "https://example.org/debian", true},
		{"machine example.org" + end, "https://example.org:8443/debian", true},
		{"machine example.org:8443" + end, "https://example.org:8443/debian", true},
		{"machine example.org:8443" + end, "https://example.org/debian", false},
		{"machine [2001:db8::1]:8443" + end, "https://[2001:db8::1]:8443/debian", true},
		{"# machine example.org login x password y\nmachine example.org" + end, "https://example.org/", true},
		{"machine example.org/a login a password a\nmachine example.org" + end, "https://example.org/b", true},
		{"machine example.org" + end + "\nmachine example.org login x password y", "https://example.org/b", true},
		{"machine example.org account x" + end, "https://example.org/b", true},
		{"default login x password y", "https://example.org/", false},
		{"", "https://example.org/", false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := mustLogins(t, tt.text).match(u); tt.match && got != want || !tt.match && got != "" {
			t.Errorf("%q for %s: match is %v", tt.text, tt.url, got != "")
		}
	}
}

func TestParseLoginsFaults(t *testing.T) {
	for text, want := range map[string]string{
		"machine example.org login bob password":                                "line 1",
		"\nmachine example.org\n\nmachine example.com login a password hunter2": "line 2",
		"machine ftp://example.org login a password hunter2":                    "line 1: the protocol",
		"machine\nhunter2! login a":                                             "line 2",
		"machine example.org:x login a password hunter2":                        "line 1: host",
		"machine":                        "line 1",
		strings.Repeat("#", MaxLogins+1): "longer than",
		strings.Repeat("machine a login b password c\n", maxEntries+1):                    "more than",
		"machine example.org login bob password hunter2 machine example.com login\n#\n\n": "line 1",
	} {
		_, err := ParseLogins(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.80q: %v, want %q and no password", text, err, want)
		}
	}
}

func FuzzParseLogins(f *testing.F) {
	f.Add("machine http://[::1]:80/a login b password c")
	f.Add("# x\nmachine a\nlogin b")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLogins(text)
		if err != nil {
			return
		}
		for _, e := range l.entries {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(e.login), "Basic "))
			if err != nil || e.host == "" || len(raw) < 2 {
				t.Errorf("entry %q %v", e.host, err)
			}
		}
	})
}
