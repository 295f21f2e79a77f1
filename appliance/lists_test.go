package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/internal/aptest"
)

func writeList(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func TestParseListFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		setting, text string
		want          []string
		fault         string
	}{
		{"HOSTS", "# ours\nb.example.org, a.example.org\r\n\n*.example.net # all\na.example.org,,", []string{"*.example.net", "a.example.org", "b.example.org"}, ""},
		{"HOSTS", "\ufeff# saved on Windows\r\na.example.org\r\n", []string{"a.example.org"}, ""},
		{"HOSTS", "a.example.org\x00", nil, "line 1: "},
		{"HOSTS", "default", []string{"default"}, ""},
		{"HOSTS", "# none\n", nil, ""},
		{"ALLOW_UPSTREAMS", "", nil, ""},
		{"ALLOW_UPSTREAMS", "10.0.0.0/8\nmirror.lan/*", []string{"10.0.0.0/8", "mirror.lan/*"}, ""},
		{"ONLY_ARCHIVES", "a.example.org/debian", []string{"a.example.org/debian"}, ""},
		{"TUNNELS", "\ntrue # for now", []string{"true"}, ""},
		{"TUNNELS", "a.example.org\n*.example.net:8443", []string{"*.example.net:8443", "a.example.org"}, ""},
		{"HOSTS", "a.example.org\n\nnas\n", nil, "line 3: \"nas\": entry \"nas\": a name without a dot"},
		{"HOSTS", "a.example.org b.example.org", nil, "line 1: "},
		{"ALLOW_UPSTREAMS", "mirror.lan,\n10.1.2.3/8", nil, "line 2: \"10.1.2.3/8\""},
		{"ONLY_ARCHIVES", "http://a.example.org", nil, "without the scheme"},
		{"ONLY_ARCHIVES", "#a.example.org", nil, "would allow all archives"},
		{"TUNNELS", "", nil, "write false"},
		{"TUNNELS", "a.example.org\nfalse", nil, "line 2: \"false\": true and false stand alone"},
		{"TUNNELS", "ture", nil, "line 1: \"ture\""},
		{"HOSTS", strings.Repeat("a.example.org\n", maxListEntries+1), nil, fmt.Sprintf("line %d: more than", maxListEntries+1)},
		{"HOSTS", strings.Repeat("a.example.org\n", maxListEntries), []string{"a.example.org"}, ""},
	} {
		got, err := parseListFile(tt.setting, []byte(tt.text))
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s, %.60q: %q, %v; want %q, %s", tt.setting, tt.text, got, err, tt.want, tt.fault)
		}
	}
}

func FuzzParseListFile(f *testing.F) {
	for _, s := range []string{"a.example.org, *.example.net # x\n10.0.0.0/8", "true", "\r\n,#", "[::1]:80/*", "default\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, setting := range []string{"HOSTS", "ALLOW_UPSTREAMS", "ONLY_ARCHIVES", "TUNNELS"} {
			entries, err := parseListFile(setting, []byte(text))
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("a fault of several lines: %q", err)
				}
				continue
			}
			c := Config{}
			if len(entries) == 0 {
				continue
			}
			if err := c.takeList(&listFile{setting: setting, entries: entries}); err != nil {
				t.Errorf("%s: %q is taken entry by entry, and not as a whole: %v", setting, entries, err)
			}
			if _, err := c.policy(); err != nil {
				t.Errorf("%s: %q: %v", setting, entries, err)
			}
		}
	})
}

// A file for a list is a setting like another one: a fault in it is one of the settings.
func TestListFilesAreSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeList(t, path, text)
		return path
	}
	good, bad := file("good", "a.example.org\n*.example.net\n"), file("bad", "a.example.org\nnas\n")
	long := file("long", strings.Repeat("# a comment\n", maxListBytes/12+1))
	c, err := parseConfig([]string{"MILLPOND_HOSTS_FILE=" + good, "MILLPOND_TUNNELS_FILE=" + good, "MILLPOND_ONLY_ARCHIVES_FILE=" + good, "MILLPOND_ALLOW_UPSTREAMS_FILE=" + file("one", "a.example.org")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"*.example.net", "a.example.org"}
	if !slices.Equal(c.Hosts, want) || !slices.Equal(c.OnlyArchives, want) || len(c.AllowUpstreams) != 1 || c.Tunnels.text != "*.example.net,a.example.org" || !c.names.Has("b.example.net", 80) {
		t.Errorf("%+v", c)
	}
	for _, s := range c.shown() {
		if s.Name == "MILLPOND_HOSTS" && (!s.Set || s.Value != "in the file "+good) {
			t.Errorf("it is shown as %+v", s)
		}
	}
	for environ, says := range map[string]string{
		"MILLPOND_HOSTS_FILE=" + bad:                               bad + `: line 2: "nas"`,
		"MILLPOND_HOSTS_FILE=relative":                             "the path is not absolute",
		"MILLPOND_HOSTS_FILE=" + dir + "/none":                     "no such file",
		"MILLPOND_HOSTS_FILE=" + dir:                               "is a directory",
		"MILLPOND_HOSTS_FILE=" + long:                              "more than 524288 bytes",
		"MILLPOND_HOSTS=a.example.org MILLPOND_HOSTS_FILE=" + good: "keep one of the two",
		"MILLPOND_RESOLVER_FILE=" + good:                           "no such setting",
	} {
		if _, err := parseConfig(strings.Fields(environ)); err == nil || !strings.Contains(err.Error(), says) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want %q", environ, err, says)
		}
	}
}

