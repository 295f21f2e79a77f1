package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// damageBlob changes a byte in the middle of a held file, as a failing disk does.
func damageBlob(t *testing.T, dir string, d digest.Digest) {
	t.Helper()
	name := filepath.Join(dir, "blobs", d.String()[:2], d.String())
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// heldBy reports whether a box holds a file.
func heldBy(b *box, f aptest.File) bool {
	_, err := b.store.Stat(digest.Of(f.Data))
	return err == nil
}

// The running box checks what it holds, and fetches again what was damaged.
func TestVerifyInBox(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000, 7000)
	dir := t.TempDir()
	b := start(t, s.environ(dir, "MILLPOND_ADMIN_TOKEN="+adminToken))
	c := newClient(t, b.url)
	c.update(t, s, s.Mirror.URL("/debian"))
	for _, deb := range s.debs {
		c.want(t, s.URL(deb.Path), deb.Data)
	}
	sh := shell{t, []string{"MILLPOND_LISTEN=" + b.Addr().String(), "MILLPOND_ADMIN_TOKEN=" + adminToken}, ""}
	sh.wants(exitOK, []string{"verify"}, "None was damaged.")
	damageBlob(t, dir, digest.Of(s.debs[0].Data))
	v := jsonOf[api.Verify](sh, "verify", s.Mirror.Addr()+"/debian/pool")
	if v.Files != 3 || v.Damaged != 1 || v.Fetched != 1 || len(v.Found) != 1 || v.Found[0].Name != filepath.Base(s.debs[0].Path) {
		t.Errorf("verify of the pool: %+v", v)
	}
	if !heldBy(b, s.debs[0]) {
		t.Error("the damaged package is not held again")
	}
	damageBlob(t, dir, digest.Of(s.debs[1].Data))
	s.Mirror.Close()
	sh.wants(exitFault, []string{"verify"}, "1 were damaged", "1 not available now", filepath.Base(s.debs[1].Path), "1 damaged files are missing now")
	events, err := askAPI[api.EventList](t.Context(), b.asked(), http.MethodGet, "events?kind=fault", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range events.Events {
		told = append(told, e.What)
	}
	for _, want := range []string{"damaged blob removed", "damaged file not fetched again"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("no event says %q: %q", want, told)
		}
	}
	noToken := shell{t, []string{"MILLPOND_LISTEN=" + b.Addr().String()}, ""}
	noToken.wants(exitFault, []string{"verify"}, "MILLPOND_ADMIN_TOKEN")
}

// asked is the configuration of a command that asks the box.
func (b *box) asked() Config {
	c := b.config
	c.Listen = []string{b.Addr().String()}
	return c
}

// With no box running, the command checks the data directory, and the box that starts
// then fetches what is missing.
func TestVerifyOnDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{}, 5000, 6000)
	dir := t.TempDir()
	servedOnce(t, s, s.environ(dir))
	damageBlob(t, dir, digest.Of(s.debs[0].Data))
	environ := s.environ(dir, "MILLPOND_LISTEN=127.0.0.1:1")
	sh := shell{t, environ, ""}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	if code := run(interrupted, []string{"verify"}, environ, &out, &errs); code != exitFault || !strings.Contains(errs.String(), "run the command again") {
		t.Errorf("interrupted: exit code %d, %s%s", code, &out, &errs)
	}
	sh.wants(exitUsage, []string{"verify", "no host"}, `"no host"`)
	sh.wants(exitFault, []string{"verify"}, "1 were damaged", "1 fetched later: when the box runs", "1 damaged files are missing now")
	sh.wants(exitOK, []string{"verify"}, "None was damaged.")
	b := start(t, s.environ(dir))
	until(t, "the damaged package is held again", func() bool { return heldBy(b, s.debs[0]) })
	// A box that runs and is not where the command asks is not disturbed.
	sh.wants(exitFault, []string{"verify"}, "no box answers", "in use by another process")
	empty := shell{t, []string{"MILLPOND_LISTEN=127.0.0.1:1", "MILLPOND_DATA_DIR=" + t.TempDir()}, ""}
	empty.wants(exitFault, []string{"verify"}, "no box has run here")
}
