package fetch

import (
	"context"
	"iter"
	"sync"
	"time"

	"millpond/internal/peer"
)

var _ peer.Inventory = (*Fetcher)(nil)

// Watch implements peer.Inventory: what the store holds, as far as a signed
// Release lists it. When the catalog has changed, another listing follows:
// blobs held before may be shared now, or no longer.
func (f *Fetcher) Watch(ctx context.Context, _ peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		for ctx.Err() == nil {
			if !yield(peer.Event{Reset: true}) || !f.list(ctx, yield) {
				return
			}
		}
	}
}

// list yields one listing, then the changes, until the catalog has changed and
// settled. It returns false if yield wants no more, or the store is closed.
func (f *Fetcher) list(ctx context.Context, yield func(peer.Event) bool) (more bool) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	changed := f.catalog.Changed()
	waiting.Go(func() {
		f.settled(ctx, changed)
		cancel()
	})
	for e := range f.store.Watch(ctx) {
		if e.Private {
			continue
		}
		if e.Held {
			if _, ok := f.catalog.Shared(e.Digest); !ok {
				continue
			}
		}
		if !yield(peer.Event{Digest: e.Digest, Size: e.Size, Held: e.Held, Reset: e.Reset, Synced: e.Synced}) {
			return false
		}
	}
	return ctx.Err() != nil
}

// settled returns when the catalog has changed and then been quiet, or ctx has
// ended. changed is Catalog.Changed as it was when the caller looked.
func (f *Fetcher) settled(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-ctx.Done():
		return
	}
	for {
		changed = f.catalog.Changed()
		select {
		case <-changed:
		case <-time.After(f.timeouts.settle):
			return
		case <-ctx.Done():
			return
		}
	}
}
