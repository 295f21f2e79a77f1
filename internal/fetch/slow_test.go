package fetch

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/mirror"
)

// TestSlowIndicesOfANewRelease: a client does not wait for a mirror to say that it
// has a new Release's indices; the next one gets that Release when it has.
func TestSlowIndicesOfANewRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	t.Parallel()
	for head, suite := range map[string]aptest.Suite{inRelease: {}, "dists/stable/Release": {NoInRelease: true, NoByHash: true}} {
		r := newRig(t, suite, noTTL)
		first, _ := r.fits(head)
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
		hold := r.mirror.Inject("*/binary-*", aptest.Hold())
		begun := time.Now()
		for range 2 {
			if f := r.want(head, first); f.Stale == "" {
				t.Errorf("%s: served as fresh", head)
			}
		}
		if took := time.Since(begun); took > mirror.Patience*3/4 {
			t.Errorf("%s: the clients waited for %v", head, took)
		}
		hold.Release()
		for late := time.Now().Add(10 * time.Second); ; {
			if release, _ := r.fits(head); !bytes.Equal(release, first) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%s: the new Release was not adopted", head)
			}
		}
	}
}

// TestSlowMirrorAndWhatIsHeld: a client waits a while for a mirror that does not
// answer, and is served what is held then; what the mirror sends in the end is
// for the next one.
func TestSlowMirrorAndWhatIsHeld(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for mirror.Patience")
	}
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	first, second := bytes.Repeat([]byte("1"), small), bytes.Repeat([]byte("2"), small)
	r.mirror.Put("/debian/"+unlisted, first, time.Now().Add(-time.Hour))
	release, _, err := r.read(inRelease)
	must(t, err)
	r.want(unlisted, first)

	r.publish()
	r.mirror.Put("/debian/"+unlisted, second, time.Now())
	hold := r.mirror.Inject("*", aptest.Hold())
	begun := time.Now()
	var clients sync.WaitGroup
	for path, held := range map[string][]byte{inRelease: release, unlisted: first} {
		clients.Go(func() {
			got, f, err := r.read(path)
			if err != nil || !bytes.Equal(got, held) || f.Stale == "" {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
		})
	}
	clients.Wait()
	if took := time.Since(begun); took < mirror.Patience {
		t.Errorf("the mirror was waited for %v only", took)
	}
	// The next client does not wait that long again.
	begun = time.Now()
	r.want(inRelease, release)
	if took := time.Since(begun); took > mirror.Patience/2 {
		t.Errorf("the next client waited for %v", took)
	}
	hold.Release()
	for path, held := range map[string][]byte{inRelease: release, unlisted: first} {
		for late := time.Now().Add(10 * time.Second); ; {
			got, _, err := r.read(path)
			must(t, err)
			if !bytes.Equal(got, held) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%s: the mirror's late answer was not adopted", path)
			}
		}
	}
}
