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

	box    *box.Box // of millpond
	server *server  // of the others
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

// server is a process that is no box.
type server struct {
	tb         testing.TB
	name, addr string
	command    []string
	env        []string
	cmd        *exec.Cmd
	done       chan struct{} // closed when the process has ended
}

// start runs a server until the end of the test and waits until it listens.
func start(tb testing.TB, name, addr, path string, args ...string) subject {
	tb.Helper()
	sv := &server{tb: tb, name: name, addr: addr, command: append([]string{path}, args...), env: os.Environ()}
	tb.Cleanup(sv.stop)
	sv.run()
	return subject{name: name, url: "http://" + addr, server: sv, pid: func() int { return sv.cmd.Process.Pid }}
}

// run starts the process, for the first time or after it has ended.
func (sv *server) run() {
	sv.tb.Helper()
	cmd, done, out := exec.Command(sv.command[0], sv.command[1:]...), make(chan struct{}), new(bytes.Buffer)
	cmd.Env, cmd.Stdout, cmd.Stderr = sv.env, out, out
	// A test that is interrupted cleans nothing up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		sv.tb.Fatal(err)
	}
	sv.cmd, sv.done = cmd, done
	go func() {
		_ = cmd.Wait() // reports the signal
		close(done)
	}()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", sv.addr)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-done:
			sv.tb.Fatalf("%s has ended:\n%s", sv.name, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			sv.tb.Fatalf("%s does not listen: %v", sv.name, err)
		}
	}
}

func (sv *server) stop() {
	if sv.cmd == nil {
		return
	}
	_ = sv.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-sv.done:
	case <-time.After(10 * time.Second):
		_ = sv.cmd.Process.Kill()
		<-sv.done
	}
}

// ended reports whether a server that does not answer has ended by itself.
func (sv *server) ended() bool {
	select {
	case <-sv.done:
		return true
	case <-time.After(2 * time.Second):
		return false
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

// listenIP is where subjects listen.
var listenIP = "127.0.0.1"

// freeAddr returns an address of listenIP that nobody listens on. The port is below
// 32768: with others apt-cacher-ng neither listens nor connects.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", listenIP, 10_000+rand.IntN(20_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
}
