package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/boxtest"
)

// asProgram makes the test binary be millpond itself, for tests that need a
// process of their own. It must not look like a setting.
const asProgram = "TEST_RUN_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	dir, err := os.MkdirTemp("", "appliance")
	if err != nil {
		panic(err)
	}
	trustTestMirrors(filepath.Join(dir, "ca.pem"))
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// trustTestMirrors makes the certificate of TLS mirrors in tests, which is the
// same for all of them, the system's authority. It must come before the first
// TLS connection of the process.
func trustTestMirrors(file string) {
	s := httptest.NewTLSServer(nil)
	s.Close()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", file)
}

// site is an archive on a mirror, and what a box needs to serve it.
type site struct {
	*boxtest.Archive
	now  *aptest.Generation
	debs []aptest.File
}

// newSite publishes an archive of packages with debs of about these sizes.
func newSite(t *testing.T, o aptest.MirrorOptions, sizes ...int) *site {
	t.Helper()
	s := &site{Archive: boxtest.NewArchive(t, o)}
	for i, size := range sizes {
		s.debs = append(s.debs, s.AddPackage(fmt.Sprintf("package%d", i), size))
	}
	// A minute ago: generations that follow at once are dated a second later each, and a
	// Release that is signed in the future is not asked of other boxes.
	s.now = s.Release(time.Now().Add(-time.Minute))
	return s
}

// environ is what a box at a free port needs to serve the site from dir.
func (s *site) environ(dir string, more ...string) []string {
	return append([]string{
		"MILLPOND_LISTEN=127.0.0.1:0", "MILLPOND_DATA_DIR=" + dir, "MILLPOND_KEYRING_DIR=" + s.Keys,
		"MILLPOND_ALLOW_UPSTREAMS=" + s.Mirror.Addr(), "MILLPOND_CACHE_SIZE=1GB", "MILLPOND_INDEX_TTL=1h",
		"MILLPOND_SWARM_LISTEN=/ip4/127.0.0.1/tcp/0", "MILLPOND_SWARM_LOCAL=false",
	}, more...)
}

// box is a running Appliance.
type box struct {
	*Appliance
	url  string
	stop func() error // ends Run and returns what it did
}

// newLog writes to the test's output.
func newLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a box until stop or the end of the test.
func start(t *testing.T, environ []string) *box {
	t.Helper()
	c, err := parseConfig(environ)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(c, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	b := &box{Appliance: a, url: "http://" + a.Addr().String()}
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return b
}

// client is an HTTP client of a box. It counts the body bytes that it gets.
type client struct {
	http.Client
	got int64
}

// newClient returns a client; proxy is the box's URL, or "" for one that asks
// for URLs at the box. Its connections are closed at the end of the test.
func newClient(t *testing.T, proxy string) *client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(u)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{Client: http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// get sends a request with header fields (name, value, …) and reads the body.
func (c *client) get(t *testing.T, method, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	if resp.StatusCode < 300 {
		c.got += int64(len(body))
	}
	return resp, body
}

// want gets a URL, which must give these bytes.
func (c *client) want(t *testing.T, url string, data []byte) {
	t.Helper()
	resp, body := c.get(t, http.MethodGet, url)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, data) {
		t.Fatalf("GET %s: %s with %d bytes, want 200 and the file's %d", url, resp.Status, len(body), len(data))
	}
}

// update does what apt-get update does for one suite.
func (c *client) update(t *testing.T, s *site, base string) {
	t.Helper()
	for _, name := range []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.xz"} {
		c.want(t, base+"/"+name, s.now.File(name))
	}
}

// summary reads a box's figures.
func summary(t *testing.T, url string) (s api.Summary) {
	t.Helper()
	c := newClient(t, "")
	_, body := c.get(t, http.MethodGet, url+"/api/v1/summary")
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatalf("summary: %v: %s", err, body)
	}
	c.CloseIdleConnections()
	return s
}

// servedOnce has a box get the files of s for c, and stop. Its last figures are
// returned.
func servedOnce(t *testing.T, s *site, environ []string) (c *client, last api.Summary) {
	t.Helper()
	base := s.Mirror.URL("/debian")
	b := start(t, environ)
	c = newClient(t, b.url)
	c.update(t, s, base)
	for _, deb := range s.debs {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
	last = figures(t, b, func() int64 { return c.got }, func() int64 { return s.Mirror.BytesSent("*") })
	c.CloseIdleConnections()
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	return c, last
}

// figures waits until the box and the mirror have booked what the clients have
// already received, which both do just after sending, and compares.
func figures(t *testing.T, b *box, clientBytes, mirrorBytes func() int64) api.Summary {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s := summary(t, b.url)
		client, mirror := clientBytes(), mirrorBytes()
		if s.ClientBytes == client && s.MirrorBytes == mirror && s.SavedBytes == client-mirror {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("summary: client_bytes %d, mirror_bytes %d, saved_bytes %d; clients got %d, the mirror sent %d, which saves %d",
				s.ClientBytes, s.MirrorBytes, s.SavedBytes, client, mirror, client-mirror)
		}
		time.Sleep(5 * time.Millisecond) // polling over HTTP
	}
}
