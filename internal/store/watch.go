package store

import (
	"context"
	"iter"

	"millpond/internal/digest"
)

// Event reports that a blob was added or removed. Reset alone means that the
// watcher was too slow and that every blob held follows again; Synced alone, that
// the listing is complete: a blob that it did not name is not held.
type Event struct {
	Digest digest.Digest
	Size   int64
	Held   bool
	Reset  bool
	Synced bool
	// Private: its bytes came with a login only, as in Info. When they have come
	// without one, another Event says so.
	Private bool
}

// maxQueue bounds the events that wait for one watcher, about 100 KB.
const maxQueue = 2048

// watcher is the queue of one Watch. Its fields are guarded by Store.mu.
type watcher struct {
	queue []Event
	lost  bool // queue overflowed and is empty
	wake  chan struct{}
}

// emit hands e to the watchers. Caller holds meta, which keeps the events of a
// blob in order, and mu.
func (s *Store) emit(e Event) {
	for w := range s.watchers {
		if len(w.queue) == maxQueue {
			w.queue, w.lost = nil, true
		}
		if !w.lost {
			w.queue = append(w.queue, e)
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// take empties the watcher's queue.
func (s *Store) take(w *watcher) (events []Event, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, lost = w.queue, w.lost
	w.queue, w.lost = nil, false
	return events, lost
}

// Watch yields first every blob held, then an Event with Synced, then each
// change, until ctx ends or the store is closed. Changes made during the listing
// are yielded too. A slow watcher never blocks the store and costs no more
// than a bounded queue: when that overflows, the watcher gets an Event with
// Reset and every blob held again. Otherwise it may see a change twice, but
// misses none. The events of one blob come in order.
func (s *Store) Watch(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		w := &watcher{wake: make(chan struct{}, 1)}
		s.mu.Lock()
		s.watchers[w] = struct{}{}
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watchers, w)
		}()
		for s.watch(ctx, w, yield) && yield(Event{Reset: true}) {
		}
	}
}

// watch lists what is held, then follows the changes. It returns true when
// some were lost.
func (s *Store) watch(ctx context.Context, w *watcher, yield func(Event) bool) (lost bool) {
	// drain yields what has queued up. It runs between pages too, so that a
	// long listing does not overflow the queue; a page is read before the
	// events that follow it are yielded, so that nothing stale is yielded last.
	drain := func() (more bool) {
		var events []Event
		if events, lost = s.take(w); lost {
			return false
		}
		for _, e := range events {
			if !yield(e) {
				return false
			}
		}
		return true
	}
	for from := []byte{'b'}; from != nil; {
		page, next, err := s.page(from)
		if err != nil {
			s.log.Warn("watch of the store ended", "err", err)
			return false
		}
		for _, i := range page {
			if s.over(ctx) || !yield(Event{Digest: i.Digest, Size: i.Size, Held: true, Private: len(i.Private) > 0}) {
				return false
			}
		}
		if !drain() {
			return lost
		}
		from = next
	}
	if !yield(Event{Synced: true}) {
		return false
	}
	for !s.over(ctx) {
		select {
		case <-ctx.Done():
		case <-s.closed:
		case <-w.wake:
			if !drain() {
				return lost
			}
		}
	}
	return false
}

// over reports whether a watcher with ctx must end.
func (s *Store) over(ctx context.Context) bool {
	select {
	case <-s.closed:
		return true
	default:
		return ctx.Err() != nil
	}
}
