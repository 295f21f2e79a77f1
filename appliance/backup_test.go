package main

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/backup"
)

// portrait is what a box says of its identity and its history.
func portrait(t *testing.T, b *box) map[string]string {
	t.Helper()
	all := make(map[string]string)
	c := newClient(t, "")
	for _, path := range []string{"peer", "summary", "series?step=day", "clients", "clients/127.0.0.1", "hosts", "packages", "mirrors/load", "rings", "price", "rings/lab/suites"} {
		resp, body := c.get(t, http.MethodGet, b.url+"/api/v1/"+path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s: %s", path, resp.Status, body)
		}
		all[path] = ofTheMoment.ReplaceAllString(string(body), "")
	}
	return all
}

// ofTheMoment are lines that are about the running process, the files held or the time.
var ofTheMoment = regexp.MustCompile(`(?m)^.*"(addrs|hostname|known_files|date|in_force|/ip4[^"]*|blobs|blob_bytes|pinned_bytes|quota_bytes|limit_bytes|disk_bytes|free_bytes|partial_bytes|beside_bytes|known|suites|archives|downloads|uptime_seconds|at|told|until|to|held|addr)".*\n|^ *"/ip4.*\n`)

// servedBox is a box with a history: clients, packages, a price, a ring and events.
func servedBox(t *testing.T, s *site, environ []string) *box {
	t.Helper()
	b := start(t, environ)
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, deb := range s.debs {
		c.want(t, s.URL(deb.Path), deb.Data)
	}
	if _, err := askRaw(t.Context(), b.asked(), http.MethodPost, "rings", adminToken, []byte(`{"name": "lab", "after": "early", "delay": "2d"}`)); err != nil {
		t.Fatal(err)
	}
	direct := newClient(t, "")
	direct.want(t, b.url+"/ring/lab/"+s.Mirror.Addr()+"/debian/dists/stable/InRelease", s.now.File("dists/stable/InRelease"))
	figures(t, b, func() int64 { return c.got + direct.got }, func() int64 { return s.Mirror.BytesSent("*") })
	c.CloseIdleConnections()
	direct.CloseIdleConnections()
	if _, err := askRaw(t.Context(), b.asked(), http.MethodPut, "price", adminToken, []byte(`{"per_gb": 0.05, "currency": "EUR"}`)); err != nil {
		t.Fatal(err)
	}
	return b
}

// A backup of the running box, and one of its data directory, make another box that is
// the same: its identity, history and rings are equal.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000)
	dir := t.TempDir()
	secrets := []string{"MILLPOND_ADMIN_TOKEN=" + adminToken, "MILLPOND_RINGS=early;late after=early delay=3d", "MILLPOND_PREFETCH=no"}
	b := servedBox(t, s, s.environ(dir, secrets...))
	running := filepath.Join(t.TempDir(), "running.tar")
	near := shell{t, append(b.environAt(), secrets[0]), ""}
	near.wants(exitOK, []string{"backup", running}, running+" is a backup", "identity key")
	before := portrait(t, b)
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	stopped := filepath.Join(t.TempDir(), "stopped.tar")
	shell{t, s.environ(dir, append(secrets, "MILLPOND_LISTEN=127.0.0.1:1")...), ""}.wants(exitOK, []string{"backup", stopped}, stopped)
	for _, file := range []string{running, stopped} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("others can read it: %v, %v", info.Mode(), err)
			}
			content, err := os.ReadFile(file)
			if err != nil || bytes.Contains(content, []byte(adminToken)) || !bytes.Contains(content, []byte("# MILLPOND_ADMIN_TOKEN is set")) || !bytes.Contains(content, []byte("MILLPOND_RINGS=early;late after=early delay=3d\n")) {
				t.Errorf("the settings in it are not those, or have a secret; %v", err)
			}
			other := filepath.Join(t.TempDir(), "data")
			environ := s.environ(other, secrets...)
			shell{t, environ, ""}.wants(exitOK, []string{"restore", file}, "never start the two", "MILLPOND_RINGS=early;late after=early delay=3d")
			shell{t, environ, ""}.wants(exitFault, []string{"restore", file}, "a box has run on MILLPOND_DATA_DIR="+other, "nothing was changed")
			left, err := filepath.Glob(filepath.Join(other, "restore-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("the restore left %q, %v", left, err)
			}
			restored := start(t, environ)
			defer restored.stop() //nolint:errcheck // start looks at it
			after := portrait(t, restored)
			for path, want := range before {
				if got := after[path]; got != want {
					t.Errorf("%s was\n%s\nand is\n%s", path, want, got)
				}
			}
			events, err := askAPI[api.EventList](t.Context(), restored.asked(), http.MethodGet, "events?kind=audit", "", nil)
			if last := len(events.Events) - 1; err != nil || last < 0 || !strings.HasPrefix(events.Events[last].What, "createRing") {
				t.Errorf("the events: %+v, %v", events, err)
			}
			for _, f := range restored.faults() {
				if f.What == "database" || f.What == "identity" {
					t.Errorf("something is wrong: %+v", f)
				}
			}
			c := newClient(t, restored.url)
			c.want(t, s.URL(s.debs[0].Path), s.debs[0].Data)
			c.CloseIdleConnections()
		})
	}
}

