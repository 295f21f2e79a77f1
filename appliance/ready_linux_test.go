package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/disk/disktest"
)

// untilReady polls /readyz until what it says satisfies holds. Whatever is wrong with the
// files of the store, the box stays ready.
func untilReady(t *testing.T, url, what string, holds func(api.Readiness) bool) api.Readiness {
	t.Helper()
	c := newClient(t, "")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, body := c.get(t, http.MethodGet, url+"/readyz")
		var r api.Readiness
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatalf("readyz: %v: %s", err, body)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("readyz: %s %s", resp.Status, body)
		}
		if holds(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: readyz still says %s", what, body)
		}
	}
}

// faulty reports whether what is told, as degraded, of a part and in these words.
func faulty(r api.Readiness, what, words string) bool {
	for _, f := range r.Faults {
		if f.What == what && strings.Contains(f.Why, words) {
			return r.Status == "degraded"
		}
	}
	return false
}

// A running box whose files are damaged or removed, or cannot be kept, says so, serves
// what is right all the same, and is well again once the disk is.
func TestReadyzTellsOfTheStore(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=200m")
	s := newSite(t, aptest.MirrorOptions{}, 300_000, 20_000, 10_000)
	b := start(t, s.environ(dir))
	base := s.Mirror.URL("/debian")
	c := newClient(t, b.url)
	c.update(t, s, base)
	last := len(s.debs) - 1
	for _, deb := range s.debs[:last] {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
	untilReady(t, b.url, "a sound box", func(r api.Readiness) bool { return r.Status == "ok" && len(r.Faults) == 0 })

	name := digest.Of(s.debs[0].Data).String()
	f, err := os.OpenFile(filepath.Join(dir, "blobs", name[:2], name), os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("rot"), 1000)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	c.want(t, base+"/"+s.debs[0].Path, s.debs[0].Data)
	untilReady(t, b.url, "a damaged file", func(r api.Readiness) bool { return faulty(r, "store", "1 files were found damaged") })

	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	for _, deb := range s.debs[:last] {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
	c.update(t, s, base)
	untilReady(t, b.url, "blobs/ removed", func(r api.Readiness) bool { return faulty(r, "store", "4 files disappeared") })
	if u := b.store.Usage(); u.Blobs != 4 {
		t.Errorf("%d files are kept again, want 4", u.Blobs)
	}

	others, err := os.Create(filepath.Join(dir, "others"))
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	fill(t, others)
	untilReady(t, b.url, "a full disk", func(r api.Readiness) bool { return faulty(r, "disk", "files are not being kept") })
	for _, deb := range s.debs {
		c.want(t, base+"/"+deb.Path, deb.Data)
	}
	if _, err := b.store.Stat(digest.Of(s.debs[last].Data)); err == nil {
		t.Error("a file is kept on a full disk")
	}
	if err := others.Truncate(0); err != nil {
		t.Fatal(err)
	}
	untilReady(t, b.url, "room again", func(r api.Readiness) bool { return !faulty(r, "disk", "") })
	c.want(t, base+"/"+s.debs[last].Path, s.debs[last].Data)
	if _, err := b.store.Stat(digest.Of(s.debs[last].Data)); err != nil {
		t.Errorf("with room again, a file is not kept: %v", err)
	}
}

// fill writes to a file until the disk has no room.
func fill(t *testing.T, f *os.File) {
	t.Helper()
	for block := make([]byte, 1<<20); len(block) > 0; {
		switch _, err := f.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			t.Fatal(err)
		}
	}
}
