package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/swarm"
)

// text is what several goroutines write.
type text struct {
	mu sync.Mutex
	strings.Builder
}

func (w *text) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Builder.Write(b)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Builder.String()
}

func (w *text) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Builder.Reset()
}

// startLogged runs a box until the end of the test, and returns its address and its log.
func startLogged(t *testing.T, level slog.Level, environ []string) (addr string, log *text) {
	t.Helper()
	c, err := parseConfig(environ)
	if err != nil {
		t.Fatal(err)
	}
	log = new(text)
	a, err := New(c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return a.Addr().String(), log
}

// rawly sends a request as it stands and returns the answer.
func rawly(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, request)
	b, _ := io.ReadAll(conn) // cut is an answer too
	return string(b)
}

// boxSecret is in all that the box is told by its settings, and clientSecret in what
// clients and mirrors send.
const boxSecret, clientSecret = "canary5up", "sparrow5up"

// secretIn returns what is secret in a text, with what surrounds it.
func secretIn(text string, secrets ...string) string {
	for _, secret := range secrets {
		// As it is, and within what Basic sends: the bytes of three are four then.
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("me:" + secret))[:12]} {
			if i := strings.Index(text, form); i >= 0 {
				return text[max(0, i-300):min(len(text), i+60)]
			}
		}
	}
	return ""
}

// Whatever secrets a box is given or sent, in whatever place, are in no line of its log,
// in no event and on no page, nor the box's own in an answer.
func TestSecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	dir := t.TempDir()
	auth, key := filepath.Join(dir, "auth.conf"), filepath.Join(dir, "swarm.key")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(auth, "machine http://"+s.Mirror.Addr()+"/private/ login me password "+boxSecret+"\n")
	swarmKey := string(swarm.NewKey())
	write(key, swarmKey)
	s.Mirror.Inject("/private/*", aptest.Login(aptest.BasicLogin("me", "another")))
	s.Mirror.Inject("/away/*", aptest.Status(302, "Location", "http://127.0.0.1:1/x?token="+clientSecret))
	s.Mirror.Inject("/loop/*", aptest.Status(302, "Location", s.Mirror.URL("/loop/dists/x/Release")+"?token="+clientSecret))
	s.Mirror.Inject("/login/*", aptest.Status(302, "Location", "http://me:"+clientSecret+"@127.0.0.1:1/x"))
	s.Mirror.Inject("/broken/*", aptest.Status(500))
	s.Mirror.Inject("/cut/*", aptest.Truncate(10))
	s.Mirror.Put("/cut/pool/x_1_all.deb", make([]byte, 1000), time.Now())
	s.Mirror.Put("/any/file", make([]byte, 1000), time.Now())
	more := []string{
		"MILLPOND_ADMIN_TOKEN=administrator-" + boxSecret, "MILLPOND_DASHBOARD_ACCESS=token:read-" + boxSecret,
		"MILLPOND_AUTH_FILE=" + auth, "MILLPOND_SWARM_KEY_FILE=" + key,
	}
	open := "MILLPOND_ALLOW_UPSTREAMS=" + s.Mirror.Addr() + "/*,127.0.0.1:1"
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+clientSecret)) + "\r\n"
	for name, environ := range map[string][]string{
		"direct":                    append(more, open),
		"archives alone":            more,
		"through an upstream proxy": append(more, open, "MILLPOND_UPSTREAM_PROXY=http://me:"+boxSecret+"@127.0.0.1:1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, log := startLogged(t, slog.LevelDebug, s.environ(t.TempDir(), environ...))
			var answers, pages strings.Builder
			for _, path := range []string{
				"/debian/dists/stable/InRelease", "/private/dists/x/InRelease", "/away/dists/x/Release", "/loop/dists/x/Release", "/login/dists/x/Release",
				"/broken/dists/x/Release", "/cut/pool/x_1_all.deb", "/any/file", "/none/dists/x/Release",
			} {
				for _, user := range []string{"", "me:" + clientSecret + "@"} {
					for _, query := range []string{"", "?token=" + clientSecret, "?" + clientSecret} {
						for _, header := range []string{"", basic, "Authorization: Bearer " + clientSecret + "\r\n", "Proxy-Authorization" + strings.TrimPrefix(basic, "Authorization")} {
							for _, form := range []string{"GET http://%s%s%s HTTP/1.1\r\n", "GET /%s%s%s HTTP/1.1\r\n"} {
								answers.WriteString(rawly(t, addr, fmt.Sprintf(form, user+s.Mirror.Addr(), path, query)+"Host: box\r\nConnection: close\r\n"+header+"\r\n"))
							}
						}
					}
				}
			}
			for _, line := range []string{
				"CONNECT me:" + clientSecret + "@archive.example.org:443", "CONNECT 127.0.0.1:1", "PUT http://me:" + clientSecret + "@archive.example.org/dists/x/Release?" + clientSecret,
				"GET http://me:" + clientSecret + "@/x", "GET /https/me:" + clientSecret + "@archive.example.org/dists/x/Release", "GET http://HTTPS///me:" + clientSecret + "@archive.example.org/dists/x/Release",
				"GET /api/v1/events?token=" + clientSecret, "GET /api/v1/blobs?token=" + clientSecret, "GET /metrics?" + clientSecret, "PUT /api/v1/peers/x/ban?token=" + clientSecret, "GET /nothing?token=" + clientSecret,
			} {
				for _, header := range []string{"", basic, "Authorization: Bearer " + clientSecret + "\r\n", "Proxy-Authorization" + strings.TrimPrefix(basic, "Authorization"), "Host: " + "\r\n"} {
					answers.WriteString(rawly(t, addr, line+" HTTP/1.1\r\nHost: box\r\nConnection: close\r\n"+header+"\r\n"))
				}
			}
			for _, path := range []string{"events", "settings", "hosts", "clients", "packages", "transfers", "blobs", "suites", "mirrors", "summary", "swarm", "slice", "keys"} {
				answer := rawly(t, addr, "GET /api/v1/"+path+" HTTP/1.1\r\nHost: box\r\nConnection: close\r\nAuthorization: Bearer read-"+boxSecret+"\r\n\r\n")
				if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
					t.Errorf("%s: %.300s", path, answer)
				}
				pages.WriteString(answer)
			}
			pages.WriteString(rawly(t, addr, "GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\nAuthorization: Bearer read-"+boxSecret+"\r\n\r\n"))
			for what, all := range map[string]string{"the log": log.String(), "a page": pages.String(), "an answer": answers.String()} {
				secrets := []string{boxSecret, clientSecret}
				if what == "an answer" { // its client may see what it sent
					secrets = secrets[:1]
				}
				if secret := secretIn(all, secrets...); secret != "" {
					t.Errorf("%s has a secret: %q", what, secret)
				}
				for line := range strings.Lines(swarmKey) {
					if line = strings.TrimSpace(line); len(line) > 20 && strings.Contains(all, line) {
						t.Errorf("%s has the swarm key", what)
					}
				}
			}
		})
	}
}

