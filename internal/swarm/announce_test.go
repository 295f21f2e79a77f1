package swarm

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multihash"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
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

// offering runs an announcer and the sweep l, and returns how to send events to
// it and how to end it.
func offering(t *testing.T, a *announcer, l sweep) (send func(...peer.Event), stop func()) {
	j := inventory.NewJournal()
	a.holds, a.full, a.pending = j.Holds, broadcast.NewWake(), make(map[digest.Digest]bool)
	events := make(chan peer.Event)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.feed(ctx, l) })
	running.Go(func() {
		offer(ctx, func(yield func(peer.Event) bool) {
			for e := range events {
				if !yield(e) {
					return
				}
			}
		}, j, a)
	})
	send = func(list ...peer.Event) {
		for _, e := range list {
			events <- e
		}
	}
	return send, func() { cancel(); close(events); running.Wait() }
}

func numberedEvents(held bool, numbers ...int) (list []peer.Event) {
	for _, i := range numbers {
		list = append(list, peer.Event{Digest: digest.Of(numbered(i)), Held: held})
	}
	return list
}

func TestFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := &lines{}
		a := &announcer{log: slog.New(slog.NewTextHandler(said, nil))}
		l := &list{keys: map[string]bool{string(multihashOf(digest.Of(numbered(99)))): true}} // of an earlier process
		send, stop := offering(t, a, l)
		tell := func(held bool, numbers ...int) { send(numberedEvents(held, numbers...)...) }
		check := func(when string, want ...int) {
			t.Helper()
			time.Sleep(announceEvery)
			synctest.Wait()
			for i := range 100 {
				if got := l.has(i); got != slices.Contains(want, i) {
					t.Errorf("%s: blob %d announced: %v", when, i, got)
				}
			}
		}
		reset, synced := peer.Event{Reset: true}, peer.Event{Synced: true}
		send(reset)
		tell(true, 0, 1, 2)
		tell(false, 1)
		check("the listing goes on", 0, 2, 99)
		time.Sleep(time.Hour)
		check("the listing goes on for long", 0, 2, 99)
		send(synced)
		check("the listing is over", 0, 2)
		if n, all, last := a.progress(); n != 2 || all != 2 || last.IsZero() {
			t.Errorf("progress %d of %d at %v", n, all, last)
		}

		tell(false, 2)
		tell(true, 3, 4)
		send(reset)
		tell(true, 4, 5)
		check("another listing goes on", 0, 3, 4, 5)
		send(synced)
		check("another listing is over", 4, 5)
		started := l.started
		send(reset)
		tell(true, 4, 5)
		send(synced)
		check("the same again", 4, 5)
		if l.started != started {
			t.Error("what is listed again is announced again")
		}

		send(reset) // a listing that breaks off is no ground to forget
		tell(true, 7)
		time.Sleep(time.Minute)
		check("after the watch ended", 4, 5, 7)
		stop()
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
		send, stop := offering(t, a, l)
		for i := range 3*maxChanges + 1 { // no time passes
			send(numberedEvents(true, i)...)
		}
		synctest.Wait()
		l.mu.Lock()
		if n := len(l.keys); n != 3*maxChanges {
			t.Errorf("%d announced before a second passed", n)
		}
		l.mu.Unlock()
		stop()
		if said.count("blobs not announced") == 0 {
			t.Error("a fault goes unsaid")
		}
	})
}

// stuck is a sweep that blocks until it is released.
type stuck struct {
	*list
	let chan struct{}
}

func (s stuck) start(keys []multihash.Multihash) error {
	<-s.let
	return s.list.start(keys)
}

// A slow sweep delays the journal only when maxPending changes are pending.
func TestSlowSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &announcer{log: slog.New(slog.DiscardHandler)}
		s := stuck{&list{keys: make(map[string]bool)}, make(chan struct{})}
		send, stop := offering(t, a, s)
		send(numberedEvents(true, 0)...)
		time.Sleep(2 * announceEvery) // the sweep is stuck with it
		var taken atomic.Int64
		go func() {
			for i := range maxPending + maxChanges {
				send(peer.Event{Digest: digest.Digest{1, byte(i >> 16), byte(i >> 8), byte(i)}, Held: true})
				taken.Add(1)
			}
		}()
		synctest.Wait()
		if got := taken.Load(); got != maxPending+1 {
			t.Errorf("%d changes were taken from the inventory, want %d", got, maxPending+1)
		}
		close(s.let)
		time.Sleep(2 * announceEvery)
		synctest.Wait()
		if got := taken.Load(); got != maxPending+maxChanges {
			t.Errorf("when the sweep went on %d changes were taken, want all", got)
		}
		s.mu.Lock()
		if n := len(s.keys); n != maxPending+maxChanges+1 {
			t.Errorf("%d blobs are announced, want all", n)
		}
		s.mu.Unlock()
		stop()
	})
}

// The real sweep stops announcing removed blobs, and a restart neither loses the
// announced ones nor announces them again.
func TestAnnounceAndStop(t *testing.T) {
	long(t)
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
	other := newBox(t, func(o *settings) { o.Bootstrap = []string{b.dialled()} }).run(t)
	until(t, "all are announced", announced(50))
	b.shelf.drop(digests[7])
	until(t, "one less", announced(49))
	late := b.shelf.put([]byte("late"))
	until(t, "one more", announced(50))
	until(t, "found", func() bool { return other.findAll(t.Context(), late)[b.self()] })

	store, dir := b.options.Datastore, b.options.IdentityFile
	b.stop()
	again := newBox(t, func(o *settings) { o.Datastore, o.IdentityFile = store, dir })
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
