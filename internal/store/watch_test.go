package store

import (
	"context"
	"testing"

	"millpond/internal/digest"
)

// A watcher that sleeps through more changes than its queue holds gets
// Reset and every blob held again.
func TestWatchOverflow(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	removed, kept := b.put(1, 10), b.put(2, 20)
	known := make(map[digest.Digest]bool)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, resets, synced := 0, 0, 0
	for e := range b.Watch(ctx) {
		switch {
		case e.Reset:
			resets++
			clear(known)
		case e.Synced:
			synced++
		case e.Held:
			known[e.Digest] = true
		default:
			delete(known, e.Digest)
		}
		switch events++; {
		case events == 1: // asleep
			if err := b.Remove(removed); err != nil {
				t.Fatal(err)
			}
			b.mu.Lock()
			for i := range 2 * maxQueue {
				b.emit(Event{Digest: digest.Digest{1}, Held: i%2 == 0})
			}
			for w := range b.watchers {
				if len(w.queue) > maxQueue {
					t.Errorf("a queue of %d events, want at most %d", len(w.queue), maxQueue)
				}
			}
			b.mu.Unlock()
		case synced == 1: // of the second listing; the first broke off
			cancel()
		}
	}
	if resets != 1 || !known[kept] || len(known) != 1 {
		t.Errorf("after %d resets the watcher knows %v, want only %s", resets, known, kept)
	}
	if len(b.watchers) != 0 {
		t.Errorf("%d watchers left", len(b.watchers))
	}
}

// A watcher beside a busy writer knows in the end what is held.
func TestWatchFollows(t *testing.T) {
	t.Parallel()
	b := newBox(t, 50_000)
	b.put(-1, 10)
	_, last := content(999, 1000)
	done := make(chan map[digest.Digest]bool)
	go func() {
		known := make(map[digest.Digest]bool)
		for e := range b.Watch(t.Context()) {
			if known[e.Digest] = e.Held; e.Digest == last {
				break
			}
		}
		done <- known
	}()
	for i := range 200 {
		b.put(i, 1000)
	}
	b.put(999, 1000)
	known := <-done
	for d, held := range known {
		b.wantHeld("watched blob", d, held)
	}
}

func TestCloseEndsWatch(t *testing.T) {
	t.Parallel()
	b := newBox(t, 1<<30)
	b.put(1, 10)
	started, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for e := range b.Watch(context.Background()) {
			if e.Synced {
				close(started)
			}
		}
	}()
	<-started
	b.restart()
	<-done
}
