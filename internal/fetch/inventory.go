package fetch

import (
	"context"
	"iter"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch/access"
	"millpond/internal/peer"
)

var _ peer.Inventory = (*Fetcher)(nil)

// Watch implements peer.Inventory: what the store holds, as far as it may be shared
// with boxes of that kind. When the catalog has changed, another listing follows:
// blobs held before may be shared now, or no longer.
func (f *Fetcher) Watch(ctx context.Context, to peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		for ctx.Err() == nil {
			if !yield(peer.Event{Reset: true}) || !f.list(ctx, to, yield) {
				return
			}
		}
	}
}

// shared reports whether d may be shared with boxes of that kind, and its size, -1
// if it is not known.
func (f *Fetcher) shared(d digest.Digest, to peer.Kind) (size int64, ok bool) {
	size, with := f.catalog.Shared(d)
	return size, with.Includes(to)
}

// listed reports whether a held blob that came with a login came from where a
// setting shares it.
func (f *Fetcher) listed(d digest.Digest) bool {
	i, err := f.store.Stat(d)
	return err == nil && access.FoundAt(i, f.catalog.SharedAt(d))
}

// list yields one listing, then the changes, until the catalog has changed and
// settled. It returns false if yield wants no more, or the store is closed.
func (f *Fetcher) list(ctx context.Context, to peer.Kind, yield func(peer.Event) bool) (more bool) {
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
		if e.Held {
			if _, ok := f.shared(e.Digest, to); !ok || e.Private && !f.listed(e.Digest) {
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
