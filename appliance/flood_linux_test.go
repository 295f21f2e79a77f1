package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// descriptorsInTest is how many a box may have in these tests, and flooding how many
// connections one client opens.
const descriptorsInTest, flooding = 500, 600

// soon is how long others may wait: without shares they wait until what the flood does
// is over, at the earliest the 20 s that a header may take.
const soon = 10 * time.Second

// newVisitor is a client with an address of this machine that does not wait for long.
func newVisitor(t *testing.T, proxy, from string) *client {
	c := newClientAt(t, proxy, from)
	c.Timeout = soon
	return c
}

// A client that opens more connections than the box can have, whatever it does with
// them, keeps nobody else from files, the page and health.
func TestFloods(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of connections")
	}
	s := newSite(t, aptest.MirrorOptions{}, 20_000, 8_000_000)
	far := listenSilently(t)
	dir := t.TempDir()
	cert, key := aptest.Certificate(t, time.Now().Add(time.Hour))
	if err := os.WriteFile(dir+"/tls.pem", append(cert, key...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := spawn(t, s.environ(t.TempDir(), "MILLPOND_TLS_CERT="+dir+"/tls.pem",
		"MILLPOND_ALLOW_UPSTREAMS="+s.Mirror.Addr()+","+far, "MILLPOND_TUNNELS="+far),
		fmt.Sprintf("ulimit -n %d", descriptorsInTest))
	base := s.Mirror.URL("/debian")
	addr := strings.TrimPrefix(p.url, "http://")
	newClientAt(t, p.url, "127.0.0.9").want(t, base+"/"+s.debs[1].Path, s.debs[1].Data)
	never := s.Mirror.Inject("/debian/pool/never/*", aptest.Hold())
	defer never.Release()
	const file = "GET %s HTTP/1.1\r\nHost: box\r\n\r\n"
	for _, flood := range []struct {
		name, send string
		answers    bool // it waits for the beginning of an answer
	}{
		{"silent", "", false},
		{"half a header", "GET / HTTP/1.1\r\nHost: box\r\nX-Slow:", false},
		{"half a handshake", "\x16\x03\x01\x02\x00\x01", false},
		{"idle", fmt.Sprintf(file, "/healthz"), true},
		{"event streams", "GET /api/v1/events HTTP/1.1\r\nHost: box\r\nAccept: text/event-stream\r\n\r\n", true},
		{"slow readers", fmt.Sprintf(file, base+"/"+s.debs[1].Path), true},
		{"files that do not come", fmt.Sprintf(file, base+"/pool/never/NUMBER_1_all.deb"), false},
		{"tunnels", "CONNECT " + far + " HTTP/1.1\r\nHost: " + far + "\r\n\r\n", true},
	} {
		t.Run(flood.name, func(t *testing.T) {
			begun := time.Now()
			var wg sync.WaitGroup
			open := make([]net.Conn, flooding)
			for i := range open {
				conn, err := dialFrom("127.0.0.1", addr)
				if err != nil {
					t.Fatal(err)
				}
				open[i] = conn
				t.Cleanup(func() { conn.Close() })
				io.WriteString(conn, strings.Replace(flood.send, "NUMBER", strconv.Itoa(i), 1))
				if flood.answers {
					wg.Go(func() { conn.Read(make([]byte, 1)) }) // an error if the place is needed already
				}
			}
			wg.Wait()
			took := time.Since(begun)
			begun = time.Now()
			for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
				newVisitor(t, p.url, from).update(t, s, base)
				newVisitor(t, p.url, from).want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
				visitPage(t, p.url, from)
			}
			visitPage(t, p.url, "127.0.0.1") // the same client's own are never shut out either
			t.Logf("%d connections in %v; then two clients and three pages in %v; the box has %d descriptors", flooding, took.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond), descriptorsOf(t, p))
			if n := descriptorsOf(t, p); n > descriptorsInTest*9/10 {
				t.Errorf("the box has %d descriptors of %d", n, descriptorsInTest)
			}
		})
	}
}

// visitPage gets health, the page, its figures and the beginning of its stream.
func visitPage(t *testing.T, url, from string) {
	t.Helper()
	c := newVisitor(t, "", from)
	for _, path := range []string{"/healthz", "/readyz", "/", "/api/v1/summary"} {
		if resp, body := c.get(t, http.MethodGet, url+path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: %s", path, resp.Status, body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 2 { // of ticks
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "event: tick") {
			t.Errorf("the stream has %q, %v", line, err)
		}
		for line := "x"; line != "\n"; {
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// dialFrom connects from an address of this machine.
func dialFrom(from, to string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	return d.Dial("tcp", to)
}

// listenSilently returns the address of a server that takes connections and says
// nothing.
func listenSilently(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

// descriptorsOf is how many descriptors a process has open.
func descriptorsOf(t *testing.T, p *process) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
