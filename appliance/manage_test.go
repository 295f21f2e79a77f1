package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// shell runs commands against a box, as from another machine.
type shell struct {
	t       *testing.T
	environ []string
	box     string // "" for the one on this machine
}

// run returns what a command printed; it must end with a code.
func (s shell) run(code int, args ...string) string {
	s.t.Helper()
	if s.box != "" {
		args = append(args, "--box", s.box)
	}
	got, stdout, stderr := program(s.t, s.environ, args...)
	if got != code {
		s.t.Errorf("millpond %v: exit code %d, want %d; stdout %s, stderr %s", args, got, code, stdout, stderr)
	}
	return stdout + stderr
}

// wants runs a command that must end with a code and print parts.
func (s shell) wants(code int, args []string, parts ...string) {
	s.t.Helper()
	out := s.run(code, args...)
	for _, part := range parts {
		if !strings.Contains(out, part) {
			s.t.Errorf("millpond %v does not say %q:\n%s", args, part, out)
		}
	}
}

// jsonOf decodes what a command printed with --json.
func jsonOf[T any](s shell, args ...string) (v T) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.run(exitOK, append(args, "--json")...)), &v); err != nil {
		s.t.Errorf("millpond %v --json: %v", args, err)
	}
	return v
}

// The commands do to a running box what they say, near and far.
func TestManage(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+adminToken))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, deb := range s.debs {
		c.want(t, s.URL(deb.Path), deb.Data)
	}
	figures(t, b, func() int64 { return c.got }, func() int64 { return s.Mirror.BytesSent("*") })
	held := func(n int) bool {
		_, err := b.store.Stat(digest.Of(s.debs[n].Data))
		return err == nil
	}
	near := shell{t, []string{"MILLPOND_LISTEN=" + b.Addr().String(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
	far := shell{t, []string{"MILLPOND_LISTEN=127.0.0.1:1", "MILLPOND_ADMIN_TOKEN=" + adminToken}, b.url + "/"}
	for _, sh := range []shell{near, far} {
		sh.wants(exitOK, []string{"status"}, "Status", "ok (millpond "+version+")", "Saved", "for 4 requests", "of 1.0 GB")
		status := jsonOf[struct {
			Readiness api.Readiness
			Summary   api.Summary
		}](sh, "status")
		if status.Readiness.Status != "ok" || status.Summary.ClientBytes != c.got {
			t.Errorf("status: %+v", status)
		}
		sh.wants(exitOK, []string{"clients"}, "CLIENT", "127.0.0.1")
		if page := jsonOf[api.Page[api.Account]](sh, "clients"); page.Total != 1 || len(page.Items) != 1 || page.Items[0].ClientBytes != c.got {
			t.Errorf("clients: %+v", page)
		}
		sh.wants(exitOK, []string{"peers"}, "No other box")
	}
	near.wants(exitOK, []string{"pin", "package0"}, "package0_1.0-1", ": pinned", "is the limit")
	host := s.Mirror.Addr()
	near.wants(exitOK, []string{"purge", host + "/debian/pool/"}, "Removed 1 files of "+host+"/debian/pool", "1 stay: they are pinned")
	if !held(0) || held(1) {
		t.Errorf("held after the purge: %v, %v; want the pinned one", held(0), held(1))
	}
	if r := jsonOf[api.PinResult](far, "unpin", "package0"); len(r.Files) != 1 || r.Files[0].Pinned {
		t.Errorf("unpin: %+v", r)
	}
	if p := jsonOf[api.Purged](far, "purge", s.URL(s.debs[0].Path)); p.Files != 1 || p.Bytes != int64(len(s.debs[0].Data)) || held(0) {
		t.Errorf("purge of a URL: %+v", p)
	}
	far.wants(exitOK, []string{"prefetch"}, "The box fetches newer versions")
	prefetched(t, b)
	if p := jsonOf[api.Prefetch](far, "prefetch", s.URL("dists/stable")); p.Automatic {
		t.Errorf("prefetch: %+v", p)
	}
	// What is not there, or wrong, is named with its cure.
	near.wants(exitFault, []string{"purge", "unknown.example.org"}, "holds nothing of unknown.example.org", "its clients use 127.0.0.1")
	near.wants(exitFault, []string{"pin", "zsh"}, `"zsh"`, "holds no package")
	near.wants(exitFault, []string{"purge", "ftp://archive.example.org"}, `"ftp://archive.example.org"`, "neither a host such as")
	near.wants(exitFault, []string{"prefetch", "http://unknown.example.org/dists/x"}, "unknown.example.org")
}

// A box that is degraded, unavailable, away or not one, and tokens that are wrong.
func TestManageFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, s.environ(dir, "MILLPOND_ADMIN_TOKEN="+adminToken, "MILLPOND_OFFLINE=true", "MILLPOND_DASHBOARD_ACCESS=token:reading-is-allowed"))
	listen := "MILLPOND_LISTEN=" + b.Addr().String()
	admin := shell{t, []string{listen, "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
	reader := shell{t, []string{listen, "MILLPOND_DASHBOARD_ACCESS=token:reading-is-allowed"}, ""}
	for _, sh := range []shell{admin, reader} {
		sh.wants(exitDegraded, []string{"status"}, "degraded", "Wrong", "MILLPOND_OFFLINE")
		sh.wants(exitOK, []string{"clients"}, "No client is known")
	}
	nobody := shell{t, []string{listen}, ""}
	nobody.wants(exitFault, []string{"clients"}, b.Addr().String(), "MILLPOND_DASHBOARD_ACCESS")
	for _, command := range [][]string{{"purge", "a.example.org"}, {"pin", "x"}, {"unpin", "x"}, {"prefetch"}} {
		nobody.wants(exitFault, command, "MILLPOND_ADMIN_TOKEN is not set", b.Addr().String())
		shell{t, []string{listen, "MILLPOND_ADMIN_TOKEN=wrong-" + adminToken}, ""}.wants(exitFault, command, "does not take the token", "MILLPOND_ADMIN_TOKEN")
	}
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	admin.wants(exitFault, []string{"status"}, "unavailable", "no such file")
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"status"}, {"clients"}, {"purge", "a.example.org"}} {
		admin.wants(exitFault, command, "no box answers", listen, "refused", "start it", "--box URL")
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, command := range [][]string{{"status"}, {"clients"}, {"pin", "x"}} {
		shell{t, admin.environ, other.URL}.wants(exitFault, command, "not a millpond", other.URL, "404")
	}
}

// A box without admin actions says what would switch them on.
func TestManageWithoutAdmin(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	b := start(t, s.environ(t.TempDir()))
	sh := shell{t, []string{"MILLPOND_LISTEN=" + b.Addr().String(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
	sh.wants(exitFault, []string{"purge", "a.example.org"}, "Admin actions are off", "MILLPOND_ADMIN_TOKEN")
}

// Command lines that cannot be meant are told, before anything is asked.
func TestManageUsage(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // where nobody may ask
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sh := shell{t, []string{"MILLPOND_LISTEN=" + l.Addr().String(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
	for line, part := range map[string]string{
		"purge": "HOST|PATH", "purge a b": "HOST|PATH", "pin": "WHAT", "unpin a b": "WHAT", "prefetch a b": "[SUITE]", "prefetch stable": `"stable"`,
		"status now": "takes no arguments", "status --jason": `"--jason"`, "purge --all": `"--all"`, "clients --box": "URL of a box",
		"clients --box=ftp://x": "URL of a box", "clients --box http://bob:pw@box": "MILLPOND_ADMIN_TOKEN", "help purge pin": "[COMMAND]", "help nothing": `"nothing"`,
		"erase-client": "address of one client", "healthcheck --json": "takes no arguments",
	} {
		sh.wants(exitUsage, strings.Fields(line), part)
	}
	deadline := time.Now().Add(10 * time.Millisecond)
	if err := l.(*net.TCPListener).SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Accept(); err == nil {
		c.Close()
		t.Error("a wrong command line asked the box")
	}
}

// Each command has help of its own, in the list and by its name, also behind it.
func TestHelpOfCommands(t *testing.T) {
	t.Parallel()
	_, all, _ := program(t, nil, "help")
	for _, cmd := range commands() {
		if cmd.short == "" || !strings.Contains(all, "millpond "+strings.TrimSpace(cmd.name+" "+cmd.args)+" ") {
			t.Errorf("help does not list %s", cmd.name)
		}
		for _, args := range [][]string{{"help", cmd.name}, {cmd.name, "--help"}} {
			code, out, stderr := program(t, []string{"MILLPOND_LISTEN=bad"}, args...)
			if args[1] == "--help" && cmd.name == "help" {
				continue // the list
			}
			if code != exitOK || stderr != "" || !strings.HasPrefix(out, "millpond "+cmd.name) || !strings.Contains(out, "Exit codes") || cmd.asks != strings.Contains(out, "--box URL ") {
				t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
			}
			if strings.Contains(out, "\t") {
				t.Errorf("%v: a tab", args)
			}
		}
	}
}

// What a box answers cannot write to the terminal as it likes.
func TestShownText(t *testing.T) {
	t.Parallel()
	if got := shownText("a\x1b[2J\u009bé\n"); got != "a?[2J?é?" {
		t.Errorf("got %q", got)
	}
}
