package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// asks is a shell on the machine of a box, with its admin token.
func (b *box) asks(t *testing.T) shell {
	return shell{t, []string{"MILLPOND_LISTEN=" + b.Addr().String(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
}

// What one running box exports another running one imports, which has no network.
func TestCarryInBox(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000)
	outer, inner := start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+adminToken)), start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+adminToken, "MILLPOND_OFFLINE=yes"))
	newClient(t, outer.url).update(t, s, s.Mirror.URL("/debian"))
	newClient(t, outer.url).want(t, s.URL(s.debs[0].Path), s.debs[0].Data)
	out, in := outer.asks(t), inner.asks(t)

	dir := filepath.Join(t.TempDir(), "export")
	out.wants(exitOK, []string{"export", dir, "stable"}, "Exported", "deb file:"+dir)
	in.wants(exitOK, []string{"import", dir}, "Imported", "/debian/dists/stable of ")
	s.Mirror.Down()
	c := newClient(t, inner.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	c.want(t, s.URL(s.debs[0].Path), s.debs[0].Data)
	if v := jsonOf[api.Carry](in, "import", dir); v.Taken != 0 || v.Held == 0 || v.Running || v.Job != nil {
		t.Errorf("once more: %+v", v)
	}

	// The inner box says what it wants, and the outer one fetches that.
	if resp, _ := c.get(t, http.MethodGet, s.URL(s.debs[1].Path)); resp.StatusCode == http.StatusOK {
		t.Fatal("a box without a network served what it does not hold")
	}
	list := filepath.Join(t.TempDir(), "want.txt")
	until(t, "the want-list has the package", func() bool {
		in.wants(exitOK, []string{"want", list}, "1 suites")
		text, err := os.ReadFile(list)
		return err == nil && strings.Contains(string(text), "\nfile "+digest.Of(s.debs[1].Data).String())
	})
	in.wants(exitFault, []string{"fill", dir, list}, "MILLPOND_OFFLINE")
	if err := s.Mirror.Up(); err != nil {
		t.Fatal(err)
	}
	stick := filepath.Join(t.TempDir(), "stick")
	out.wants(exitOK, []string{"fill", stick, list}, "Written")
	s.Mirror.Down()
	in.wants(exitOK, []string{"import", stick}, "Imported")
	c.want(t, s.URL(s.debs[1].Path), s.debs[1].Data)

	out.wants(exitFault, []string{"export", outer.config.DataDir}, "is in the data directory")
	out.wants(exitFault, []string{"import", "/nowhere/at/all"}, "name a directory that the box may read")
	out.wants(exitUsage, []string{"import", "--box", outer.url, "here"}, "path from /")
	out.wants(exitUsage, []string{"want", "--json"}, "no JSON")
	noToken := shell{t, []string{"MILLPOND_LISTEN=" + outer.Addr().String()}, ""}
	for _, args := range [][]string{{"import", dir}, {"export", dir}, {"want"}, {"fill", dir, list}} {
		noToken.wants(exitFault, args, "MILLPOND_ADMIN_TOKEN")
	}
}

// A command that is interrupted stops the box's work, and the same one goes on there.
func TestCarryInterrupted(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000)
	b := start(t, s.environ(t.TempDir(), "MILLPOND_ADMIN_TOKEN="+adminToken))
	newClient(t, b.url).want(t, s.URL(s.debs[0].Path), s.debs[0].Data)
	text := "millpond want-list 1\n"
	for _, deb := range s.debs {
		text += fmt.Sprintf("file %s %d %s\n", digest.Of(deb.Data), len(deb.Data), s.URL(deb.Path))
	}
	list, stick := filepath.Join(t.TempDir(), "want.txt"), filepath.Join(t.TempDir(), "stick")
	if err := os.WriteFile(list, []byte(text+"end 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	stalled := s.Mirror.Inject("*"+filepath.Base(s.debs[1].Path), aptest.Stall(1000))
	sh := b.asks(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, errs strings.Builder
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"fill", stick, list}, sh.environ, &out, &errs) }()
	until(t, "one of two files is written, and the job is shown", func() bool {
		all, err := askAPI[api.JobList](t.Context(), b.asked(), http.MethodGet, "jobs", "", nil)
		return err == nil && len(all.Jobs) == 1 && all.Jobs[0].Kind == "fill" && all.Jobs[0].Files == 1 && all.Jobs[0].TotalFiles == 2
	})
	sh.wants(exitFault, []string{"fill", t.TempDir(), list}, "Another fill is under way")
	interrupt()
	if code := <-ended; code != exitFault || !strings.Contains(errs.String(), "the same command goes on") || !strings.Contains(out.String(), " 1 files, ") {
		t.Errorf("interrupted: exit code %d, %s%s", code, &out, &errs)
	}
	if n := len(b.jobs.All()); n != 0 {
		t.Errorf("%d jobs are under way", n)
	}
	s.Mirror.ClearFaults()
	stalled.Release()
	if v := jsonOf[api.Carry](sh, "fill", stick, list); v.Taken != 1 || v.Held != 1 || v.Stopped || len(v.Skipped) != 0 {
		t.Errorf("the same once more: %+v", v)
	}
	for _, deb := range s.debs {
		name := filepath.Join(stick, strings.ReplaceAll(s.Mirror.Addr(), ":", "+"), "debian", deb.Path)
		if data, err := os.ReadFile(name); err != nil || digest.Of(data) != digest.Of(deb.Data) {
			t.Errorf("on the stick: %v", err)
		}
	}
}

// With no box running the commands work in the data directory, and not beside a box that
// is elsewhere.
func TestCarryOnDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000)
	dir := t.TempDir()
	servedOnce(t, s, s.environ(dir))
	environ := s.environ(dir, "MILLPOND_LISTEN=127.0.0.1:1")
	sh := shell{t, environ, ""}
	export := filepath.Join(t.TempDir(), "export")
	sh.wants(exitOK, []string{"export", export}, "Exported")
	sh.wants(exitOK, []string{"want"}, "millpond want-list 1", "/debian/dists/stable")
	sh.wants(exitFault, []string{"export", filepath.Join(dir, "here")}, "is in the data directory")
	sh.wants(exitFault, []string{"export", export, "nosuite"}, "no suite")
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	if code := run(interrupted, []string{"export", export}, environ, &out, &errs); code != exitFault || !strings.Contains(errs.String(), "the same command goes on") {
		t.Errorf("interrupted: exit code %d, %s%s", code, &out, &errs)
	}
	fresh := shell{t, []string{"MILLPOND_LISTEN=127.0.0.1:1", "MILLPOND_DATA_DIR=" + t.TempDir(), "MILLPOND_KEYRING_DIR=" + s.Keys}, ""}
	if v := jsonOf[api.Carry](fresh, "import", export); v.Taken == 0 || len(v.Suites) != 1 {
		t.Errorf("into a new data directory: %+v", v)
	}
	start(t, s.environ(dir))
	for _, args := range [][]string{{"import", export}, {"export", export}, {"want"}} {
		sh.wants(exitFault, args, "no box answers", "in use by another process")
	}
}

