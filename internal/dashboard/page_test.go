package dashboard

import (
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	t.Parallel()
	d := New(options())
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	page := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	// auto-apt-proxy looks for this.
	if !regexp.MustCompile(`(?i)<title>apt-cacher`).MatchString(page) {
		t.Error("auto-apt-proxy would not know the page")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
	for _, bad := range []string{"<style", "style=", "onload=", "onclick=", "<script>", `src="http`, `href="http`, `src="//`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q, which the policy forbids or which is elsewhere", bad)
		}
	}
	// All that the page loads is there, can be kept for good, and is small.
	total := 0
	for _, m := range regexp.MustCompile(`(?:src|href)="\.?(/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		if m[1] == "/api/v1/summary" {
			continue
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, m[1], nil)
		r.Header.Set("Accept-Encoding", "gzip, deflate")
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Content-Type") == "" || strings.HasPrefix(m[1], "/assets/") != strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", m[1], w.Code, w.Header())
		}
		total += w.Body.Len()
		if w.Header().Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(z); err != nil || len(b) < 100 {
				t.Errorf("%s: %d bytes, %v", m[1], len(b), err)
			}
		}
	}
	if total > 150_000 || total < 10_000 {
		t.Errorf("the first load is %d bytes", total)
	}
}

// The port of a URL without one is that of its scheme.
func TestSetupInTLS(t *testing.T) {
	t.Parallel()
	d := New(options())
	for host, want := range map[string]string{"box.example.org": "box.example.org:443", "box.example.org:3142": "box.example.org:3142"} {
		if got := d.box(&http.Request{Host: host, TLS: new(tls.ConnectionState)}); got != want {
			t.Errorf("at https://%s the box is %s, want %s", host, got, want)
		}
	}
}

func TestSetupNamesTheBox(t *testing.T) {
	t.Parallel()
	tests := []struct{ host, port, want string }{
		{"box.example.org:3142", "", "box.example.org:3142"},
		{"box.example.org", "", "box.example.org:80"},
		{"box.example.org:9090", "3142", "box.example.org:3142"},
		{"box.example.org", "3142", "box.example.org:3142"},
		{"[fd00::1]:9090", "3142", "[fd00::1]:3142"},
		{"[fd00::1]", "3142", "[fd00::1]:3142"},
		{"x';rm -rf /;'", "", ""},
		{"x\ny:80", "", ""},
		{"$(id):80", "", ""},
	}
	for _, tt := range tests {
		o := options()
		o.ClientPort = tt.port
		w := ask(o, http.MethodGet, "/setup.sh", tt.host)
		if tt.want == "" {
			if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), tt.host) {
				t.Errorf("at %q: %d: %s", tt.host, w.Code, w.Body)
			}
			continue
		}
		if script := w.Body.String(); w.Code != 200 || !strings.Contains(script, "\nbox='"+tt.want+"'\n") || strings.Contains(script, "@BOX@") {
			t.Errorf("at %s, clients at port %q: the script does not name %s:\n%s", tt.host, tt.port, tt.want, script)
		}
	}
}

// machine is a client's file system in a directory, on which the script runs
// as if by root.
type machine struct{ dir, script string }

func newMachine(t *testing.T, box string) machine {
	t.Helper()
	m := machine{dir: t.TempDir()}
	m.script = ask(options(), http.MethodGet, "/setup.sh", box).Body.String()
	for _, path := range []string{"/etc/apt", "/usr/local/lib", "/var/cache"} {
		m.script = strings.ReplaceAll(m.script, path, m.dir+path)
		if err := os.MkdirAll(filepath.Join(m.dir, path, "apt.conf.d"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write(t, "bin/id", "#!/bin/sh\necho 0\n")
	m.write(t, "bin/apt-config", "#!/bin/sh\necho \"user='$(/usr/bin/id -un)'\"\n") // whom apt runs the probe as
	return m
}

func (m machine) write(t *testing.T, name, content string) {
	t.Helper()
	name = filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (m machine) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(m.script)
	cmd.Env = []string{"PATH=" + filepath.Join(m.dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// apt's own user reaches the probe whatever root's umask is.
func TestSetupUnderAnyUmask(t *testing.T) {
	t.Parallel()
	m := newMachine(t, silentBox(t))
	m.script = "umask 077\n" + m.script
	if out, err := m.run(t); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]os.FileMode{
		"usr/local/lib/millpond": 0o755, "usr/local/lib/millpond/apt-probe": 0o755,
		"var/cache/millpond-setup": 0o755, "etc/apt/apt.conf.d/01millpond": 0o644,
	} {
		info, err := os.Stat(filepath.Join(m.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", name, got, want)
		}
	}
}

// Where setup.sh breaks off, as on a full disk, the former probe is whole.
func TestSetupBreaksOff(t *testing.T) {
	t.Parallel()
	const former = "#!/bin/sh\necho DIRECT\n"
	for last := range 2 {
		m := newMachine(t, silentBox(t))
		m.write(t, "usr/local/lib/millpond/apt-probe", former)
		m.write(t, "bin/cat", fmt.Sprintf("#!/bin/sh\necho >>%[1]s/cats\n[ $(wc -l <%[1]s/cats) -le %[2]d ] && exec /bin/cat\nexit 1\n", m.dir, last))
		if out, err := m.run(t); err == nil {
			t.Errorf("after %d writes it goes on: %s", last, out)
		}
		if got := m.files(t)["usr/local/lib/millpond/apt-probe"]; got != former {
			t.Errorf("after %d writes the probe is %q", last, got)
		}
	}
}

// files are those that the machine has, without the test's own.
func (m machine) files(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{"etc/apt/apt.conf.d/01millpond", "usr/local/lib/millpond/apt-probe", "usr/local/lib/millpond", "var/cache/millpond-setup"} {
		if b, err := os.ReadFile(filepath.Join(m.dir, name)); err == nil {
			all[name] = string(b)
		} else if !os.IsNotExist(err) {
			all[name] = "directory"
		}
	}
	return all
}

// The name of an option cannot have the colons of an address in it.
func TestSetupIPv6(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "[::1]:1")
	if out, err := m.run(t); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if conf := m.files(t)["etc/apt/apt.conf.d/01millpond"]; strings.Contains(conf, "Proxy::") || !strings.Contains(conf, "Proxy-Auto-Detect") {
		t.Errorf("configuration:\n%s", conf)
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	box := httptest.NewServer(New(options()).Handler())
	defer box.Close()
	m := newMachine(t, strings.TrimPrefix(box.URL, "http://"))
	if out, err := m.run(t); err != nil || !strings.Contains(out, "apt uses "+box.URL) {
		t.Fatalf("%v: %s", err, out)
	}
	first := m.files(t)
	conf := first["etc/apt/apt.conf.d/01millpond"]
	if !strings.Contains(conf, `Acquire::http::Proxy-Auto-Detect "`+m.dir) || !strings.Contains(conf, "\nAcquire::http::Proxy::127.0.0.1 \"DIRECT\";\n") {
		t.Errorf("files: %v", first)
	}
	if out, err := m.run(t); err != nil || len(m.files(t)) != len(first) || m.files(t)["etc/apt/apt.conf.d/01millpond"] != first["etc/apt/apt.conf.d/01millpond"] {
		t.Errorf("the second time: %v: %s", err, out)
	}
	probe := filepath.Join(m.dir, "usr/local/lib/millpond/apt-probe")
	if out, err := exec.CommandContext(t.Context(), probe).Output(); err != nil || string(out) != box.URL+"\n" {
		t.Errorf("probe: %v: %s", err, out)
	}
	box.Close()
	if out, err := exec.CommandContext(t.Context(), probe).Output(); err != nil || string(out) != "DIRECT\n" {
		t.Errorf("probe with the box down: %v: %s", err, out)
	}
	for range 2 {
		if out, err := m.run(t, "--remove"); err != nil || len(m.files(t)) != 0 {
			t.Errorf("removing: %v: %s, left %v", err, out, m.files(t))
		}
	}
	if out, err := m.run(t, "--help"); err == nil || !strings.Contains(out, "usage") {
		t.Errorf("an unknown argument: %v: %s", err, out)
	}
	m.write(t, "bin/id", "#!/bin/sh\necho 1000\n")
	if out, err := m.run(t); err == nil || !strings.Contains(out, "root") || len(m.files(t)) != 0 {
		t.Errorf("without root: %v: %s", err, out)
	}
}
