package fetch

import (
	"bytes"
	"testing"
	"time"

	"millpond/internal/aptest"
)

// redirected is a box whose mirror sends requests to others: one has the next
// generation, one that is behind has the first, which clients have.
func redirected(t *testing.T) (r *rig, ahead, behind *aptest.Mirror) {
	r = newRig(t, aptest.Suite{NoByHash: true}, noTTL)
	behind = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.3:0"})
	ahead = aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.2:0"})
	first := r.archive.Publish(time.Now().Add(-time.Hour))
	behind.Publish("/debian", first)
	r.mirror.Publish("/debian", first)
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	next := r.archive.Publish(time.Now().Add(-time.Hour))
	ahead.Publish("/debian", next)
	return r, ahead, behind
}

// The indices of a Release are requested from where a redirector led to for it.
func TestIndicesComeFromWhereTheirReleaseCame(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		r, ahead, behind := redirected(t)
		var first []byte
		if held { // clients have the first generation
			first, _ = r.fits(inRelease)
		}
		r.mirror.Inject("*InRelease", aptest.Redirect(ahead.URL("/")+"*"))
		r.mirror.Inject("*Packages*", aptest.Redirect(behind.URL("/")+"*"))
		for range 2 {
			release, f := r.fits(inRelease)
			if f.Stale != "" || bytes.Equal(release, first) {
				t.Errorf("held %v: held back: %s", held, f.Stale)
			}
		}
		_, _, err := r.read("dists/stable/main/binary-amd64/Packages.gz")
		must(t, err)
		if n := behind.Requests("*Packages*"); n != 0 {
			t.Errorf("held %v: the mirror that is behind was asked %d times", held, n)
		}
	}
}

// If that mirror is away, the redirector is asked.
func TestIndicesWhoseMirrorIsAway(t *testing.T) {
	t.Parallel()
	r, ahead, _ := redirected(t)
	r.mirror.Inject("*InRelease", aptest.Redirect(ahead.URL("/")+"*"))
	_, f, err := r.read(inRelease)
	must(t, err)
	again := aptest.NewMirror(t, aptest.MirrorOptions{Listen: "127.0.0.4:0"})
	again.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
	ahead.Down()
	r.mirror.Inject("*Packages*", aptest.Redirect(again.URL("/")+"*"))
	e, err := r.get(t.Context(), packages, f.Release)
	must(t, err)
	e.Body.Close()
}

// One wrong answer of many mirrors behind a redirector does not fail a file.
func TestRedirectorIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]aptest.Fault{"size": aptest.Shorter(1), "bytes": aptest.Corrupt(10, 1)} {
		r, ahead, behind := redirected(t)
		_, f, err := r.read(inRelease)
		must(t, err)
		behind.Inject("*Packages*", wrong)
		ahead.Publish("/debian", r.archive.Publish(time.Now().Add(-time.Hour)))
		r.mirror.InjectTimes(2, "*Packages*", aptest.Redirect(behind.URL("/")+"*"))
		e, err := r.get(t.Context(), packages, f.Release)
		if err != nil {
			t.Errorf("wrong %s: %v", name, err)
			continue
		}
		e.Body.Close()
	}
}
