package keep

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// tools is an archive of which app needs lib, and nothing needs other.
func tools(t *testing.T, quota int64) *site {
	t.Helper()
	s := newSite(t, quota)
	s.add(aptest.Package{Name: "app", Version: "1", Depends: "lib (>= 1), common | none", Size: 3000})
	s.add(aptest.Package{Name: "lib", Version: "1", Arch: "amd64", Size: 2000})
	s.add(aptest.Package{Name: "common", Version: "1", Size: 1000})
	s.add(aptest.Package{Name: "other", Version: "1", Size: 1000})
	s.publish()
	return s
}

func TestSelection(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app", "absent"))
	got := s.awaitOf(0, "complete", func(t State) bool { return !t.Complete.IsZero() })
	s.want("app", "lib", "common")
	gen, _ := s.box.Catalog.Generation(s.dir("stable"), digest.Digest{})
	if got.Complete != gen.ID || got.Wanted != gen.ID || got.System != "stable" || !got.CompleteDate.Equal(gen.Date) || got.Since.IsZero() {
		t.Errorf("complete in %+v, want %s", got, gen.ID)
	}
	// InRelease, Packages, Translation-en and three packages
	if got.Files != 6 || got.FilesHeld != 6 || got.BytesHeld != got.Bytes || got.Bytes < 6000 {
		t.Errorf("%d of %d files, %d of %d bytes", got.FilesHeld, got.Files, got.BytesHeld, got.Bytes)
	}
	if len(got.Lacks) != 1 || got.Lacks[0].Needs != "absent" {
		t.Errorf("lacks %v", got.Lacks)
	}
	for _, path := range []string{"InRelease", "main/binary-amd64/Packages.xz", "main/i18n/Translation-en.xz"} {
		e := s.box.Catalog.Resolve(t.Context(), s.dir("stable").Join(path), nil)
		d := e.Digest
		if path == "InRelease" {
			d = gen.ID
		}
		if info, err := s.box.Store.Stat(d); err != nil || !strings.HasPrefix(info.Pins[0], ownerPrefix) {
			t.Errorf("%s: %+v, %v", path, info, err)
		}
	}
}

// What sections, priorities and "all" select, with sources.
func TestKindsOfSelection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		set  func(*Slice)
		want string
	}{
		{"section", func(s *Slice) { s.Sections = []string{"admin"} }, "admin contrib-admin"},
		{"priority", func(s *Slice) { s.Priorities = []string{"important"} }, "important lib"},
		{"section and priority", func(s *Slice) { s.Sections, s.Priorities = []string{"admin"}, []string{"important"} }, "admin contrib-admin important lib"},
		{"all", func(s *Slice) { s.All = true }, "admin contrib-admin important lib plain arm"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 0, aptest.Suite{NoPDiffs: true, Architectures: []string{"amd64", "arm64"}})
			s.add(aptest.Package{Name: "admin", Version: "1", Section: "admin"})
			s.add(aptest.Package{Name: "contrib-admin", Version: "1", Section: "contrib/admin"})
			s.add(aptest.Package{Name: "important", Version: "1", Priority: "important", Depends: "lib", Source: "big (2-1)"})
			s.add(aptest.Package{Name: "lib", Version: "1", Arch: "amd64"})
			s.add(aptest.Package{Name: "plain", Version: "1"})
			s.add(aptest.Package{Name: "arm", Version: "1", Arch: "arm64"})
			big := s.AddSource(aptest.Source{Name: "big", Version: "2-1"})
			small := s.AddSource(aptest.Source{Name: "small", Version: "1-1"})
			s.publish()
			slice := s.slice("stable")
			slice.Architectures = []string{"amd64", "arm64", "source"}
			test.set(&slice)
			s.keep(slice)
			s.await("complete", func(t State) bool { return !t.Complete.IsZero() })
			s.want(strings.Fields(test.want)...)
			if got, want := s.pinned(big[0]), strings.Contains(test.want, "important"); got != want {
				t.Errorf("the source of important is pinned: %v", got)
			}
			if got := s.pinned(small[0]); got != slice.All {
				t.Errorf("a source that nothing was built from is pinned: %v", got)
			}
		})
	}
}

