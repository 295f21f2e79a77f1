package swarm

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multihash"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// list is a sweep that only keeps its set.
type list struct {
	mu      sync.Mutex // guards the fields below
	keys    map[string]bool
	started int
	broken  error
}

var _ sweep = (*list)(nil)

func (l *list) start(keys []multihash.Multihash) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		if !l.keys[string(k)] {
			l.keys[string(k)] = true
			l.started++
		}
	}
	return l.broken
}

func (l *list) stop(keys []multihash.Multihash) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		delete(l.keys, string(k))
	}
	return l.broken
}

func (l *list) all(_ context.Context, f func([]multihash.Multihash) error) error {
	l.mu.Lock()
	keys := slices.Collect(maps.Keys(l.keys))
	l.mu.Unlock()
	for _, k := range keys {
		if err := f([]multihash.Multihash{multihash.Multihash(k)}); err != nil {
			return err
		}
	}
	return nil
}

func (l *list) progress(context.Context) (int64, int64, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.keys)), int64(len(l.keys)), int64(l.started), nil
}

func (l *list) Close() error { return nil }

func (l *list) has(i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys[string(multihashOf(digest.Of(numbered(i))))]
}

func TestFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := &lines{}
		a := &announcer{log: slog.New(slog.NewTextHandler(said, nil))}
		l := &list{keys: map[string]bool{string(multihashOf(digest.Of(numbered(99)))): true}} // of an earlier process
		changes := make(chan peer.Event)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.feed(ctx, l, changes)
		}()
		tell := func(held bool, numbers ...int) {
			for _, i := range numbers {
				changes <- peer.Event{Digest: digest.Of(numbered(i)), Held: held}
			}
		}
		check := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			for i := range 100 {
				if got := l.has(i); got != slices.Contains(want, i) {
					t.Errorf("%s: blob %d announced: %v", when, i, got)
				}
			}
		}
		tell(true, 0, 1, 2)
		tell(false, 1)
		time.Sleep(announceEvery)
		check("the listing goes on", 0, 2, 99)
		time.Sleep(listingQuiet + announceEvery)
		check("the listing is over", 0, 2)
		if n, all, last := a.progress(); n != 2 || all != 2 || last.IsZero() {
			t.Errorf("progress %d of %d at %v", n, all, last)
		}

		tell(false, 2)
		tell(true, 3, 4)
		changes <- peer.Event{Reset: true}
		tell(true, 4, 5)
		time.Sleep(listingQuiet + announceEvery)
		check("after a reset", 4, 5)

		// Under constant change a listing ends too.
		changes <- peer.Event{Reset: true}
		for range listingLongest/announceEvery + 1 {
			tell(true, 6)
			time.Sleep(announceEvery)
		}
		check("after a long listing", 6)

		// A listing that breaks off is no ground to forget.
		changes <- peer.Event{Reset: true}
		tell(true, 7)
		close(changes)
		time.Sleep(time.Minute)
		check("after the watch ended", 6, 7)
		cancel()
		<-done
		if n := said.count("level=WARN"); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
}

func TestFeedFlushesLargeBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := &lines{}
		a := &announcer{log: slog.New(slog.NewTextHandler(said, nil))}
		l := &list{keys: make(map[string]bool), broken: errors.New("disk full")}
		changes := make(chan peer.Event)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.feed(ctx, l, changes)
		}()
		for i := range 3*maxChanges + 1 { // no time passes
			changes <- peer.Event{Digest: digest.Of(numbered(i)), Held: true}
		}
		synctest.Wait()
		l.mu.Lock()
		if n := len(l.keys); n != 3*maxChanges {
			t.Errorf("%d announced before a second passed", n)
		}
		l.mu.Unlock()
		cancel()
		<-done
		if said.count("blobs are not announced") == 0 {
			t.Error("a fault goes unsaid")
		}
	})
}

// What goes from Holdings is no longer announced by the real sweep, and a
// restart neither loses what is announced nor announces it anew.
func TestAnnounceAndStop(t *testing.T) {
	t.Parallel()
	b := newBox(t, nil)
	var digests []digest.Digest
	for i := range 50 {
		digests = append(digests, b.shelf.put(numbered(i)))
	}
	b.run(t)
	announced := func(want int64) func() bool {
		return func() bool { n, all, _ := b.announcer.progress(); return n == want && all == want }
	}
	alone := func() bool { n, all, _ := b.announcer.progress(); return n == 0 && all == 50 }
	until(t, "all are known but, with nobody there, not announced", alone)
	other := newBox(t, func(o *Options) { o.Bootstrap = []string{b.dialled()} }).run(t)
	until(t, "all are announced", announced(50))
	b.shelf.drop(digests[7])
	until(t, "one less", announced(49))
	late := b.shelf.put([]byte("late"))
	until(t, "one more", announced(50))
	until(t, "found", func() bool { return other.findAll(t.Context(), late)[b.self()] })

	store, dir := b.options.Datastore, b.options.IdentityFile
	b.stop()
	again := newBox(t, func(o *Options) { o.Datastore, o.IdentityFile = store, dir })
	s, err := newSweep(again.announcer.store, again.host, again.dht, reprovideEvery)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	defer s.Close()
	if _, keys, sent, err := s.progress(t.Context()); keys != 50 || sent != 0 || err != nil {
		t.Errorf("after the restart %d keys, %d records sent, %v", keys, sent, err)
	}
}
