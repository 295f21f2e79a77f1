package setup

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/box"
	"millpond/internal/api"
	"millpond/internal/aptest"
)

// httpsSite is an https archive, a box that may fetch from it, and a client of both with
// a root of its own.
type httpsSite struct {
	*aptest.Client
	box    *box.Box
	mirror *aptest.Mirror
}

func newHTTPSSite(t *testing.T) *httpsSite {
	t.Helper()
	key := aptest.NewKey("setup")
	archive := aptest.NewArchive(key, aptest.Suite{})
	archive.Add(aptest.Package{Name: "tool", Version: "1.0-1", Size: 200_000})
	s := &httpsSite{Client: aptest.NewClient(t), mirror: aptest.NewMirror(t, aptest.MirrorOptions{TLS: true})}
	s.mirror.Publish("/debian", archive.Publish(time.Now()))
	dir := t.TempDir()
	for name, data := range map[string][]byte{"archive.gpg": key.Public(), "ca.pem": s.mirror.CertPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.box = box.Start(t, "MILLPOND_KEYRING_DIR="+dir, "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"), "MILLPOND_ALLOW_UPSTREAMS="+s.mirror.Addr(), "MILLPOND_TUNNELS="+s.mirror.Addr(), "MILLPOND_SWARM=false")
	s.Trust(key)
	s.TrustCA(s.mirror.CertPEM())
	return s
}

// file is the path of a file below the client's /etc/apt.
func (s *httpsSite) file(name string) string { return filepath.Join(s.Root, "etc/apt", name) }

func (s *httpsSite) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	if err := os.Chtimes(s.file(name), old, old); err != nil {
		t.Fatal(err)
	}
}

