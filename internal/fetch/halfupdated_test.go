package fetch

import (
	"bytes"
	"errors"
	"path"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
)

// half makes the mirror have the next generation but for the files of that name,
// which are as they were, old.
func (r *rig) half(name string, old []byte) {
	r.t.Helper()
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	r.mirror.Inject("*/"+name, aptest.OtherBody(old), aptest.NoValidators())
}

// fits reads a Release file and the index that its client asks for next, and
// reports whether they fit.
func (r *rig) fits(head string) (release []byte, f *File) {
	r.t.Helper()
	release, f, err := r.read(head)
	must(r.t, err)
	e, err := r.get(r.t.Context(), packages, f.Release)
	must(r.t, err)
	defer e.Body.Close()
	if !bytes.Contains(release, []byte(e.Digest.String())) {
		r.t.Errorf("%s and the index are of two generations", head)
	}
	return release, f
}

// While a mirror has a new Release and not its indices, clients get the one that
// the box has whole, restarts included; then, or after an hour, the new one.
func TestReleaseBeforeItsIndices(t *testing.T) {
	t.Parallel()
	for head, suite := range map[string]aptest.Suite{
		inRelease: {NoByHash: true}, "dists/stable/Release": {NoByHash: true, NoInRelease: true},
	} {
		for _, late := range []bool{false, true} {
			r := newRig(t, suite, noTTL)
			first, _ := r.fits(head)
			old, _, err := r.read(packages)
			must(t, err)
			r.half("Packages.xz", old)
			for range 2 {
				release, f := r.fits(head)
				if !bytes.Equal(release, first) || f.Stale == "" || !f.Pending || f.Release != digest.Of(first) {
					t.Errorf("%s: a Release without its indices, or one served as fresh: %q, pending %v", head, f.Stale, f.Pending)
				}
				if suite.NoInRelease {
					sig, _, err := r.read("dists/stable/Release.gpg")
					must(t, err)
					if _, err := r.catalog.CheckRelease(r.dir(), releaseFiles(release, sig)); err != nil {
						t.Error(err)
					}
				}
				r.reopen()
			}
			if _, why := r.Checked(r.dir()); why == "" {
				t.Error("the suite's record does not say why it was not checked")
			}
			if late {
				r.predate("Pending", time.Hour)
				if release, _, err := r.read(head); err != nil || bytes.Equal(release, first) {
					t.Errorf("%s: held back for more than an hour (%v)", head, err)
				}
				continue
			}
			r.mirror.ClearFaults()
			if release, f := r.fits(head); bytes.Equal(release, first) || f.Stale != "" || f.Pending {
				t.Errorf("%s: held back although the mirror has it all: %s", head, f.Stale)
			}
			if info, err := r.store.Stat(digest.Of(first)); err != nil || info.Pinned {
				t.Errorf("%s: the replaced Release is pinned (%v)", head, err)
			}
		}
	}
}

// A Release file that breaks off is asked for once more.
func TestReleaseThatBreaksOff(t *testing.T) {
	t.Parallel()
	for head, suite := range map[string]aptest.Suite{inRelease: {}, "dists/stable/Release": {NoInRelease: true}} {
		r := newRig(t, suite, noTTL)
		r.mirror.InjectTimes(1, "*/"+path.Base(head), aptest.Truncate(100))
		if _, f, err := r.read(head); err != nil || f.Stale != "" {
			t.Errorf("%s: %v", head, err)
		}
		r.mirror.Inject("*/"+path.Base(head), aptest.Truncate(100), aptest.NoValidators())
		before := r.mirror.Requests("*/" + path.Base(head))
		if _, f, err := r.read(head); err != nil || f.Stale == "" {
			t.Errorf("%s, always: %v", head, err)
		}
		if n := r.mirror.Requests("*/"+path.Base(head)) - before; n != 2 {
			t.Errorf("%s: %d requests, want 2", head, n)
		}
	}
}

// What counts as there, and what a suite waits for.
func TestWhatHoldsAReleaseBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		suite aptest.Suite
		lag   string
		fault []aptest.Fault // instead of an old file at lag
		back  bool
	}{
		"nothing":                       {lag: "none"},
		"by-hash only":                  {lag: "Packages.xz"},
		"an index that nobody uses":     {suite: aptest.Suite{NoByHash: true}, lag: "Packages.gz"},
		"gone":                          {suite: aptest.Suite{NoByHash: true}, lag: "Packages.xz", fault: []aptest.Fault{aptest.Status(404)}, back: true},
		"other bytes, no size":          {suite: aptest.Suite{NoByHash: true}, lag: "Packages.xz", fault: []aptest.Fault{aptest.IgnoreRange(), aptest.NoContentLength(), aptest.Corrupt(10, 1)}, back: true},
		"a size that is not stated":     {suite: aptest.Suite{NoByHash: true}, lag: "Packages.xz", fault: []aptest.Fault{aptest.IgnoreRange(), aptest.NoContentLength()}},
		"a mirror that ignores a range": {suite: aptest.Suite{NoByHash: true}, lag: "Packages.xz", fault: []aptest.Fault{aptest.IgnoreRange()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.suite, noTTL)
			first, _ := r.fits(inRelease)
			old, _, err := r.read(packages)
			must(t, err)
			r.half(tt.lag, old)
			if tt.fault != nil {
				r.mirror.ClearFaults()
				r.mirror.Inject("*/"+tt.lag, tt.fault...)
			}
			if release, f := r.fits(inRelease); bytes.Equal(release, first) != tt.back {
				t.Errorf("held back: %v, want %v (%s)", !tt.back, tt.back, f.Stale)
			}
		})
	}
}

// Patches are a convenience: a new Release does not wait for the list of them.
func TestPatchesHoldNoReleaseBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoByHash: true}, noTTL)
	r.archive.Add(aptest.Package{Name: "second", Version: "1", Size: 10})
	r.publish()
	first, _ := r.fits(inRelease)
	if _, _, err := r.read("dists/stable/main/binary-amd64/Packages.diff/Index"); err != nil {
		t.Fatal(err)
	}
	r.archive.Add(aptest.Package{Name: "third", Version: "1", Size: 10})
	r.publish()
	r.mirror.Inject("*/Packages.diff/Index", aptest.Status(404))
	if release, f := r.fits(inRelease); bytes.Equal(release, first) {
		t.Errorf("held back: %s", f.Stale)
	}
}

// An index that the mirror has no more makes the box ask for the Release once
// more, within the TTL, and not each client; and it is as old as it is.
func TestMissingIndexAsksForTheReleaseOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{NoByHash: true})
	_, f, err := r.read(inRelease)
	must(t, err)
	r.mirror.Inject("*/Packages.xz", aptest.OtherBody([]byte("new")), aptest.NoValidators())
	if _, err := r.get(t.Context(), packages, f.Release); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	for range 5 {
		if _, f, err := r.read(inRelease); err != nil || f.Age > time.Minute {
			t.Errorf("%+v, %v", f, err)
		}
	}
	r.predate("Checked", time.Second)
	for range 5 {
		_, _, err := r.read(inRelease)
		must(t, err)
	}
	if n := r.mirror.Requests("*InRelease"); n != 2 {
		t.Errorf("%d requests for InRelease, want 2", n)
	}
}