// A slice stays in its generation until all of the next one is held.
func TestNewGeneration(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app"))
	first := s.complete("stable")
	old := s.debs["app"]
	s.Archive.Remove("app")
	s.add(aptest.Package{Name: "app", Version: "2", Depends: "lib, more", Size: 3000})
	s.add(aptest.Package{Name: "more", Version: "1"})
	hold := s.Mirror.Inject("*app_2*", aptest.Hold())
	s.publish("stable")
	s.Changed(s.dir("stable"))
	if err := hold.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	mid := s.await("the other new package held", func(t State) bool { return t.FilesHeld == t.Files-1 })
	if mid.Complete != first.Complete || mid.Wanted == first.Complete || mid.FilesGone != 0 || mid.Fault != "" {
		t.Errorf("in the middle: %+v", mid)
	}
	if first.CompleteFiles != first.Files || mid.CompleteFiles != first.Files || mid.CompleteBytes != first.Bytes || mid.Bytes == first.Bytes {
		t.Errorf("in the middle: %+v; at first: %+v", mid, first)
	}
	if !s.pinned(old) || !s.pinned(s.debs["more"]) {
		t.Error("the old generation's file is not pinned, or the new one's")
	}
	hold.Release()
	s.complete("stable")
	s.want("app", "lib", "more")
	if s.pinned(old) {
		t.Error("the file that only the old generation had is still pinned")
	}
	if info, err := s.box.Store.Stat(first.Complete); err == nil && info.Pinned {
		t.Error("the old Release is still pinned")
	}
	if n := s.Mirror.Requests("*lib_1*"); n != 1 {
		t.Errorf("a file of both generations was fetched %d times", n)
	}
}

// A restart in the middle of a new generation goes on.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app", "other"))
	first := s.complete("stable")
	for name := range s.debs {
		s.Archive.Remove(name)
		s.add(aptest.Package{Name: name, Version: "2", Size: 5000})
	}
	hold := s.Mirror.Inject("*other_2*", aptest.Hold())
	s.publish("stable")
	s.Changed(s.dir("stable"))
	s.await("half of it held", func(t State) bool { return t.Wanted != first.Complete && t.FilesHeld == t.Files-1 })
	s.stop()
	hold.Release()
	s.keep(s.slice("stable", "app", "other"))
	if again := s.State()[0]; again.Suite != first.Suite {
		t.Errorf("%+v", again)
	}
	s.complete("stable")
	s.want("app", "other")
	if n := s.Mirror.Requests("*app_2*"); n != 1 {
		t.Errorf("a file that was held was fetched again: %d times", n)
	}
	// With all held a restart asks for nothing.
	s.stop()
	s.Mirror.ResetLog()
	s.keep(s.slice("stable", "app", "other"))
	s.complete("stable")
	if n := s.Mirror.Requests("*"); n != 0 {
		t.Errorf("%d requests after a restart with all held", n)
	}
}

// A kill at any moment of the switch leaves what the next start finishes.
func TestSwitchIsFinished(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app"))
	s.complete("stable")
	s.stop()
	k := s.Keeper
	dir := s.dir("stable").String()
	// As after a kill between the record and the rows: one row is old, one is not
	// complete yet.
	stray := []byte("a file of the old generation")
	if err := s.box.Store.Put(digest.Of(stray), int64(len(stray)), strings.NewReader(string(stray)), store.Meta{Pin: k.suites[0].owner}); err != nil {
		t.Fatal(err)
	}
	old := row{digest: digest.Of(stray), complete: true, plan: 0, size: int64(len(stray)), path: "/x"}
	if err := k.files.table.Put(fileKey(dir, old.digest), old.encode()); err != nil {
		t.Fatal(err)
	}
	lib, _, err := k.files.get(dir, digest.Of(s.debs["lib"].Data))
	if err != nil || !lib.complete {
		t.Fatal(lib, err)
	}
	lib.complete = false
	if err := k.files.table.Put(fileKey(dir, lib.digest), lib.encode()); err != nil {
		t.Fatal(err)
	}
	k.suites[0].record.Settled = false
	if err := k.files.save(k.suites...); err != nil {
		t.Fatal(err)
	}
	s.keep(s.slice("stable", "app"))
	s.complete("stable")
	if r, ok, err := s.files.get(dir, lib.digest); err != nil || !ok || !r.complete {
		t.Errorf("%+v, %v, %v", r, ok, err)
	}
	if _, ok, err := s.files.get(dir, old.digest); err != nil || ok {
		t.Errorf("the old row is there: %v, %v", ok, err)
	}
	if info, err := s.box.Store.Stat(old.digest); err != nil || info.Pinned {
		t.Errorf("the old file: %+v, %v", info, err)
	}
}

