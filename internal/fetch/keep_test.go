package fetch

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// entry resolves a path at the rig's mirror.
func (r *rig) entry(path string) catalog.Entry {
	return r.catalog.Resolve(r.t.Context(), r.at(path), nil)
}

// dir is the directory of the rig's suite.
func (r *rig) dir() catalog.Location { return r.at(inRelease).Dir() }

// However many ask, the mirror is asked once; and whoever reads the file first
// is the one for whom the mirror sent it.
func TestKeep(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := r.Keep(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	must(t, hold.Await(t.Context(), 1))
	hold.Release()
	all.Wait()
	must(t, r.Keep(t.Context(), e))
	if n := r.mirror.Requests("*/large*"); n != 1 || !r.held(e.Digest) {
		t.Fatalf("kept four times: %d requests of the mirror, held %v", n, r.held(e.Digest))
	}
	for i, want := range []ledger.Origin{ledger.FromMirror, ledger.FromStore} {
		f, err := r.Get(t.Context(), Request{Entry: e})
		must(t, err)
		_, err = io.Copy(io.Discard, f.Body)
		must(t, err)
		f.Body.Close()
		if f.Body.Origin() != want {
			t.Errorf("client %d: from %v, want from %v", i, f.Body.Origin(), want)
		}
	}
}

// What an index lists is known when Keep returns, held before or not.
func TestKeepLearns(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	r := newRig(t, aptest.Suite{})
	for _, held := range []bool{false, true} {
		must(t, r.Refresh(t.Context(), r.dir()))
		e := r.entry(index)
		if held {
			f, err := r.Fetcher.mirror.Get(t.Context(), mirror.Request{URL: e.Location.String()})
			must(t, err)
			must(t, r.store.Put(e.Digest, e.Size, f.Body, store.Meta{}))
			f.Body.Close()
		}
		before := r.Stats().Learned
		if !e.Index || r.Keep(t.Context(), e) != nil || r.Stats().Learned != before+1 || r.entry(index).Index {
			t.Errorf("held %v: index %v, learned %d times before and %d after", held, e.Index, before, r.Stats().Learned)
		}
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
		r.options.TTL = 0
		r.reopen()
	}
}

func TestKeepFromPeers(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"tool": 300_000})
	r.add(r.seeds, "tool", "neighbour")
	must(t, r.Keep(t.Context(), r.entry(r.packageAt("tool"))))
	if n := r.fromMirror("tool"); n != 0 || !r.held(r.digest("tool")) {
		t.Errorf("a box has the file: the mirror sent %d bytes, held %v", n, r.held(r.digest("tool")))
	}
}

func TestKeepFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	r.disk.Full(true)
	if err := r.Keep(t.Context(), e); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("with a full disk: %v, want ErrNoSpace", err)
	}
	r.running.Wait() // who joins that download gets its error
	r.disk.Full(false)
	missing := r.mirror.Inject("*/large*", aptest.Status(404))
	var status *mirror.StatusError
	if err := r.Keep(t.Context(), e); !errors.As(err, &status) {
		t.Errorf("missing at the mirror: %v, want its 404", err)
	}
	missing.Release()
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Keep(ctx, e) }()
	must(t, hold.Await(t.Context(), 1))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	must(t, r.Close())
	if err := r.Keep(t.Context(), e); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// A refresh is what a client's request for the head would be.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, noInRelease := range []bool{false, true} {
		r := newRig(t, aptest.Suite{NoInRelease: noInRelease})
		name := map[bool]string{false: inRelease, true: "dists/stable/Release"}[noInRelease]
		head, _, err := r.read(name)
		must(t, err)
		r.archive.Add(aptest.Package{Name: "new", Version: "1", Size: 10})
		r.publish()
		current := func() digest.Digest {
			g, _ := r.catalog.Generation(r.dir(), digest.Digest{})
			return g.ID
		}
		must(t, r.Refresh(t.Context(), r.dir()))
		if current() != digest.Of(head) {
			t.Errorf("%s: the mirror was asked within the TTL", name)
		}
		r.options.TTL = 0
		r.reopen()
		must(t, r.Refresh(t.Context(), r.dir()))
		if current() == digest.Of(head) {
			t.Errorf("%s: the new generation was not learned", name)
		}
		newer := current()
		r.mirror.Down()
		if err := r.Refresh(t.Context(), r.dir()); err == nil || current() != newer {
			t.Errorf("%s: with the mirror away: %v", name, err)
		}
	}
	r := newRig(t, aptest.Suite{})
	var status *mirror.StatusError
	if err := r.Refresh(t.Context(), r.at("dists/nowhere")); !errors.As(err, &status) || status.Code != 404 {
		t.Errorf("a suite that does not exist: %v", err)
	}
}

// An index that is fetched for nobody holds up no look-up. Once a client has
// joined its download, those of its packages wait for it.
func TestOnlyIndicesThatClientsFetchAreWaitedFor(t *testing.T) {
	t.Parallel()
	const index = "dists/stable/main/binary-amd64/Packages.xz"
	r := newRig(t, aptest.Suite{})
	must(t, r.Refresh(t.Context(), r.dir()))
	e := r.entry(index)
	hold := r.mirror.Inject("*/Packages.xz", aptest.Hold())
	inByHash := r.mirror.Inject("*/by-hash/*", aptest.Hold())
	kept := make(chan error, 1)
	go func() { kept <- r.Keep(t.Context(), e) }()
	must(t, inByHash.Await(t.Context(), 1))
	begun := time.Now()
	if e := r.entry(r.packageAt("small")); e.Kind != catalog.Unknown || time.Since(begun) >= catalog.LearnWait {
		t.Errorf("while nobody wants the index: %+v after %s", e, time.Since(begun))
	}
	r.Anticipate(Request{Entry: e})
	resolved := make(chan catalog.Entry, 1)
	go func() { resolved <- r.entry(r.packageAt("small")) }()
	inByHash.Release()
	hold.Release()
	must(t, <-kept)
	if e := <-resolved; e.Kind != catalog.Content {
		t.Errorf("a client fetches the index: %+v, want what it lists", e)
	}
}
