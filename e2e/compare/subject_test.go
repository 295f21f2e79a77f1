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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

// rounds is how often each figure is taken; the median counts.
const rounds = 3

// subject is a running cache.
type subject struct {
	name string
	url  string // http://127.0.0.1:port; a file is at url/host:port/path
	pid  func() int
}

func startMillpond(b testing.TB, settings ...string) subject {
	m := box.Start(b, settings...)
	return subject{"millpond", m.URL, m.PID}
}

// startNginx runs nginx as a cache before the server at upstream, which is the
// only one that it has: nginx knows no host in a path.
func startNginx(b testing.TB, upstream string) subject {
	addr, dir := freeAddr(b), b.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	write(b, conf, fmt.Sprintf(`
daemon off;
user root;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/temp;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache levels=1:2 keys_zone=archive:10m max_size=20g inactive=1d use_temp_path=off;
	server {
		listen %[2]s;
		location /%[3]s/ {
			proxy_pass http://%[3]s/;
			proxy_cache archive;
			proxy_cache_valid 200 1d;
		}
	}
}
`, dir, addr, upstream))
	return start(b, "nginx", addr, program(b, "nginx"), "-p", dir, "-e", "stderr", "-c", conf)
}

// startACNG runs apt-cacher-ng with the Debian package's settings, but for
// what keeps it to itself.
func startACNG(b testing.TB) subject {
	addr, dir := freeAddr(b), b.TempDir()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	write(b, filepath.Join(dir, "acng.conf"), fmt.Sprintf(`
CacheDir: %[1]s/cache
LogDir: %[1]s/log
SupportDir: /usr/lib/apt-cacher-ng
BindAddress: %[2]s
Port: %[3]s
SocketPath: %[1]s/socket
ReportPage: acng-report.html
ExThreshold: 4
FollowIndexFileRemoval: 1
AllowUserPorts: 0
ForeGround: 1
`, dir, host, port))
	return start(b, "apt-cacher-ng", addr, program(b, "apt-cacher-ng"), "-c", dir)
}

// start runs a server until the end of the benchmark and waits until it
// listens.
func start(b testing.TB, name, addr, path string, args ...string) subject {
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // reports the signal
		close(done)
	}()
	b.Cleanup(func() {
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
			return subject{name, "http://" + addr, func() int { return cmd.Process.Pid }}
		}
		select {
		case <-done:
			b.Fatalf("%s has ended:\n%s", name, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// program finds what Debian packages install; daemons are beside the path of
// many users.
func program(b testing.TB, name string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	b.Fatalf("%s is missing. Install what this compares, without starting the services:\n"+
		"\tsudo RUNLEVEL=1 apt-get install -y --no-install-recommends wrk nginx-light apt-cacher-ng squid", name)
	return ""
}

// get returns the body of a 200 answer.
func (s subject) get(b testing.TB, path string) []byte {
	resp, err := http.Get(s.url + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: GET %s: %s", s.name, path, resp.Status)
	}
	return body
}

// memory is what a process and its children have resident, in bytes.
type memory struct{ all, anon, file int64 }

func (m memory) String() string {
	return fmt.Sprintf("%4d MB (anonymous %d, mapped files %d)", m.all>>20, m.anon>>20, m.file>>20)
}

func (s subject) memory(b testing.TB) memory { return residentTree(b, s.pid()) }

func residentTree(b testing.TB, pid int) memory {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	var m memory
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		for name, sum := range map[string]*int64{"VmRSS:": &m.all, "RssAnon:": &m.anon, "RssFile:": &m.file} {
			if f[0] == name {
				*sum = 1024 * number(b, f[1])
			}
		}
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		c := residentTree(b, int(number(b, child)))
		m.all, m.anon, m.file = m.all+c.all, m.anon+c.anon, m.file+c.file
	}
	return m
}

func number(b testing.TB, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func load(b testing.TB) string {
	avg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(strings.Fields(string(avg))[:3], " ")
}

func write(b testing.TB, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// freeAddr returns a loopback address that nobody listens on. The port is below
// 32768: with others apt-cacher-ng neither listens nor connects.
func freeAddr(b testing.TB) string {
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
}
