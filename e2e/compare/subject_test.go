package compare

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

// subject is a running cache.
type subject struct {
	name string
	url  string // http://127.0.0.1:port
	sole bool   // it has one mirror, whose host is in no path
	pid  func() int
	done <-chan struct{} // closed when the process ends; nil if it is a box's
	box  *box.Box        // of millpond
}

// ended reports whether a competitor that does not answer has ended by itself.
func (s subject) ended() bool {
	select {
	case <-s.done:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

// of is the URL under which the mirror at addr is reached through the subject.
func (s subject) of(addr string) string {
	if s.sole {
		return s.url
	}
	return s.url + "/" + addr
}

func startMillpond(tb testing.TB, settings ...string) subject {
	tb.Helper()
	m := box.Start(tb, settings...)
	return subject{name: millpond, url: m.URL, pid: m.PID, box: m}
}

// start runs a server until the end of the test and waits until it listens.
func start(tb testing.TB, name, addr, path string, args ...string) subject {
	tb.Helper()
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	// A test that is interrupted cleans nothing up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // reports the signal
		close(done)
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return subject{name: name, url: "http://" + addr, done: done, pid: func() int { return cmd.Process.Pid }}
		}
		select {
		case <-done:
			tb.Fatalf("%s has ended:\n%s", name, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// program finds what Debian packages install; daemons are beside the path of
// many users.
func program(tb testing.TB, name string) string {
	tb.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	tb.Fatalf("%s is missing. Install what this compares, without starting the services:\n"+
		"\tsudo RUNLEVEL=1 apt-get install -y --no-install-recommends %s", name, strings.Join(compared, " "))
	return ""
}

// get returns the body of a 200 answer to a URL of the subject.
func get(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return body, nil
}

func load(tb testing.TB) string {
	tb.Helper()
	avg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Join(strings.Fields(string(avg))[:3], " ")
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// freeAddr returns a loopback address that nobody listens on. The port is below
// 32768: with others apt-cacher-ng neither listens nor connects.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
}
