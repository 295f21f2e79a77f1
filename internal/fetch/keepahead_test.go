package fetch

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"millpond/internal/aptest"
	"millpond/internal/digest"
	"millpond/internal/store"
)

// until polls a condition that gives no signal.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// What is fetched ahead is told from what a client asked for.
func TestAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("small"))
	for _, want := range []Brought{{Mirrors: e.Size}, {}} {
		if got, err := r.Ahead(t.Context(), e, nil); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}

	e = r.entry(r.packageAt("large"))
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	done := make(chan Brought, 1)
	go func() {
		b, err := r.Ahead(t.Context(), e, nil)
		if err != nil {
			t.Error(err)
		}
		done <- b
	}()
	must(t, hold.Await(t.Context(), 1))
	if r.ClientsWait() {
		t.Error("a client waits before one has asked")
	}
	r.Anticipate(Request{Entry: e})
	if !r.ClientsWait() {
		t.Error("no client waits though one has asked")
	}
	hold.Release()
	if b := <-done; b != (Brought{Mirrors: e.Size, Asked: true}) || r.mirror.Requests("*/large*") != 1 {
		t.Errorf("a client asked meanwhile: %+v with %d requests", b, r.mirror.Requests("*/large*"))
	}
	until(t, "no client waits after the download", func() bool { return !r.ClientsWait() })
}

// What comes from another box is told from what the mirror sends.
func TestAheadFromPeers(t *testing.T) {
	t.Parallel()
	r := newSwarmRig(t, map[string]int{"tool": 300_000})
	r.add(r.seeds, "tool", "neighbour")
	e := r.entry(r.packageAt("tool"))
	b, err := r.Ahead(t.Context(), e, nil)
	if err != nil || b != (Brought{Peers: e.Size}) || r.fromMirror("tool") != 0 || !r.held(e.Digest) {
		t.Errorf("a box has the file: %+v, %v; the mirror sent %d bytes", b, err, r.fromMirror("tool"))
	}
}

// A client waits for a file that no index lists as it does for any.
func TestClientsWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.mirror.Put("/debian/own/tool.deb", []byte("a tool"), time.Now())
	hold := r.mirror.Inject("*/tool.deb", aptest.Hold())
	done := make(chan error, 1)
	go func() {
		_, _, err := r.read("own/tool.deb")
		done <- err
	}()
	must(t, hold.Await(t.Context(), 1))
	if !r.ClientsWait() {
		t.Error("no client waits")
	}
	hold.Release()
	must(t, <-done)
	until(t, "no client waits any more", func() bool { return !r.ClientsWait() })
}

// A client's download that is fetched ahead as well is the client's.
func TestAheadOfAClientInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	hold := r.mirror.Inject("*/large*", aptest.Hold())
	r.Anticipate(Request{Entry: e})
	must(t, hold.Await(t.Context(), 1))
	done := make(chan Brought, 1)
	go func() {
		b, err := r.Ahead(t.Context(), e, nil)
		if err != nil {
			t.Error(err)
		}
		done <- b
	}()
	until(t, "the download is shared", func() bool { return r.Stats().Joined > 0 })
	hold.Release()
	if b := <-done; b != (Brought{Asked: true}) {
		t.Errorf("%+v, want nothing taken", b)
	}
}

// Who fetches ahead stops at once, and goes on from there later.
func TestAheadGivesWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, aptest.Suite{})
	r.update()
	e := r.entry(r.packageAt("large"))
	stall := r.mirror.Inject("*/large*", aptest.Stall(large/2))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Brought, 1)
	go func() {
		b, err := r.Ahead(ctx, e, nil)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		done <- b
	}()
	until(t, "half of the file is there", func() bool {
		all := r.Transfers()
		return len(all) == 1 && len(all[0].Parts) == 1 && all[0].Parts[0].End == large/2
	})
	cancel()
	first := <-done
	until(t, "the download has ended", func() bool { return len(r.Transfers()) == 0 })
	stall.Release()
	again, err := r.Ahead(t.Context(), e, nil)
	if err != nil || first.Mirrors != large/2 || first.Mirrors+again.Mirrors > e.Size+128<<10 || !r.held(e.Digest) {
		t.Errorf("first %+v, then %+v of %d bytes (%v)", first, again, e.Size, err)
	}
}

// On a full disk what is replaced makes room, and nothing else does.
func TestAheadReplaces(t *testing.T) {
	t.Parallel()
	sizes := map[string]int{"one": 400 << 10, "two": 400 << 10, "new": 400 << 10}
	r := newArchiveRig(t, aptest.Suite{}, sizes)
	r.quota = 1200 << 10
	r.open()
	r.update()
	of := func(name string) digest.Digest { return digest.Of(r.files[name].Data) }
	for _, name := range []string{"one", "two"} {
		f, err := r.Get(t.Context(), Request{Entry: r.entry(r.packageAt(name))})
		must(t, err)
		_, err = io.Copy(io.Discard, f.Body)
		must(t, errors.Join(err, f.Body.Close()))
		until(t, name+" is held", func() bool { return r.held(of(name)) })
	}
	free := r.box.Store.Usage()
	if left := free.QuotaBytes - free.Bytes - free.Partial - free.Beside; left >= 400<<10 {
		t.Fatalf("%d bytes are free", left)
	}
	e := r.entry(r.packageAt("new"))
	if b, err := r.Ahead(t.Context(), e, nil); !errors.Is(err, store.ErrNoSpace) || b != (Brought{}) {
		t.Errorf("without anything to replace: %+v, %v", b, err)
	}
	r.running.Wait()
	if b, err := r.Ahead(t.Context(), e, []digest.Digest{of("two")}); err != nil || b.Mirrors != e.Size {
		t.Errorf("in place of another: %+v, %v", b, err)
	}
	for name, want := range map[string]bool{"one": true, "two": false, "new": true} {
		if got := r.held(of(name)); got != want {
			t.Errorf("%s: held %v, want %v", name, got, want)
		}
	}
}