// A file that the mirror has lost leaves the slice where it is, until the next one.
func TestMirrorMovedOn(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app"))
	first := s.complete("stable")
	old := s.debs["app"]
	update := func(version string) {
		s.Archive.Remove("app")
		s.add(aptest.Package{Name: "app", Version: version, Depends: "lib, common", Size: 3000})
		s.publish("stable")
	}
	lost := s.Mirror.Inject("*app_2*", aptest.Status(404))
	update("2")
	s.Changed(s.dir("stable"))
	got := s.await("a fault", func(t State) bool { return t.Fault != "" })
	if got.Complete != first.Complete || got.Wanted == first.Complete || !strings.Contains(got.Fault, "does not have 1 files any more") || !strings.Contains(got.Fault, "app_2") {
		t.Errorf("%+v", got)
	}
	if !s.pinned(old) || lost.Hits() == 0 {
		t.Error("the old file is not pinned any more")
	}
	update("3")
	s.Changed(s.dir("stable"))
	s.complete("stable")
	if s.pinned(old) || !s.pinned(s.debs["app"]) {
		t.Error("the pins are not those of the newest generation")
	}
}

// What vanishes from the disk is fetched again, and meanwhile the slice says so.
func TestVanished(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app"))
	s.complete("stable")
	hold := s.Mirror.Inject("*lib_1*", aptest.Hold())
	if err := s.box.Store.Remove(digest.Of(s.debs["lib"].Data)); err != nil {
		t.Fatal(err)
	}
	if err := hold.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.await("incomplete", func(t State) bool { return t.FilesGone == 1 && t.FilesHeld == t.Files-1 })
	hold.Release()
	s.complete("stable")
	s.want("app", "lib", "common")
}

// What does not fit is not begun.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	const quota = 4 << 20
	s := newSite(t, quota)
	for i := range 4 {
		s.add(aptest.Package{Name: fmt.Sprintf("big%d", i), Version: "1", Size: 1 << 20})
	}
	s.publish()
	s.keep(s.slice("stable", "big0", "big1", "big2", "big3"))
	got := s.await("a fault", func(t State) bool { return t.Fault != "" })
	if !strings.Contains(got.Fault, "MILLPOND_CACHE_SIZE") || !strings.Contains(got.Fault, fmt.Sprint(quota)) || !strings.Contains(got.Fault, fmt.Sprint(got.Bytes)) || got.Bytes < 4<<20 {
		t.Errorf("%+v", got)
	}
	if n := s.Mirror.Requests("*.deb"); n != 0 {
		t.Errorf("%d packages were fetched", n)
	}
	s.stop()
	s.keep(s.slice("stable", "big0", "big1"))
	s.complete("stable")
	s.want("big0", "big1")
}

// What is not kept any more is released.
func TestForgotten(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app", "other"))
	s.complete("stable")
	s.stop()
	s.keep(s.slice("stable", "other"))
	s.await("the other selection", func(t State) bool { return t.Files == 4 && t.FilesHeld == 4 && !s.pinned(s.debs["app"]) })
	s.want("other")
	s.stop()
	s.keep()
	for s.pinned(s.debs["other"]) {
		if t.Context().Err() != nil {
			t.Fatal("still pinned")
		}
	}
	if known, err := s.files.suites(); err != nil || len(known) != 0 {
		t.Errorf("%v, %v", known, err)
	}
}

// The suites of a line are one system: the highest version counts, and they switch
// together.
func TestSystem(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0,
		aptest.Suite{Name: "stable", Codename: "pond", NoPDiffs: true},
		aptest.Suite{Name: "stable-security", Codename: "pond-security", NoPDiffs: true},
		aptest.Suite{Name: "stable-backports", Codename: "pond-backports", NoPDiffs: true})
	s.add(aptest.Package{Suite: "stable", Name: "app", Version: "1", Depends: "lib, data"})
	s.add(aptest.Package{Suite: "stable", Name: "data", Version: "1"})
	old := s.Add(aptest.Package{Suite: "stable", Name: "lib", Version: "1"})
	s.add(aptest.Package{Suite: "stable-security", Name: "lib", Version: "1+deb1", Depends: "data"})
	back := s.Add(aptest.Package{Suite: "stable-backports", Name: "lib", Version: "2"})
	s.publish()
	s.keep(s.slice("stable", "app"), s.slice("stable-security"), s.slice("stable-backports"))
	for _, suite := range []string{"stable", "stable-security", "stable-backports"} {
		s.complete(suite)
	}
	s.want("app", "lib", "data")
	if s.pinned(old) || s.pinned(back) {
		t.Error("a version is kept that apt does not take")
	}
	before := s.State()
	s.Archive.Remove("data")
	s.Add(aptest.Package{Suite: "stable", Name: "data", Version: "1"})
	s.add(aptest.Package{Suite: "stable-security", Name: "data", Version: "1+deb1"})
	hold := s.Mirror.Inject("*data_1+deb1*", aptest.Hold())
	s.publish("stable", "stable-security", "stable-backports")
	s.Changed(s.dir("stable-security"))
	s.awaitOf(2, "all but one held", func(t State) bool { return t.Wanted != before[2].Complete && t.FilesHeld == t.Files-1 })
	for i, now := range s.State() {
		if now.Complete != before[i].Complete {
			t.Errorf("%s has switched alone", now.Suite)
		}
	}
	hold.Release()
	for _, suite := range []string{"stable", "stable-security", "stable-backports"} {
		s.complete(suite)
	}
	s.want("app", "lib", "data")
}

