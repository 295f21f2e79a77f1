package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

const (
	releaseOnly = "dists/stable/Release"
	signature   = "dists/stable/Release.gpg"
)

// pairRig is a box over an archive without InRelease whose mirror has as
// Release.gpg what put says.
type pairRig struct{ *rig }

func newPairRig(t *testing.T) pairRig {
	return pairRig{newRig(t, aptest.Suite{NoInRelease: true}, noTTL)}
}

// fetched has a client fetch both files, and reports whether the suite counts as
// signed, and why not.
func (r pairRig) fetched() (release, sig []byte, why string) {
	r.t.Helper()
	release, f, err := r.read(releaseOnly)
	must(r.t, err)
	s, err := r.get(r.t.Context(), signature, f.Release)
	if err == nil {
		sig = make([]byte, s.Size)
		_, err = s.Body.Read(sig)
		must(r.t, err)
		s.Body.Close()
	}
	g, ok := r.catalog.Generation(r.dir(), f.Release)
	if !ok {
		r.t.Fatal("the generation served is not known")
	}
	return release, sig, g.Why
}

// next publishes another generation.
func (r pairRig) next() {
	r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
}

// An archive writes its Release first and signs it later. A new box has it
// unsigned until then; one that holds a signed pair waits for the signature.
func TestReleaseSignedLater(t *testing.T) {
	t.Parallel()
	for name, none := range map[string][]aptest.Fault{
		"none": {aptest.Status(404)}, "stale": {aptest.OtherBody(nil), aptest.NoValidators()},
	} {
		for _, held := range []bool{false, true} {
			r := newPairRig(t)
			before, stale := []byte(nil), []byte(nil)
			if held {
				before, stale, _ = r.fetched()
			} else {
				stale = r.archive.Publish(time.Now().Add(-2 * time.Hour)).File(signature)
			}
			r.next()
			if name == "stale" {
				none = []aptest.Fault{aptest.OtherBody(stale), aptest.NoValidators()}
			}
			r.mirror.Inject("*Release.gpg", none...)
			for range 2 {
				asked := r.mirror.Requests("*Release.gpg")
				release, sig, why := r.fetched()
				if held && (!bytes.Equal(release, before) || !bytes.Equal(sig, stale) || why != "") {
					t.Errorf("%s, held: another pair than the held one, or an unsigned one: %q", name, why)
				}
				if !held && (why == "" || name == "stale" != bytes.Equal(sig, stale)) {
					t.Errorf("%s: %q, with a signature of %d bytes", name, why, len(sig))
				}
				if n := r.mirror.Requests("*Release.gpg") - asked; n > 4 { // two checks, one second look each
					t.Errorf("%s, held %v: %d requests for one client", name, held, n)
				}
			}
			r.mirror.ClearFaults()
			release, sig, why := r.fetched()
			if why != "" || bytes.Equal(release, before) || bytes.Equal(sig, stale) {
				t.Errorf("%s, held %v: not signed later: %q", name, held, why)
			}
		}
	}
}

// A client costs a mirror whose signature is stale no more than one check.
func TestStaleSignatureOncePerTTL(t *testing.T) {
	t.Parallel()
	r := pairRig{newRig(t, aptest.Suite{NoInRelease: true})}
	r.mirror.Inject("*Release.gpg", aptest.OtherBody(r.archive.Publish(time.Now().Add(-2*time.Hour)).File(signature)))
	for range 5 {
		if _, sig, why := r.fetched(); len(sig) == 0 || why == "" {
			t.Errorf("a signature of %d bytes, %q", len(sig), why)
		}
	}
	if n := r.mirror.Requests("*Release.gpg"); n > 2 {
		t.Errorf("%d requests for the signature, want 2 at most", n)
	}
}

// The signature may change while its Release does not: the archive signs anew.
// One that is over other bytes, or none for a moment, does not replace it.
func TestReleaseSignedAgain(t *testing.T) {
	t.Parallel()
	r := newPairRig(t)
	release, first, _ := r.fetched()
	r.mirror.Put("/debian/"+signature, aptest.Sign(release, time.Now(), aptest.NewKey("new"), r.key), time.Now())
	again, second, why := r.fetched()
	if bytes.Equal(second, first) {
		t.Fatalf("the new signature was not fetched: %q", why)
	}
	if why != "" || !bytes.Equal(again, release) {
		t.Errorf("signed anew: %q", why)
	}
	for digestOf, pinned := range map[digest.Digest]bool{digest.Of(first): false, digest.Of(second): true} {
		if info, err := r.store.Stat(digestOf); err != nil || info.Pinned != pinned {
			t.Errorf("signature pinned %v, want %v (%v)", info.Pinned, pinned, err)
		}
	}
	for _, bad := range [][]aptest.Fault{
		{aptest.Status(404)}, {aptest.OtherBody([]byte("<html>"))},
	} {
		r.mirror.ClearFaults()
		r.mirror.Inject("*Release.gpg", append(bad, aptest.NoValidators())...)
		if _, sig, why := r.fetched(); !bytes.Equal(sig, second) || why != "" {
			t.Errorf("a signature of %d bytes in the place of the good one: %q", len(sig), why)
		}
	}
}

// A box that brings a suite up to date by itself takes what apt would: the pair, where
// the mirror has no InRelease.
func TestRefreshWithoutInRelease(t *testing.T) {
	t.Parallel()
	r := newPairRig(t)
	dir := r.dir()
	for i, asked := range []int{1, 0} { // of the mirror, for InRelease
		r.archive.Add(aptest.Package{Name: "new", Version: fmt.Sprint(i), Size: 10})
		published := r.archive.Publish(time.Now().Add(-time.Hour))
		r.mirror.Publish("/debian", published)
		r.mirror.ResetLog()
		must(t, r.Refresh(t.Context(), dir))
		g, ok := r.catalog.Generation(dir, digest.Digest{})
		if want := digest.Of(published.File(releaseOnly)); !ok || g.ID != want || !g.Proved() {
			t.Errorf("generation %d: %+v, want the Release %s", i+1, g, want.Short())
		}
		if n := r.mirror.Requests("*InRelease"); n != asked {
			t.Errorf("generation %d: the mirror was asked for InRelease %d times, want %d", i+1, n, asked)
		}
	}

	r.mirror.ResetLog()
	none := catalog.Location{Scheme: "http", Host: dir.Host, Path: "/debian/dists/none"}
	var status *mirror.StatusError
	if err := r.Refresh(t.Context(), none); !errors.As(err, &status) || status.Code != 404 || !strings.HasSuffix(status.URL, "/none/InRelease") {
		t.Errorf("a suite that there is not: %v", err)
	}
	// Nor is the form that a login is wanted for passed over for the other one.
	r.mirror.Inject("*/locked/*", aptest.Status(401))
	if err := r.Refresh(t.Context(), catalog.Location{Scheme: "http", Host: dir.Host, Path: "/debian/dists/locked"}); !errors.As(err, &status) || status.Code != 401 {
		t.Errorf("a suite behind a login: %v", err)
	}
	if n := r.mirror.Requests("*/locked/*"); n != 1 {
		t.Errorf("%d requests for a suite behind a login, want 1", n)
	}
}
