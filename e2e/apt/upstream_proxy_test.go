package apt

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/e2e/internal/poll"
)

// realProxy is a squid or a tinyproxy of this machine, with names of its own, which
// nobody else resolves.
type realProxy struct {
	addr  string
	login string // user:password@, or none

	t       *testing.T
	dir     string
	command []string
	cmd     *exec.Cmd
}

// htpasswd has the user bob with the password hunter2, as htpasswd writes it.
const htpasswd = "bob:$apr1$millpond$gEhiW7m7p5im20qo.Y4eM.\n"

// startProxy starts a proxy by the name of its program. It wants the login, if one is
// given, and knows the hosts, lines of /etc/hosts.
func startProxy(t *testing.T, program, login, hosts string) *realProxy {
	t.Helper()
	// Not TempDir, which squid's own user must not enter.
	dir, err := os.MkdirTemp("", "millpond-"+program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &realProxy{addr: box.FreeAddr(t), login: login, t: t, dir: dir}
	conf := map[string]func() string{"squid": p.squid, "tinyproxy": p.tinyproxy}[program]()
	for name, text := range map[string]string{"hosts": "127.0.0.1 localhost\n" + hosts, "passwords": htpasswd, "conf": conf, "log": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "log"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.stop)
	p.run()
	return p
}

// squid holds what it caches for a day, whatever the mirror says.
func (p *realProxy) squid() string {
	p.command = []string{"squid", "-N", "-f", filepath.Join(p.dir, "conf")}
	access := "http_access allow localhost"
	if p.login != "" {
		access = "auth_param basic program /usr/lib/squid/basic_ncsa_auth " + filepath.Join(p.dir, "passwords") +
			"\nauth_param basic children 1\nacl login proxy_auth REQUIRED\nhttp_access allow login"
	}
	return fmt.Sprintf(`http_port %s
visible_hostname squid
dns_nameservers 127.0.0.1
dns_timeout 1 seconds
pid_filename none
cache_log /dev/null
access_log stdio:%s
pinger_enable off
netdb_filename none
cache_effective_user proxy
shutdown_lifetime 0 seconds
refresh_pattern . 1440 100%% 1440
acl forbidden dstdomain forbidden.example.com
http_access deny forbidden
%s
http_access deny all
`, p.addr, filepath.Join(p.dir, "log"), access)
}

func (p *realProxy) tinyproxy() string {
	p.command = []string{"tinyproxy", "-d", "-c", filepath.Join(p.dir, "conf")}
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	conf := fmt.Sprintf("Listen %s\nPort %s\nTimeout 60\nMaxClients 100\nLogFile %q\nLogLevel Connect\nConnectPort 443\nFilter %q\nFilterType fnmatch\n",
		host, port, filepath.Join(p.dir, "log"), filepath.Join(p.dir, "filter"))
	if err := os.WriteFile(filepath.Join(p.dir, "filter"), []byte("forbidden.example.com\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if p.login != "" {
		conf += "BasicAuth bob hunter2\n"
	}
	return conf
}

// run runs the proxy, in a view of the files in which /etc/hosts is its own.
func (p *realProxy) run() {
	p.t.Helper()
	args := append([]string{
		"--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, filepath.Join(p.dir, "hosts"),
	}, p.command...)
	p.cmd = exec.Command("unshare", args...)
	output := new(strings.Builder)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	err := poll.Until(p.t.Context(), 30*time.Second, p.command[0]+" listens", func() error {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		p.stop()
		p.t.Fatalf("%v:\n%s", err, output)
	}
}

// stop ends the proxy at once.
func (p *realProxy) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()         // reports the kill
	p.cmd = nil
}

// url is the proxy with its login, as apt and the box take it.
func (p *realProxy) url() string { return "http://" + p.login + p.addr }

// log is what the proxy was asked.
func (p *realProxy) log() string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}
