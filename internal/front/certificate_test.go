package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"millpond/internal/aptest"
)

// write puts a file in place as a whole.
func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// newCertificate returns a certificate that is loaded from two files, and them.
func newCertificate(t *testing.T) (c *Certificate, certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	write(t, certFile, cert)
	write(t, keyFile, key)
	c, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return c, certFile, keyFile
}

// trusting is TLS's side of a client that has the certificate in force as its
// authority.
func trusting(c *Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.current.Load().Leaf)
	return &tls.Config{RootCAs: roots}
}

func TestTLSBesidePlainHTTP(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	for _, proxies := range []Proxies{nil, named} {
		for _, http2 := range []bool{false, true} {
			e := newEcho(t, Options{Proxies: proxies, Certificate: c, HTTP2: http2})
			transport := &http.Transport{TLSClientConfig: trusting(c), ForceAttemptHTTP2: true}
			for _, scheme := range []string{"https", "http"} {
				resp, err := (&http.Client{Transport: transport}).Get(scheme + "://" + e.Addr().String())
				if err != nil {
					t.Fatalf("%s: %v", scheme, err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := 1
				if http2 && scheme == "https" {
					want = 2
				}
				if resp.ProtoMajor != want || string(body) != "127.0.0.1" || (resp.TLS != nil) != (scheme == "https") {
					t.Errorf("%s, HTTP/2 %v: %s %s", scheme, http2, resp.Proto, body)
				}
			}
			transport.CloseIdleConnections()
			if got := e.ask(t, "", ""); got != "200 127.0.0.1" {
				t.Errorf("in the clear: %s", got)
			}
		}
	}
}

// A balancer that passes TLS on says whose it is in front of the handshake.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	e := newEcho(t, Options{Proxies: named, Certificate: c})
	transport := &http.Transport{
		TLSClientConfig: trusting(c),
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			conn := e.dial(t)
			_, err := io.WriteString(conn, header(t, 2, proxyproto.PROXY, "10.0.0.7:99"))
			return conn, err
		},
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "10.0.0.7" {
		t.Errorf("it is of %s", body)
	}
}

// A handshake that does not go on is over in time.
func TestSilentHandshake(t *testing.T) {
	t.Parallel()
	c, _, _ := newCertificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := Listener(l, Options{Certificate: c, Log: slog.New(slog.DiscardHandler)}).(*listener)
	in.limit = 300 * time.Millisecond
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if conn, err := in.Accept(); err == nil {
			t.Error("accepted")
			conn.Close()
		}
	}()
	for _, opening := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, opening)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("after %q the connection is open: %v", opening, err)
		}
		conn.Close()
	}
	in.Close()
	<-ended
}

// A changed certificate counts when both files have settled; one that cannot be
// used never does.
func TestCertificateFollowsItsFiles(t *testing.T) {
	t.Parallel()
	c, certFile, keyFile := newCertificate(t)
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	serial := func() string { return c.current.Load().Leaf.SerialNumber.String() }
	old := serial()
	expect := func(what string, changed bool, lines int, fault string) {
		t.Helper()
		if got := serial() != old; got != changed {
			t.Errorf("%s: changed %v, want %v", what, got, changed)
		}
		if got := strings.Count(logged.String(), "\n"); got != lines {
			t.Errorf("%s: %d lines logged, want %d:\n%s", what, got, lines, &logged)
		}
		if err := c.Err(); (err != nil) != (fault != "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: the fault is %v, want %q", what, err, fault)
		}
	}
	looks := func(n int) {
		for range n {
			c.look(log)
		}
	}
	looks(3)
	expect("no change", false, 0, "")

	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	write(t, certFile, cert)
	looks(1)
	write(t, keyFile, key)
	looks(1)
	expect("before it has settled", false, 0, "")
	looks(3)
	expect("a new pair", true, 1, "")

	old = serial()
	write(t, certFile, cert[:len(cert)/2])
	looks(3)
	expect("half a file", false, 2, "the former one stays in force")
	os.Remove(certFile)
	looks(3)
	expect("no file", false, 3, "no such file")
	if err := syscall.Mkfifo(certFile, 0o600); err != nil {
		t.Fatal(err)
	}
	looks(3)
	expect("a pipe", false, 4, "not a regular file")
	other, _ := aptest.Certificate(t, time.Now().Add(time.Hour))
	write(t, certFile, other)
	looks(3)
	expect("another one's key", false, 5, "does not match")
	write(t, certFile, cert)
	looks(3)
	expect("the former one again", false, 6, "")

	cert, key = aptest.Certificate(t, time.Now().Add(-time.Hour))
	write(t, certFile, cert)
	write(t, keyFile, key)
	looks(2)
	expect("an expired one", true, 7, "expired on")
	if strings.Contains(logged.String(), "BEGIN") {
		t.Errorf("logged %s", &logged)
	}
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	c, certFile, keyFile := newCertificate(t)
	old := c.current.Load()
	ended := make(chan error)
	go func() { ended <- c.Watch(t.Context(), slog.New(slog.DiscardHandler)) }()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	write(t, certFile, cert)
	write(t, keyFile, key)
	for c.current.Load() == old {
		time.Sleep(10 * time.Millisecond) // the test's own deadline bounds this
	}
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
