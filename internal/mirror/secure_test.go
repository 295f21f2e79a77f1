package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// twoSchemes is a host, example.com, that has an answer by http and one by https.
type twoSchemes struct {
	mu    sync.Mutex
	asked []string
	plain http.HandlerFunc
	tls   http.HandlerFunc
	c     *Client
}

func newTwoSchemes(t *testing.T) *twoSchemes {
	s := new(twoSchemes)
	serve := func(scheme string, h *http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.asked = append(s.asked, scheme+r.RequestURI)
			s.mu.Unlock()
			(*h)(w, r)
		}
	}
	plain := httptest.NewServer(serve("http ", &s.plain))
	t.Cleanup(plain.Close)
	encrypted := httptest.NewTLSServer(serve("https ", &s.tls))
	t.Cleanup(encrypted.Close)
	s.plain = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.RequestURI, http.StatusMovedPermanently)
	}
	s.tls = func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by https") }
	s.c = New(Options{})
	t.Cleanup(func() { s.c.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(encrypted.Certificate())
	s.c.pool.Load().any.TLSClientConfig = &tls.Config{RootCAs: roots}
	s.c.pool.Load().any.DialContext = func(ctx context.Context, network, hostport string) (net.Conn, error) {
		to := plain.Listener.Addr().String()
		if strings.HasSuffix(hostport, ":443") {
			to = encrypted.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	return s
}

// get returns what the host gave for a path, and the requests that it took.
func (s *twoSchemes) get(t *testing.T, r Request) (body string, asked []string) {
	t.Helper()
	s.asked = nil
	r.URL = "http://example.com" + r.URL
	resp, err := s.c.Get(t.Context(), r)
	var status *StatusError
	if errors.As(err, &status) {
		return fmt.Sprint(status.Code), s.asked
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), s.asked
}

func TestRedirectToHTTPSIsRemembered(t *testing.T) {
	t.Parallel()
	s := newTwoSchemes(t)
	check := func(r Request, body string, asked ...string) {
		t.Helper()
		if got, by := s.get(t, r); got != body || !slices.Equal(by, asked) {
			t.Errorf("%s: %q by %q, want %q by %q", r.URL, got, by, body, asked)
		}
	}
	check(Request{URL: "/a"}, "by https", "http /a", "https /a")
	check(Request{URL: "/a%2bb?c"}, "by https", "https /a%2bb?c")
	check(Request{URL: "/a", Login: Basic("bob", "hunter2")}, "by https", "http /a", "https /a")

	// What https lacks is asked for by http, which may have it.
	s.tls = http.NotFound
	s.plain = func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by http") }
	check(Request{URL: "/b"}, "by http", "https /b", "http /b")
	check(Request{URL: "/c"}, "by http", "http /c")

	// A redirect to another file says nothing of the host.
	s.tls = func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "by https") }
	s.plain = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+"/elsewhere"+r.RequestURI, http.StatusFound)
	}
	check(Request{URL: "/d"}, "by https", "http /d", "https /elsewhere/d")
	check(Request{URL: "/d"}, "by https", "http /d", "https /elsewhere/d")
}

func TestSecuredIsBounded(t *testing.T) {
	t.Parallel()
	var s secured
	for i := range 3 * maxDown {
		s.note(fmt.Sprintf("host%d.example.org", i))
	}
	if n := len(s.hosts); n > maxDown {
		t.Errorf("%d hosts are remembered", n)
	}
	s.hosts["old.example.org"] = redirecting{time.Now()}
	if s.has("old.example.org") {
		t.Error("a host is remembered for longer than its time")
	}
}