func (s *httpsSite) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(s.file(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// setup runs the box's script with arguments, which must name actions that touch what
// is below the client's root alone.
func (s *httpsSite) setup(t *testing.T, args string) string {
	t.Helper()
	if !strings.HasPrefix(args, "--https") {
		t.Fatalf("setup.sh %s would change this machine", args)
	}
	said, err := s.Run(t.Context(), "dash", "-euc", "curl -fsS "+s.box.URL+"/setup.sh | dash -s -- "+args)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// files are the modes, times and bytes of all that is below the client's /etc/apt and of
// what the script keeps.
func (s *httpsSite) files(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, dir := range []string{"etc/apt", "var/lib/millpond-setup"} {
		err := filepath.WalkDir(filepath.Join(s.Root, dir), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			b, err := os.ReadFile(name)
			all[name] = fmt.Sprintf("%v %v\n%s", info.Mode(), info.ModTime(), b)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return all
}

// differ names the files that differ.
func differ(a, b map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if b[name] != a[name] {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, had := a[name]; !had {
			names = append(names, name)
		}
	}
	return names
}

// An https source goes through the box in a tunnel. The API says so, and what would have
// its files cached; the script makes just that of it, apt then has the files by way of
// the box's cache, and everything can be put back.
func TestHTTPSSources(t *testing.T) {
	s := newHTTPSSite(t)
	s.put(t, "sources.list", "deb "+s.mirror.URL("/debian")+" stable main\n")
	s.Proxy(s.box.URL)
	s.MustApt("update")
	var tunnels api.Tunnels
	if err := json.Unmarshal(s.box.Get("/api/v1/tunnels"), &tunnels); err != nil {
		t.Fatal(err)
	}
	before := s.box.Summary()
	if len(tunnels.Items) != 1 || tunnels.Bytes != before.TunnelBytes || tunnels.Bytes == 0 || before.ClientBytes != 0 {
		t.Fatalf("through tunnels went %+v, in all %+v", tunnels, before)
	}
	line := tunnels.Items[0]
	if line.Host != s.mirror.Addr() || len(line.Clients) != 1 || line.Clients[0].Name != "127.0.0.1" || line.Source != s.mirror.URL("/") {
		t.Errorf("the tunnels' host is %+v", line)
	}
	s.Proxy("DIRECT")
	s.Clean()
	whole := s.files(t)
	if said := s.setup(t, "--https"); !strings.Contains(said, "--undo") {
		t.Errorf("it says %s", said)
	}
	if got, want := s.read(t, "sources.list"), "deb "+s.box.URL+line.ThroughBox+"debian stable main\n"; got != want {
		t.Errorf("the source is %q, want %q", got, want)
	}
	s.MustApt("update")
	s.MustApt("install", "--download-only", "tool")
	if after := s.box.Summary(); after.TunnelBytes != before.TunnelBytes || after.ClientBytes < 200_000 || after.MirrorBytes < 200_000 || after.Suites != 1 {
		t.Errorf("with the source rewritten: before %+v, after %+v", before, after)
	}
	s.checkLoads(t)
	if said := s.setup(t, "--https --undo"); !strings.Contains(said, "without the box's address") {
		t.Errorf("it says %s", said)
	}
	if left := differ(whole, s.files(t)); len(left) > 0 {
		t.Errorf("undone, these differ: %s", left)
	}
	// The other form is for clients with the box as proxy.
	s.put(t, "sources.list", "deb "+line.AsProxy+"debian stable main\n")
	s.Proxy(s.box.URL)
	s.Clean()
	s.MustApt("update")
	if after := s.box.Summary(); after.TunnelBytes != before.TunnelBytes {
		t.Errorf("%s went through a tunnel", line.AsProxy)
	}
}

// checkLoads compares what the mirror was asked for, sent and was spared with the box's
// totals and with what the mirror itself counted.
func (s *httpsSite) checkLoads(t *testing.T) {
	t.Helper()
	var loads api.MirrorLoads
	if err := json.Unmarshal(s.box.Get("/api/v1/mirrors/load?days=1"), &loads); err != nil {
		t.Fatal(err)
	}
	total := s.box.Summary()
	sum := loads.Sum
	if sum.Requests != total.MirrorRequests || sum.Bytes != total.MirrorBytes || sum.ClientRequests != total.Requests || sum.ClientBytes != total.ClientBytes ||
		sum.SparedBytes != total.SavedBytes || sum.SparedRequests != total.Requests-total.MirrorRequests || sum.AvoidedRequests != total.AvoidedRequests {
		t.Errorf("the loads of mirrors are %+v, the totals %+v", sum, total)
	}
	if len(loads.Items) != 1 || loads.Items[0].Host != s.mirror.Addr() {
		t.Errorf("there are loads of %+v", loads.Items)
	}
	var requests, sent int64
	for _, r := range s.mirror.Log() {
		if strings.HasPrefix(r.UserAgent, "millpond/") {
			requests++
			sent += r.Sent
		}
	}
	if requests != sum.Requests || sent != sum.Bytes || sent == 0 {
		t.Errorf("the mirror counts %d requests and %d bytes, the box %d and %d", requests, sent, sum.Requests, sum.Bytes)
	}
}

// sources are files before and after; BOX is the box's address with /https.
var sources = []struct{ name, before, after string }{
	{
		"sources.list", `# https://comment.example.org/
deb [signed-by=/usr/share/keyrings/a.gpg  arch=amd64,arm64] https://archive.example.org/debian stable main # https://trailing.example.org/
deb-src	https://archive.example.org:8443/debian	stable	main
#deb https://commented.example.org/debian stable main
  deb https://indented.example.org/debian stable main
deb http://plain.example.org/debian stable main
deb http://plain.example.org/https://odd.example.org/ stable main
deb mirror+https://lists.example.org/mirrors.txt stable main
deb [ trusted=yes ] https://unsigned.example.org/debian ./
deb [arch=amd64 allow-insecure=yes] https://insecure.example.org/debian ./
deb https://user:word@login.example.org/debian stable main
deb https://netrc.example.org/debian stable main
deb https://pinned.example.org/debian stable main
deb https://unpinned.example.org/debian stable main
nonsense https://archive.example.org/debian
`, `# https://comment.example.org/
deb [signed-by=/usr/share/keyrings/a.gpg  arch=amd64,arm64] BOX/archive.example.org/debian stable main # https://trailing.example.org/
deb-src	BOX/archive.example.org:8443/debian	stable	main
#deb https://commented.example.org/debian stable main
  deb BOX/indented.example.org/debian stable main
deb http://plain.example.org/debian stable main
deb http://plain.example.org/https://odd.example.org/ stable main
deb mirror+https://lists.example.org/mirrors.txt stable main
deb [ trusted=yes ] https://unsigned.example.org/debian ./
deb [arch=amd64 allow-insecure=yes] https://insecure.example.org/debian ./
deb https://user:word@login.example.org/debian stable main
deb https://netrc.example.org/debian stable main
deb https://pinned.example.org/debian stable main
deb BOX/unpinned.example.org/debian stable main
nonsense https://archive.example.org/debian
`,
	},
	{
		"sources.list.d/several.sources", `
# The first one
Types: deb deb-src
uris:https://one.example.org/debian http://two.example.org/debian   https://three.example.org/debian/
# https://comment.example.org/
	https://four.example.org/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 https://key.example.org/
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: https://disabled.example.org/debian
Suites: stable


Types: deb
URIs: https://alsodisabled.example.org/debian
Suites: ./
Enabled: False

Types: deb
URIs: https://unsigned.example.org/debian
Suites: ./
Trusted: yes

Types: deb
URIs: https://signed.example.org/debian
Suites: ./
Trusted: no
Enabled: yes`, `
# The first one
Types: deb deb-src
uris:BOX/one.example.org/debian http://two.example.org/debian   BOX/three.example.org/debian/
# https://comment.example.org/
	BOX/four.example.org/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 https://key.example.org/
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: https://disabled.example.org/debian
Suites: stable


Types: deb
URIs: https://alsodisabled.example.org/debian
Suites: ./
Enabled: False

Types: deb
URIs: https://unsigned.example.org/debian
Suites: ./
Trusted: yes

Types: deb
URIs: BOX/signed.example.org/debian
Suites: ./
Trusted: no
Enabled: yes`,
	},
	// The same name as that of the list, lines that end as on Windows, bytes that are
	// no text, and a file with nothing to change.
	{"sources.list.d/sources.list.list", "deb https://same.example.org/debian stable main", "deb BOX/same.example.org/debian stable main"},
	{"sources.list.d/crlf.sources", "Types: deb\r\nURIs: https://crlf.example.org/\r\nSuites: ./\r\n\r\nTypes: deb\r\nEnabled: no\r\nURIs: https://off.example.org/\r\nSuites: ./\r\n", "Types: deb\r\nURIs: BOX/crlf.example.org/\r\nSuites: ./\r\n\r\nTypes: deb\r\nEnabled: no\r\nURIs: https://off.example.org/\r\nSuites: ./\r\n"},
	{"sources.list.d/latin.list", "# Gr\xfc\xdfe\ndeb https://latin.example.org/\xe4 stable main\n", "# Gr\xfc\xdfe\ndeb BOX/latin.example.org/\xe4 stable main\n"},
	{"sources.list.d/plain.list", "deb http://plain.example.org/debian stable main", "deb http://plain.example.org/debian stable main"},
	{"sources.list.d/empty.sources", "", ""},
	{"sources.list.d/ignored.list.save", "deb https://saved.example.org/debian stable main\n", "deb https://saved.example.org/debian stable main\n"},
}

func (s *httpsSite) putSources(t *testing.T) {
	t.Helper()
	for _, f := range sources {
		s.put(t, f.name, f.before)
	}
	s.put(t, "auth.conf", "machine netrc.example.org/debian login me password word\n")
	s.put(t, "preferences.d/pins", "Package: *\nPin: origin \"pinned.example.org\"\nPin-Priority: 900\n")
	// Something else may keep the file, and lead to it by a link.
	if err := os.Rename(s.file("sources.list.d/latin.list"), filepath.Join(s.Root, "latin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../latin", s.file("sources.list.d/latin.list")); err != nil {
		t.Fatal(err)
	}
}

func TestHTTPSForms(t *testing.T) {
	s := newHTTPSSite(t)
	s.putSources(t)
	whole := s.files(t)
	for range 2 { // again changes nothing
		said := s.setup(t, "--https")
		for _, f := range sources {
			if got, want := s.read(t, f.name), strings.ReplaceAll(f.after, "BOX", s.box.URL+"/https"); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", f.name, got, want)
			}
		}
		for _, why := range []string{"unsigned.example.org/debian, since without signatures", "login.example.org/debian, since it has a login", "setting for netrc.example.org", "setting for pinned.example.org"} {
			if !strings.Contains(said, why) {
				t.Errorf("it does not say %q:\n%s", why, said)
			}
		}
		if strings.Contains(said, "word") {
			t.Errorf("it tells a password:\n%s", said)
		}
	}
	for _, name := range []string{"sources.list.d/plain.list", "sources.list.d/empty.sources", "auth.conf"} {
		if name = s.file(name); s.files(t)[name] != whole[name] {
			t.Errorf("%s was touched", name)
		}
	}
	s.setup(t, "--https --undo")
	if left := differ(whole, s.files(t)); len(left) > 0 {
		t.Errorf("undone, these differ: %s", left)
	}
	if info, err := os.Lstat(s.file("sources.list.d/latin.list")); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	if said := s.setup(t, "--https --undo"); said != "" {
		t.Errorf("undone again it says %s", said)
	}
}

// What was changed after it was rewritten stays changed, and the rest is put back; so it
// is when what was added is rewritten too.
func TestHTTPSEdited(t *testing.T) {
	s := newHTTPSSite(t)
	before := "deb https://a.example.org/debian stable main\ndeb http://box.example.org/https/mine.example.org/debian stable main\ndeb https://b.example.org/debian stable main\n"
	s.put(t, "sources.list", before)
	s.put(t, "sources.list.d/gone.list", "deb https://gone.example.org/debian stable main\n")
	s.setup(t, "--https")
	written := s.read(t, "sources.list")
	edited := strings.Replace("# mine\n"+written+"deb https://c.example.org/debian stable main", "stable", "testing", 1)
	s.put(t, "sources.list", edited)
	if err := os.Remove(s.file("sources.list.d/gone.list")); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace("# mine\n"+before+"deb https://c.example.org/debian stable main", "stable", "testing", 1)
	for _, again := range []bool{false, true} {
		if again {
			s.setup(t, "--https")
			if got := s.read(t, "sources.list"); strings.Count(got, s.box.URL+"/https/") != 3 || strings.Count(got, "https://") != 0 {
				t.Errorf("rewritten again it is\n%s", got)
			}
		}
		s.setup(t, "--https --undo")
		if got := s.read(t, "sources.list"); got != want {
			t.Errorf("undone it is\n%s\nwant\n%s", got, want)
		}
		if _, err := os.Stat(filepath.Join(s.Root, "var/lib/millpond-setup")); !os.IsNotExist(err) {
			t.Errorf("what was kept is left: %v", err)
		}
		if _, err := os.Stat(s.file("sources.list.d/gone.list")); !os.IsNotExist(err) {
			t.Errorf("a removed file is back: %v", err)
		}
	}
	// Another box takes the place of the first.
	s.setup(t, "--https")
	first := s.box.URL
	s.box = box.Start(t, "MILLPOND_SWARM=false")
	s.setup(t, "--https")
	if got := s.read(t, "sources.list"); strings.Contains(got, first) || strings.Count(got, s.box.URL+"/https/") != 3 {
		t.Errorf("with another box it is\n%s", got)
	}
	s.setup(t, "--https --undo")
	if got := s.read(t, "sources.list"); got != want {
		t.Errorf("undone it is\n%s\nwant\n%s", got, want)
	}
}