// The indices in binary-all are read where clients read them: some archives have the
// packages of all architectures there alone.
func TestBinaryAll(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		s := newSite(t, 0, aptest.Suite{NoPDiffs: true, EditRelease: func(text string) string {
			if !reads {
				return text
			}
			return strings.ReplaceAll(text, "No-Support-for-Architecture-all: Packages\n", "")
		}})
		s.add(aptest.Package{Name: "app", Version: "1"})
		s.add(aptest.Package{Name: "other", Version: "1", Arch: "amd64"}) // or both indices are one
		s.publish()
		s.keep(s.slice("stable", "app"))
		s.complete("stable")
		s.want("app")
		if got := s.Mirror.Requests("*binary-all*") > 0; got != reads {
			t.Errorf("binary-all was fetched: %v, want %v", got, reads)
		}
	}
}

// Systems take turns, so that a small one does not wait for all of a large one.
func TestTurns(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0,
		aptest.Suite{Name: "large", Codename: "large", NoPDiffs: true},
		aptest.Suite{Name: "small", Codename: "small", NoPDiffs: true})
	var names []string
	for i := range 6 {
		name := fmt.Sprintf("large%d", i)
		s.add(aptest.Package{Suite: "large", Name: name, Version: "1"})
		names = append(names, name)
	}
	s.add(aptest.Package{Suite: "small", Name: "little", Version: "1"})
	s.publish()
	s.turn = 1
	s.keep(s.slice("large", names...), s.slice("small", "little"))
	s.complete("large")
	s.complete("small")
	var order []string
	for _, r := range s.Mirror.Log() {
		if name, ok := strings.CutSuffix(r.Path[strings.LastIndexByte(r.Path, '/')+1:], "_1_all.deb"); ok {
			order = append(order, name)
		}
	}
	if i := slices.Index(order, "little"); len(order) != 7 || i < 0 || i > 3 {
		t.Errorf("fetched in the order %q", order)
	}
}

// A generation is held as long as a slice needs it.
func TestHolds(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.keep(s.slice("stable", "app"))
	first := s.complete("stable").Complete
	s.Archive.Remove("lib")
	s.add(aptest.Package{Name: "lib", Version: "2", Arch: "amd64"})
	hold := s.Mirror.Inject("*lib_2*", aptest.Hold())
	s.publish("stable")
	s.Changed(s.dir("stable"))
	mid := s.await("in the middle", func(t State) bool { return t.Wanted != first && t.FilesHeld == t.Files-1 })
	if !s.Holds(s.dir("stable"), first) || !s.Holds(s.dir("stable"), mid.Wanted) || s.Complete(s.dir("stable")) != first {
		t.Error("in the middle not both are held, or the old one is not complete")
	}
	s.stop()
	hold.Release()
	if k := New(Options{Slices: []Slice{s.slice("stable", "app")}, Table: s.box.DB.Table("keep")}); !k.Holds(s.dir("stable"), first) {
		t.Error("after a restart the complete generation is not held from the start")
	}
	s.keep(s.slice("stable", "app"))
	s.complete("stable")
	if s.Holds(s.dir("stable"), first) || s.Holds(s.dir("other"), mid.Wanted) || s.Complete(s.dir("stable")) != mid.Wanted {
		t.Error("afterwards the old one is held, or one of another suite, or the new one is not complete")
	}
}

// Nothing is kept of a suite that no key of the box signed.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	s := tools(t, 0)
	s.SignWith(aptest.NewKey("stranger"))
	s.publish()
	s.keep(s.slice("stable", "app"))
	got := s.await("a fault", func(t State) bool { return t.Fault != "" })
	if !got.Complete.IsZero() || !strings.Contains(got.Fault, "only signed suites are kept") {
		t.Errorf("%+v", got)
	}
	if n := s.Mirror.Requests("*.deb"); n != 0 {
		t.Errorf("%d packages were fetched", n)
	}
}
