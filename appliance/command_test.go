package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/aptest"
)

// program runs millpond in this process until it ends by itself.
func program(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, environ, &out, &err)
	return code, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ []string
		args    []string
		code    int
		stderr  []string // parts of it
	}{
		{"unknown command", nil, []string{"start"}, 2, []string{`"start"`, "millpond help"}},
		{"a flag", nil, []string{"-listen=:80"}, 2, []string{`"-listen=:80"`, "millpond help"}},
		{"arguments too many", nil, []string{"serve", ":80"}, 2, []string{`":80"`, "environment"}},
		{"drain, three times", nil, []string{"drain", "1s", "2s", "3s"}, 2, []string{`"3s"`, "two times at most"}},
		{"drain, no time", nil, []string{"drain", "10"}, 2, []string{`"10"`, "10s and 5m"}},
		{"drain, backwards", nil, []string{"drain", "10s", "-5m"}, 2, []string{`"-5m"`}},
		{"drain, a limit too soon", nil, []string{"drain", "10s", "5s"}, 2, []string{"after 5s", "before 10s"}},
		{"configuration", []string{"MILLPOND_LISTEN=80", "MILLPOND_X=1"}, nil, 2,
			[]string{`MILLPOND_LISTEN="80"`, "takes host:port", "MILLPOND_X", "millpond help"}},
		{"configuration that is checked", []string{"MILLPOND_LISTEN=80", "MILLPOND_X=1"}, []string{"check-config"}, 2, []string{`MILLPOND_LISTEN="80"`, "MILLPOND_X"}},
		{"configuration of healthcheck", []string{"MILLPOND_LISTEN=80"}, []string{"healthcheck"}, 2, []string{"MILLPOND_LISTEN"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := program(t, tt.environ, tt.args...)
			if code != tt.code || stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q, want none", code, tt.code, stdout)
			}
			for _, part := range tt.stderr {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr does not say %q: %s", part, stderr)
				}
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"help", "-h", "--help"} {
		code, stdout, stderr := program(t, []string{"MILLPOND_LISTEN=bad"}, arg)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit code %d, stderr %q", arg, code, stderr)
		}
		for _, s := range settings() {
			for _, part := range []string{s.Name, s.Default, s.Takes, s.Help} {
				if !strings.Contains(stdout, part) {
					t.Errorf("%s does not say %q:\n%s", arg, part, stdout)
				}
			}
		}
		for _, command := range []string{"healthcheck", "help", "version"} {
			if !strings.Contains(stdout, "millpond "+command+" ") {
				t.Errorf("%s does not name %s", arg, command)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	code, stdout, _ := program(t, nil, "version")
	if want := "millpond " + version + "\n"; code != 0 || stdout != want {
		t.Errorf("exit code %d and %q, want 0 and %q", code, stdout, want)
	}
}

// What is wrong with the surroundings is one line with setting, cause and cure.
func TestStartFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	running := start(t, s.environ(t.TempDir()))
	used := running.config.DataDir
	_, port, _ := net.SplitHostPort(running.Addr().String())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		environ []string
		parts   []string
	}{
		{"port taken", []string{"MILLPOND_LISTEN=" + running.Addr().String()},
			[]string{"MILLPOND_LISTEN=" + running.Addr().String(), "address already in use", "free port"}},
		{"dashboard's port taken", []string{"MILLPOND_DASHBOARD_LISTEN=" + running.Addr().String()},
			[]string{"MILLPOND_DASHBOARD_LISTEN=" + running.Addr().String(), "address already in use", "free port"}},
		{"swarm port taken", []string{"MILLPOND_SWARM_LISTEN=/ip4/127.0.0.1/tcp/" + port},
			[]string{"MILLPOND_SWARM_LISTEN: ", "/tcp/" + port + ": ", "address already in use", "free one"}},
		{"no address of this machine", []string{"MILLPOND_LISTEN=192.0.2.1:3142"},
			[]string{"MILLPOND_LISTEN=192.0.2.1:3142", "cannot assign", "address of this machine"}},
		{"data directory in use", []string{"MILLPOND_DATA_DIR=" + used},
			[]string{"MILLPOND_DATA_DIR=" + used, "in use by another process", "use another data directory"}},
		{"data directory is a file", []string{"MILLPOND_DATA_DIR=" + file},
			[]string{"MILLPOND_DATA_DIR=" + file, "not a directory", "name a directory"}},
		{"data directory in a file", []string{"MILLPOND_DATA_DIR=" + file + "/data"},
			[]string{"MILLPOND_DATA_DIR=" + file, "not a directory", "name a directory"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantFault(t, s.environ(t.TempDir(), tt.environ...), tt.parts...)
		})
	}
}

// wantFault runs a box that must end at once with one line that has the parts.
func wantFault(t *testing.T, environ []string, parts ...string) {
	t.Helper()
	code, stdout, stderr := program(t, environ)
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, want 1; stdout %q, want none", code, stdout)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "millpond: ") {
		t.Errorf("stderr is not the one line: %s", stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stderr, part) {
			t.Errorf("stderr does not say %q: %s", part, stderr)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, s.environ(dir))
	check := func(addr string, code int, parts ...string) {
		t.Helper()
		got, _, stderr := program(t, []string{"MILLPOND_LISTEN=" + addr}, "healthcheck")
		if got != code {
			t.Errorf("%s: exit code %d, want %d: %s", addr, got, code, stderr)
		}
		for _, part := range parts {
			if !strings.Contains(stderr, part) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s: stderr is not a line with %q: %s", addr, part, stderr)
			}
		}
	}
	addr := b.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for _, addr := range []string{addr, ":" + port, "0.0.0.0:" + port} {
		check(addr, 0)
	}
	// Without its directory a box is not ready.
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	check(addr, 1, "unavailable", "store", "no such file")
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	check(addr, 0)
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	check(addr, 1, "no box answers", "MILLPOND_LISTEN="+addr, "refused")

	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	check(other.Listener.Addr().String(), 1, "not a millpond", "404")
}

// A fault of the running box ends it with exit code 1, not with silence.
func TestRunFault(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	c, err := parseConfig(s.environ(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(c, newLog(t))
	if err != nil {
		t.Fatal(err)
	}
	a.clients[0].Close() // as a part that fails
	if err := a.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "serving") {
		t.Errorf("Run: %v, want the fault of the server", err)
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_OFFLINE=true"))
	resp, body := newClient(t, b.url).get(t, http.MethodGet, s.Mirror.URL("/debian/dists/stable/InRelease"))
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(resp.Status, "MILLPOND_OFFLINE") {
		t.Errorf("%s: %s; want 503 and the setting's name", resp.Status, body)
	}
	if n := s.Mirror.Requests("*"); n != 0 {
		t.Errorf("the mirror got %d requests", n)
	}
	resp, body = newClient(t, "").get(t, http.MethodGet, b.url+"/readyz")
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "MILLPOND_OFFLINE") {
		t.Errorf("readyz: %s: %s", resp.Status, body)
	}
}