// newLists are lists with one file.
func newLists(t *testing.T, setting, path string) (*hostLists, *text, *[]Config) {
	t.Helper()
	c, err := parseConfig([]string{prefix + setting + fromFile + "=" + path})
	if err != nil {
		t.Fatal(err)
	}
	log, used := new(text), new([]Config)
	return &hostLists{
		log: slog.New(slog.NewTextHandler(log, nil)), config: c,
		use: func(c Config) error { *used = append(*used, c); return nil },
	}, log, used
}

// A change counts when it has settled, or at once on SIGHUP. A file with a fault changes
// nothing, and says so until it is corrected.
func TestListsFollowTheirFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hosts")
	writeList(t, path, "a.example.org\nb.example.org\n")
	h, log, used := newLists(t, "HOSTS", path)
	expect := func(what string, hosts string, times int, fault string) {
		t.Helper()
		if got := strings.Join(h.hosts(), " "); got != hosts || len(*used) != times {
			t.Errorf("%s: %q after %d changes, want %q after %d", what, got, len(*used), hosts, times)
		}
		faults := h.faults()
		if (len(faults) > 0) != (fault != "") || fault != "" && (faults[0].What != "MILLPOND_HOSTS_FILE" || !strings.Contains(faults[0].Why, fault) || faults[0].Fatal) {
			t.Errorf("%s: faults %+v, want %q", what, faults, fault)
		}
	}
	look := func() { h.look(false) }
	look()
	look()
	expect("as it was", "a.example.org b.example.org", 0, "")
	writeList(t, path, "c.example.org, a.example.org # new\n")
	look()
	expect("seen once", "a.example.org b.example.org", 0, "")
	look()
	expect("seen twice", "a.example.org c.example.org", 1, "")
	if got := log.String(); !strings.Contains(got, "added=1 removed=1 new=[c.example.org] gone=[b.example.org]") {
		t.Errorf("the log: %s", got)
	}
	writeList(t, path, "c.example.org\n\nnas\n")
	for range 5 {
		look()
	}
	expect("with a fault", "a.example.org c.example.org", 1, path+`: line 3: "nas"`)
	if n := strings.Count(log.String(), "unusable"); n != 1 {
		t.Errorf("the fault was logged %d times", n)
	}
	h.look(true)
	if n := strings.Count(log.String(), "unusable"); n != 2 {
		t.Errorf("after SIGHUP the fault was logged %d times in all", n)
	}
	writeList(t, path, "c.example.org # a.example.org\n")
	h.look(true)
	expect("corrected, on SIGHUP", "c.example.org", 2, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	expect("gone", "c.example.org", 2, "no such file")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	expect("a pipe", "c.example.org", 2, "not a regular file")
	writeList(t, path, "c.example.org\n")
	look()
	look()
	expect("back", "c.example.org", 2, "")
	h.use = func(Config) error { return errors.New("unfit") }
	writeList(t, path, "d.example.org\n")
	h.look(true)
	expect("not usable", "c.example.org", 2, "unfit")
}

// The log names some of very many entries.
func TestManyEntriesInTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hosts")
	writeList(t, path, "a.example.org\n")
	h, log, _ := newLists(t, "HOSTS", path)
	var many bytes.Buffer
	for i := range maxListEntries {
		fmt.Fprintf(&many, "host%d.example.org\n", i)
	}
	writeList(t, path, many.String())
	h.look(true)
	if got := log.String(); !strings.Contains(got, "added=4096 removed=1") || len(got) > 2000 {
		t.Errorf("%d bytes: %.300s", len(got), got)
	}
}