// A client that sends bad requests of all kinds leaves some lines in the log, and how
// many there were.
func TestFloodOfBadRequestsIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of requests")
	}
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	addr, log := startLogged(t, slog.LevelInfo, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN=a-long-random-word"))
	const bad = 10_000
	var clients sync.WaitGroup
	for worker := range 8 {
		clients.Go(func() {
			c := newClientAt(t, "", "127.0.0.2")
			for i := worker; i < bad; i += 8 {
				method, path, host := http.MethodGet, fmt.Sprintf("/www%d.example.org/login", i), "box"
				switch i % 5 {
				case 1:
					path = fmt.Sprintf("/10.0.%d.%d/debian/dists/x/Release", i/250%250, i%250)
				case 2:
					method, path = http.MethodPut, fmt.Sprintf("/api/v1/peers/x%d/ban", i)
				case 3:
					path, host = "/metrics", fmt.Sprintf("h%d.example.org", i)
				case 4:
					method, path = http.MethodPut, fmt.Sprintf("/archive.example.org/debian/dists/x%d/Release", i)
				}
				req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Host = host
				req.Header.Set("Authorization", fmt.Sprint("Bearer ", i))
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode < 400 {
					t.Errorf("%s %s: %s, %v", method, path, resp.Status, err)
				}
				resp.Body.Close()
			}
		})
	}
	clients.Wait()
	// Three kinds of lines, in as many windows as this takes.
	lines := strings.Count(log.String(), "\n")
	t.Logf("%d lines after %d bad requests", lines, bad)
	if lines > bad/20 {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(log.String(), "wrong token") || !strings.Contains(log.String(), "dashboard refused") || !strings.Contains(log.String(), "request refused") {
		t.Errorf("the log:\n%.2000s", log)
	}
}
