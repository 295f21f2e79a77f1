package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// tlsClient is a client with the authorities' certificates, through a proxy if it
// is given one.
func tlsClient(t *testing.T, proxy string, authorities ...[]byte) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	for _, pem := range authorities {
		roots.AppendCertsFromPEM(pem)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(u)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// read gets a URL, which has to be there.
func read(t *testing.T, c *http.Client, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, resp.Status, err, body)
	}
	return resp, body
}

// With a certificate each port takes TLS beside plain HTTP, for files, tunnels
// and pages, and a changed certificate counts without a restart.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 300_000)
	far := aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})
	far.Put("/x", []byte("through a tunnel"), time.Now())
	dir := t.TempDir()
	pair, certFile, _ := writeCertificate(t, dir)
	ca, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, append(s.environ(t.TempDir(), "MILLPOND_TLS_CERT="+pair, "MILLPOND_DASHBOARD_LISTEN=127.0.0.1:0"),
		"MILLPOND_ALLOW_UPSTREAMS="+s.Mirror.Addr()+","+far.Addr()))
	secure := "https://" + b.Addr().String()
	path := strings.TrimPrefix(s.URL(s.debs[0].Path), "http:/")

	for _, base := range []string{secure, b.url} {
		if _, got := read(t, tlsClient(t, "", ca), base+path); !bytes.Equal(got, s.debs[0].Data) {
			t.Errorf("%s: %d bytes, want the file", base, len(got))
		}
	}
	proxied := tlsClient(t, secure, ca, far.CertPEM())
	if _, got := read(t, proxied, s.URL(s.debs[0].Path)); !bytes.Equal(got, s.debs[0].Data) {
		t.Errorf("as a proxy: %d bytes, want the file", len(got))
	}
	if _, got := read(t, proxied, far.URL("/x")); string(got) != "through a tunnel" {
		t.Errorf("through a tunnel: %q", got)
	}
	page := "https://" + b.servers[len(b.servers)-1].listener.Addr().String()
	if resp, _ := read(t, tlsClient(t, "", ca), page+"/healthz"); resp.ProtoMajor != 2 {
		t.Errorf("the page is in %s", resp.Proto)
	}

	next, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	if err := os.WriteFile(filepath.Join(dir, "next.pem"), append(key, next...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "next.pem"), pair); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); ; {
		c := tlsClient(t, "", next)
		resp, err := c.Get(secure + "/healthz")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the changed certificate does not count: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