// Kubernetes mounts a ConfigMap as links to links, and replaces all of its files by renaming
// one.
func TestListsInAConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	publish := func(version, list string) {
		must(os.Mkdir(filepath.Join(dir, version), 0o700))
		must(os.WriteFile(filepath.Join(dir, version, "hosts"), []byte(list), 0o600))
		must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	publish("..1", "a.example.org\n")
	must(os.Symlink("..data/hosts", filepath.Join(dir, "hosts")))
	h, _, used := newLists(t, "HOSTS", filepath.Join(dir, "hosts"))
	publish("..2", "b.example.org\n")
	must(os.RemoveAll(filepath.Join(dir, "..1")))
	h.look(false)
	h.look(false)
	if len(*used) != 1 || !slices.Equal(h.hosts(), []string{"b.example.org"}) {
		t.Errorf("%q after %d changes", h.hosts(), len(*used))
	}
}

// until waits until a condition holds: files and processes give no signal.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// A list that is changed to exclude a host ends no download from it: the file arrives
// whole, and the next request is refused. And the other way round.
func TestListsChangeDuringADownload(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 20_000_000, 10_000)
	list := filepath.Join(t.TempDir(), "only")
	writeList(t, list, s.Mirror.Addr()+"\n")
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ONLY_ARCHIVES_FILE="+list, "MILLPOND_PREFETCH=no"))
	base := s.Mirror.URL("/debian")
	c := newClient(t, b.url)
	c.update(t, s, base)
	slow, next := s.debs[0], s.debs[1]
	// Once it goes on it breaks off: the rest is another request of the same download.
	stall := s.Mirror.Inject("*"+slow.Path, aptest.Stall(9_000_000), aptest.Truncate(10_500_000))
	d := begin(t, c, base+"/"+slow.Path)
	d.reaches(t, 4_000_000)

	status := func() int {
		resp, _ := c.get(t, http.MethodGet, base+"/"+next.Path)
		return resp.StatusCode
	}
	writeList(t, list, "archive.example.org\n")
	until(t, "a refusal", func() bool { return status() == http.StatusForbidden })
	select {
	case <-d.done:
		t.Fatalf("the download ended with the change, after %d bytes: %v", d.got.Load(), d.err)
	default:
	}
	stall.Release()
	<-d.done
	if n := s.Mirror.Requests("*" + slow.Path); n < 2 {
		t.Errorf("the mirror was asked %d times for the file, want another time for the rest", n)
	}
	if d.err != nil || !bytes.Equal(d.body, slow.Data) {
		t.Errorf("the download: %d bytes of %d, %v", len(d.body), len(slow.Data), d.err)
	}
	if resp, _ := c.get(t, http.MethodGet, base+"/"+slow.Path); resp.StatusCode != http.StatusForbidden {
		t.Errorf("the same file again: %s", resp.Status)
	}

	writeList(t, list, "archive.example.org\nnot a host\n")
	until(t, "the fault in /readyz", func() bool {
		_, body := newClient(t, "").get(t, http.MethodGet, b.url+"/readyz")
		return strings.Contains(string(body), "MILLPOND_ONLY_ARCHIVES_FILE") && strings.Contains(string(body), "line 2")
	})
	writeList(t, list, s.Mirror.Addr()+"\n")
	until(t, "the file", func() bool { return status() == http.StatusOK })
	if faults := b.faults(); len(faults) > 0 {
		t.Errorf("faults after all: %+v", faults)
	}
}

// A list that changed counts for the next request, also for a file whose answer was just
// being repeated.
func TestListsChangeWhatIsRepeated(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 10_000)
	list := filepath.Join(t.TempDir(), "only")
	writeList(t, list, s.Mirror.Addr()+"\n")
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ONLY_ARCHIVES_FILE="+list))
	base := s.Mirror.URL("/debian")
	c := newClient(t, b.url)
	c.update(t, s, base)
	for range 5 {
		c.want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
	}
	writeList(t, list, "archive.example.org\n")
	b.lists.look(true)
	if resp, _ := c.get(t, http.MethodGet, base+"/"+s.debs[0].Path); resp.StatusCode != http.StatusForbidden {
		t.Errorf("after the change: %s", resp.Status)
	}
}

// SIGHUP has a list read, and ends no box that has one.
func TestListsOnSIGHUP(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	list := filepath.Join(t.TempDir(), "only")
	writeList(t, list, "archive.example.org\n")
	p := spawn(t, s.environ(t.TempDir(), "MILLPOND_ONLY_ARCHIVES_FILE="+list))
	c := newClient(t, p.url)
	if resp, _ := c.get(t, http.MethodGet, s.URL("dists/stable/InRelease")); resp.StatusCode != http.StatusForbidden {
		t.Fatal(resp.Status)
	}
	writeList(t, list, s.Mirror.Addr()+"\n")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the archive", func() bool {
		resp, _ := c.get(t, http.MethodGet, s.URL("dists/stable/InRelease"))
		return resp.StatusCode == http.StatusOK
	})
}
