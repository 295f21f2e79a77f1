package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// followed has the box follow all suites, and the mirror asked at each request.
func followed(o *Options) {
	o.Follows = func(catalog.Location) bool { return true }
	o.TTL = 0
}

// aside publishes a generation with one more package, of which the mirror sends the
// indices no further than some bytes until the injection is released.
func (r *rig) aside() (first []byte, old *File, slow *aptest.Injection) {
	r.t.Helper()
	first, old, err := r.read(inRelease)
	must(r.t, err)
	r.update()
	r.files["new"] = r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
	r.publish()
	return first, old, r.mirror.Inject("*/main/binary-*", aptest.Stall(10))
}

// While the indices of a followed suite's new Release come slowly, clients get the
// generation before, complete and from the store; then the new one, of which all is
// held and read.
func TestReleaseOfAFollowedSuiteWaitsForItsIndices(t *testing.T) {
	t.Parallel()
	for _, byHash := range []bool{true, false} {
		r := newRig(t, aptest.Suite{NoByHash: !byHash}, followed)
		first, old, slow := r.aside()
		following := make(chan error, 1)
		go func() { following <- r.Refresh(t.Context(), r.dir()) }()
		must(t, slow.Await(soon(t), 3)) // a probe, and the index with the list of its patches
		before := r.mirror.Requests("*")
		for range 3 {
			begun := time.Now()
			release, f, err := r.read(inRelease)
			must(t, err)
			if !bytes.Equal(release, first) || f.Stale == "" || !f.Pending {
				t.Fatalf("by-hash %v: a Release whose indices are not held, or the old one as fresh (%q)", byHash, f.Stale)
			}
			index, err := r.get(t.Context(), packages, f.Release)
			must(t, err)
			if index.Digest != digestIn(t, release, "main/binary-amd64/Packages.xz") {
				t.Errorf("by-hash %v: the index is of another generation", byHash)
			}
			must(t, index.Body.Close())
			if took := time.Since(begun); took > 4*time.Second {
				t.Errorf("by-hash %v: the client waited for %v", byHash, took)
			}
		}
		if n := r.mirror.Requests("*") - before; n != 0 {
			t.Errorf("by-hash %v: %d requests to the mirror for clients", byHash, n)
		}
		select {
		case err := <-following:
			t.Fatalf("by-hash %v: the new generation was not waited for: %v", byHash, err)
		default:
		}
		slow.Release()
		must(t, <-following)
		g, _ := r.catalog.Generation(r.dir(), digest.Digest{})
		before = r.mirror.Requests("*Packages*") + r.mirror.Requests("*/by-hash/*")
		release, f, err := r.read(inRelease)
		must(t, err)
		if bytes.Equal(release, first) || f.Release == old.Release || f.Release != g.ID || f.Pending {
			t.Errorf("by-hash %v: not the new generation", byHash)
		}
		if e := r.catalog.Resolve(t.Context(), r.at(r.packageAt("new")), nil); e.Kind != catalog.Content {
			t.Errorf("by-hash %v: the new index is not read", byHash)
		}
		r.update()
		if n := r.mirror.Requests("*Packages*") + r.mirror.Requests("*/by-hash/*") - before; n != 0 {
			t.Errorf("by-hash %v: the mirror was asked for %d indices that are held", byHash, n)
		}
	}
}

// Who asks for what the mirror has now gets it, whatever is held.
func TestNoCacheWaitsForNoIndices(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, followed)
	first, _, slow := r.aside()
	if release, _, err := r.read(inRelease); err != nil || !bytes.Equal(release, first) {
		t.Fatalf("the new Release without its indices (%v)", err)
	}
	must(t, slow.Await(soon(t), 2))
	f, err := r.Get(t.Context(), Request{Entry: r.entry(inRelease), Revalidate: true})
	must(t, err)
	defer f.Body.Close()
	release, err := io.ReadAll(f.Body)
	if err != nil || bytes.Equal(release, first) || f.Pending {
		t.Errorf("the old Release for who asked the mirror (%v)", err)
	}
	slow.Release()
	r.update()
}

// A suite that is not followed waits for nothing.
func TestOthersWaitForNoIndices(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, noTTL)
	first, _, slow := r.aside()
	if release, _, err := r.read(inRelease); err != nil || bytes.Equal(release, first) {
		t.Errorf("the old Release (%v)", err)
	}
	slow.Release()
}

// The box tells others what it is about to have, and has the files for them.
func TestComingFilesAreForPeers(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{}, followed)
	_, _, slow := r.aside()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = r.Refresh(ctx, r.dir()) }()
	must(t, slow.Await(soon(t), 2))
	next := r.archive.Publish(time.Now().Add(-time.Hour)) // the same again
	d := digest.Of(next.File("dists/stable/main/binary-amd64/Packages.xz"))
	if size, with := r.catalog.Shared(d); size <= 0 || with == catalog.WithNobody {
		t.Errorf("an index that is being fetched: size %d, shared with %v", size, with)
	}
	slow.Release()
}

// digestIn returns the digest that a Release lists for a path.
func digestIn(t *testing.T, release []byte, path string) digest.Digest {
	t.Helper()
	for line := range bytes.Lines(release) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[2]) == path && len(fields[0]) == 64 {
			d, err := digest.Parse(string(fields[0]))
			must(t, err)
			return d
		}
	}
	t.Fatalf("%s is not in the Release", path)
	return digest.Digest{}
}

// soon is a context for what takes moments.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("the mirror was not asked"))
	t.Cleanup(cancel)
	return ctx
}
