package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/api"
	"millpond/internal/aptest"
)

// Two clients behind a proxy, of which one is to be forgotten.
const (
	secretClient = "fd00:77::beef:1234"
	otherClient  = "fd00:88::1"
)

// visit starts a box on dir, has both clients update and download, and returns it
// with an API reader.
func (s *site) visit(t *testing.T, dir string, more ...string) *box {
	t.Helper()
	b := start(t, s.privateEnviron(dir, more...))
	c := newClient(t, b.url)
	for _, client := range []string{otherClient, secretClient} {
		for _, url := range []string{s.URL("dists/stable/InRelease"), s.URL("dists/stable/main/binary-amd64/Packages.xz"), s.URL(s.debs[0].Path)} {
			if resp, _ := c.get(t, http.MethodGet, url, "X-Forwarded-For", client); resp.StatusCode != http.StatusOK {
				t.Fatalf("GET %s: %s", url, resp.Status)
			}
		}
		// An event with client and URL.
		c.get(t, http.MethodGet, "http://10.255.255.1/debian/pool/main/s/secret/secret_1_amd64.deb", "X-Forwarded-For", client)
	}
	return b
}

func (s *site) privateEnviron(dir string, more ...string) []string {
	return s.environ(dir, append([]string{"MILLPOND_TRUSTED_PROXIES=127.0.0.1", "MILLPOND_ADMIN_TOKEN=" + adminToken, "MILLPOND_SWARM=false"}, more...)...)
}

// shown is all that the API shows of clients.
func (b *box) shown(t *testing.T) string {
	t.Helper()
	c := newClient(t, "")
	var all strings.Builder
	for _, path := range []string{"/api/v1/clients", "/api/v1/packages/package0", "/api/v1/events", "/api/v1/hosts", "/api/v1/transfers", "/metrics"} {
		resp, body := c.get(t, http.MethodGet, b.url+path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
		all.Write(body)
	}
	return all.String()
}

// filesAbout names the files in dir that have the address of a client, as text or in
// binary.
func filesAbout(t *testing.T, dir, client string) (names []string) {
	t.Helper()
	addr := netip.MustParseAddr(client)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(client)) || bytes.Contains(b, addr.AsSlice()) {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The command erases a client from a running box and from a stopped one: nothing
// shows it, no file in the data directory has it, and the sums are what they were.
func TestEraseClient(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprint("running ", running), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, aptest.MirrorOptions{}, 100_000)
			dir := t.TempDir()
			b := s.visit(t, dir)
			before := summary(t, b.url)
			if shown := b.shown(t); strings.Count(shown, secretClient) < 3 {
				t.Fatalf("not shown to begin with: %s", shown)
			}
			environ := s.privateEnviron(dir, "MILLPOND_LISTEN="+b.Addr().String())
			if !running {
				if err := b.stop(); err != nil {
					t.Fatal(err)
				}
			}
			if names := filesAbout(t, dir, secretClient); len(names) == 0 {
				t.Fatal("in no file to begin with")
			}
			for i, want := range []string{"Erased from", "Nothing was kept"} {
				code, stdout, stderr := program(t, environ, "erase-client", secretClient)
				if code != exitOK || !strings.HasPrefix(stdout, want) || strings.Contains(stdout+stderr, secretClient) {
					t.Errorf("time %d: exit code %d: %s%s", i, code, stdout, stderr)
				}
				if names := filesAbout(t, dir, secretClient); len(names) > 0 {
					t.Errorf("time %d: %v still have the client", i, names)
				}
			}
			if !running {
				b = start(t, s.privateEnviron(dir))
			}
			if shown := b.shown(t); strings.Contains(shown, secretClient) || !strings.Contains(shown, otherClient) {
				t.Errorf("shown: %s", shown)
			}
			if after := summary(t, b.url); after.Counts != before.Counts {
				t.Errorf("figures %+v, before %+v", after.Counts, before.Counts)
			}
		})
	}
}

func TestEraseClientFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 1000)
	dir := t.TempDir()
	b := s.visit(t, dir)
	listen := "MILLPOND_LISTEN=" + b.Addr().String()
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		says    string
	}{
		{"no address", s.privateEnviron(dir), nil, exitUsage, "takes the address of one client"},
		{"two addresses", s.privateEnviron(dir), []string{"10.1.2.3", "10.1.2.4"}, exitUsage, "takes the address of one client"},
		{"a range", s.privateEnviron(dir), []string{"10.1.2.0/24"}, exitFault, `"10.1.2.0/24" is not the address of a client`},
		{"no data", s.privateEnviron(filepath.Join(dir, "other"), listen), []string{"10.1.2.3"}, exitFault, "no box has run here"},
		{"no token", s.privateEnviron(dir, listen, "MILLPOND_ADMIN_TOKEN="), []string{"10.1.2.3"}, exitFault, "MILLPOND_ADMIN_TOKEN is not set"},
		{"wrong token", s.privateEnviron(dir, listen, "MILLPOND_ADMIN_TOKEN=another-token-than-its-own"), []string{"10.1.2.3"}, exitFault, "needs the box's admin token"},
		{"box elsewhere", s.privateEnviron(dir, "MILLPOND_LISTEN=127.0.0.1:1"), []string{"10.1.2.3"}, exitFault, "no box answers"},
	} {
		code, stdout, stderr := program(t, tt.environ, append([]string{"erase-client"}, tt.args...)...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s: exit code %d: %s%s", tt.name, code, stdout, stderr)
		}
	}
}

// The setting counts for what comes and for what an earlier run kept: in the API, in
// the files and in the log.
func TestPrivacy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value   string
		clients bool // are shown
		events  bool // name them
	}{
		{"", true, true},
		{"no-client-names", true, true},
		{"no-packages-per-client", true, false},
		{"no-clients,days=1", false, false},
	} {
		t.Run(strings.ReplaceAll(tt.value, ",", " "), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, aptest.MirrorOptions{}, 100_000)
			dir := t.TempDir()
			b := s.visit(t, dir)
			before := summary(t, b.url)
			if err := b.stop(); err != nil {
				t.Fatal(err)
			}
			b = start(t, s.privateEnviron(dir, "MILLPOND_PRIVACY="+tt.value))
			if names := filesAbout(t, dir, secretClient); (len(names) > 0) != tt.clients {
				t.Errorf("files with the client: %v", names)
			}
			if after := summary(t, b.url); after.Counts != before.Counts {
				t.Errorf("figures %+v, before %+v", after.Counts, before.Counts)
			}
			if err := b.stop(); err != nil {
				t.Fatal(err)
			}
			b = s.visit(t, dir, "MILLPOND_PRIVACY="+tt.value)
			c := newClient(t, "")
			_, clients := c.get(t, http.MethodGet, b.url+"/api/v1/clients")
			_, pkg := c.get(t, http.MethodGet, b.url+"/api/v1/packages/package0")
			_, events := c.get(t, http.MethodGet, b.url+"/api/v1/events")
			for what, shown := range map[string]bool{string(clients): tt.clients, string(pkg): tt.events, string(events): tt.events} {
				if strings.Contains(what, secretClient) != shown {
					t.Errorf("shown, want %v: %s", shown, what)
				}
			}
			var p api.Package
			if err := json.Unmarshal(pkg, &p); err != nil || p.Requests != 4 || !strings.Contains(string(events), "secret_1_amd64.deb") {
				t.Errorf("%+v, %v; events %s", p, err, events)
			}
			if got := summary(t, b.url); got.Requests != 2*before.Requests || got.ClientBytes != 2*before.ClientBytes {
				t.Errorf("figures %+v, before %+v", got.Counts, before.Counts)
			}
			if !tt.clients {
				if names := filesAbout(t, dir, secretClient); len(names) > 0 {
					t.Errorf("files with the client: %v", names)
				}
			}
		})
	}
}