// environAt is what a command needs to ask the box.
func (b *box) environAt() []string { return []string{"MILLPOND_LISTEN=" + b.Addr().String()} }

// A restore changes nothing if the directory is in use, or the backup is not what it is
// to be.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	dir := t.TempDir()
	servedOnce(t, s, s.environ(dir))
	file := filepath.Join(t.TempDir(), "whole.tar")
	shell{t, s.environ(dir, "MILLPOND_LISTEN=127.0.0.1:1"), ""}.wants(exitOK, []string{"backup", file}, file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) []byte { return bytes.Replace(whole, []byte(from), []byte(to), 1) }
	key, err := os.ReadFile(filepath.Join(dir, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		content []byte
		parts   []string
	}{
		"later data":     {change(`"data_format": 1`, `"data_format": 7`), []string{"format 7", "later version of millpond", "nothing was changed"}},
		"later form":     {change(`"format": 1`, `"format": 7`), []string{"later version of millpond", "form 7", "nothing was changed"}},
		"cut off":        {whole[:len(whole)/2], []string{"nothing was changed"}},
		"no backup":      {[]byte("hello"), []string{"no backup"}},
		"another key":    {change(string(key[8:20]), "xxxxxxxxxxxx"), []string{"damaged", "nothing was changed"}},
		"a path upwards": {renamed(t, whole, backup.Rows, "../db.kept"), []string{`"../db.kept"`, "nothing was changed"}},
		"other rows":     {replaced(t, backup.Rows, []byte("not rows")), []string{"restoring"}},
		"no key":         {replaced(t, backup.Identity, []byte("no key")), []string{"identity.key", "nothing was changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := filepath.Join(t.TempDir(), "data")
			bad := filepath.Join(t.TempDir(), "bad.tar")
			if err := os.WriteFile(bad, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			shell{t, s.environ(other), ""}.wants(exitFault, []string{"restore", bad}, tt.parts...)
			for _, made := range []string{"db", "db.kept", filepath.Join("..", "db.kept")} {
				if _, err := os.Lstat(filepath.Join(other, made)); !os.IsNotExist(err) {
					t.Errorf("%s was made: %v", made, err)
				}
			}
		})
	}
	used := tree(t, dir)
	shell{t, s.environ(dir), ""}.wants(exitFault, []string{"restore", file}, "a box has run", "nothing was changed")
	if tree(t, dir) != used {
		t.Error("the refused restore changed the data directory")
	}
	// Blobs can stay, and are held again.
	for _, gone := range []string{"db", "db.kept", "identity.key"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	shell{t, s.environ(dir), ""}.wants(exitOK, []string{"restore", file}, "never start the two")
	b := start(t, s.environ(dir))
	if !heldBy(b, s.debs[0]) {
		t.Error("the blobs that stayed are not held")
	}
}

// renamed is a backup with another name for a file.
func renamed(t *testing.T, whole []byte, from, to string) []byte {
	t.Helper()
	return rewritten(t, whole, func(h *tar.Header) {
		if h.Name == from {
			h.Name = to
		}
	})
}

func rewritten(t *testing.T, whole []byte, change func(*tar.Header)) []byte {
	t.Helper()
	in := tar.NewReader(bytes.NewReader(whole))
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	for {
		h, err := in.Next()
		if err == io.EOF { //nolint:errorlint // what Next documents
			return b.Bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
		change(h)
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
	}
}

// replaced is a backup in order whose file has another content.
func replaced(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	files := []backup.File{backup.Content(name, content)}
	if name != backup.Rows {
		files = append(files, backup.Content(backup.Rows, []byte("x")))
	}
	if err := backup.Write(&b, backup.Info{DataFormat: 1, Version: "1", Made: time.Now()}, files...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// To standard output there is the backup and nothing else.
func TestBackupToStdout(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+adminToken))
	code, stdout, stderr := program(t, append(b.environAt(), "MILLPOND_ADMIN_TOKEN="+adminToken), "backup", "-")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	r, err := backup.Open(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Extract(t.TempDir()); err != nil || r.Info.Version != version || r.Info.DataFormat != dataFormat {
		t.Errorf("it has %+v, %v", r.Info, err)
	}
	shell{t, b.environAt(), ""}.wants(exitFault, []string{"backup", "-"}, "MILLPOND_ADMIN_TOKEN is not set")
	shell{t, append(b.environAt(), "MILLPOND_ADMIN_TOKEN=another-word-of-some-length"), ""}.wants(exitFault, []string{"backup", "-"}, "does not take the token")
	if jobs := b.jobs.All(); len(jobs) != 0 {
		t.Errorf("still under way: %+v", jobs)
	}
}
