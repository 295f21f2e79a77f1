package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"millpond/internal/api"
	"millpond/internal/aptest"
	"millpond/internal/boxtest"
	"millpond/internal/catalog"
)

// suite is the directory of stable.
func (w *wave) suite(t *testing.T) catalog.Location {
	t.Helper()
	dir, err := catalog.ParseURL(w.URL("dists/stable"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// kept is a box that keeps app of stable, and what that depends on.
func (w *wave) kept(t *testing.T, dir string) *box {
	t.Helper()
	return start(t, w.environ(dir, "MILLPOND_INDEX_TTL=0s", "MILLPOND_FOLLOW="+w.URL("")+" stable main amd64 package:app"))
}

// version moves the archive to another version of app and of lib, which app needs. Its
// Release is of that many minutes after the first.
func (w *wave) version(version string, minutes int) {
	for _, p := range []aptest.Package{
		{Name: "app", Version: version, Depends: "lib (= " + version + ")", Size: 20_000},
		{Name: "lib", Version: version, Arch: "amd64", Size: 10_000},
		{Name: "unused", Version: version, Size: 1000},
	} {
		w.Remove(p.Name)
		w.debs[p.Name] = w.Add(p)
	}
	w.now = w.Release(time.Now().Add(time.Duration(minutes)*time.Minute - time.Hour))
}

// slice polls the API until the slice is as ok wants it.
func (b *box) slice(t *testing.T, what string, ok func(api.KeptSlice) bool) api.KeptSlice {
	t.Helper()
	c := newClient(t, "")
	var got api.Keep
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		_, body := c.get(t, http.MethodGet, b.url+"/api/v1/keep")
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Slices) == 1 && ok(got.Slices[0]) {
			return got.Slices[0]
		}
	}
	t.Fatalf("not %s: %+v", what, got)
	return api.KeptSlice{}
}

func isComplete(s api.KeptSlice) bool { return s.State == "complete" }

// installed returns the version of a package that apt has installed.
func installed(t *testing.T, c *aptest.Client, name string) string {
	t.Helper()
	out, err := c.Run(t.Context(), "dpkg-query", "--admindir="+c.Root+"/var/lib/dpkg", "-W", "-f=${Version}", name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// While the mirror is away, the real apt installs what is kept: before a new generation,
// in the middle of one with old lists and with none, and after it.
func TestKeptWhileTheMirrorIsAway(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]aptest.Suite{"InRelease": {}, "Release": {NoInRelease: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keptWhileTheMirrorIsAway(t, suite)
		})
	}
}

func keptWhileTheMirrorIsAway(t *testing.T, suite aptest.Suite) {
	w := &wave{
		site: &site{Archive: boxtest.NewArchive(t, aptest.MirrorOptions{}, suite)},
		debs: make(map[string]aptest.File),
	}
	w.version("1", 0)
	dir := t.TempDir()
	b := w.kept(t, dir)
	source := w.Mirror.URL("/debian")
	first := b.slice(t, "complete", isComplete)

	w.Mirror.Down()
	old := w.apt(t, b.url, source)
	old.MustApt("update")
	old.MustApt("install", "app")
	if v := installed(t, old, "lib"); v != "1" {
		t.Errorf("before: version %s of lib", v)
	}
	if out, err := old.Apt(t.Context(), "install", "unused"); err == nil {
		t.Errorf("a package that is not kept was installed:\n%s", out)
	}

	// The mirror has all of the next generation but one file.
	if err := w.Mirror.Up(); err != nil {
		t.Fatal(err)
	}
	w.Mirror.Inject("*lib_2*", aptest.Status(http.StatusNotFound))
	w.version("2", 1)
	// The mirror is left alone for some seconds after it was away.
	for end := time.Now().Add(time.Minute); b.fetch.Refresh(t.Context(), w.suite(t)) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the box does not see the new generation")
		}
	}
	b.keep.Changed(w.suite(t))
	mid := b.slice(t, "in the middle", func(s api.KeptSlice) bool {
		return s.Wanted != first.Complete && s.FilesHeld == s.Files-1 && s.Fault != ""
	})
	if mid.Complete != first.Complete || mid.State != "failing" || !strings.Contains(mid.Fault, "lib_2") {
		t.Errorf("in the middle: %+v", mid)
	}
	w.Mirror.Down()
	old.MustApt("install", "--reinstall", "app", "lib")
	fresh := w.apt(t, b.url, source)
	fresh.MustApt("update")
	fresh.MustApt("install", "app")
	if v := installed(t, fresh, "app"); v != "1" {
		t.Errorf("in the middle: version %s of app", v)
	}

	// A restart goes on.
	if err := w.Mirror.Up(); err != nil {
		t.Fatal(err)
	}
	w.Mirror.ClearFaults()
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	b = w.kept(t, dir)
	last := b.slice(t, "complete in the next generation", func(s api.KeptSlice) bool { return isComplete(s) && s.Complete != first.Complete })
	if last.Complete != mid.Wanted || last.FilesHeld != last.Files || last.Since.IsZero() {
		t.Errorf("after: %+v", last)
	}
	w.Mirror.Down()
	for _, c := range []*aptest.Client{fresh, w.apt(t, b.url, source)} {
		c.Set("Acquire::http::Proxy", b.url)
		c.MustApt("update")
		c.MustApt("install", "app")
		if v := installed(t, c, "lib"); v != "2" {
			t.Errorf("after: version %s of lib", v)
		}
	}
}
