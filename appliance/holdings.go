package main

import (
	"context"
	"iter"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/peer"
	"millpond/internal/store"
)

// settle is how long the catalog must be quiet before what is held is looked
// through again for what may now be given to peers. An update of a client
// brings several indices.
const settle = 5 * time.Second

// holdings is what the swarm may have of this box: what the store holds, as
// far as a signed Release lists it.
type holdings struct {
	store   *store.Store
	catalog *catalog.Catalog
	fetch   *fetch.Fetcher
}

var _ peer.Inventory = (*holdings)(nil)

// Watch implements peer.Inventory. When the catalog has learned something, the
// listing begins anew: blobs held before may be shared now, or not any more.
func (h *holdings) Watch(ctx context.Context) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		for ctx.Err() == nil {
			if !yield(peer.Event{Reset: true}) || !h.watchOnce(ctx, yield) {
				return
			}
		}
	}
}

// watchOnce yields from one listing until the catalog has changed and settled.
// It reports false if yield wants no more.
func (h *holdings) watchOnce(ctx context.Context, yield func(peer.Event) bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := h.catalog.Changed()
	go func() {
		settled(ctx, h.catalog, changed)
		cancel()
	}()
	for e := range h.store.Watch(ctx) {
		if e.Held {
			if _, ok := h.catalog.Shared(e.Digest); !ok {
				continue
			}
		}
		if !yield(peer.Event{Digest: e.Digest, Size: e.Size, Held: e.Held, Reset: e.Reset, Synced: e.Synced}) {
			return false
		}
	}
	return true
}

// settled returns when the catalog has changed and then been quiet, or ctx has
// ended. changed is c.Changed as it was when the caller looked.
func settled(ctx context.Context, c *catalog.Catalog, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-ctx.Done():
		return
	}
	for {
		changed = c.Changed()
		select {
		case <-changed:
		case <-time.After(settle):
			return
		case <-ctx.Done():
			return
		}
	}
}

// Open implements peer.Inventory.
func (h *holdings) Open(ctx context.Context, d digest.Digest, start bool) (peer.Upload, error) {
	file, err := h.fetch.Lend(ctx, d, start)
	if err != nil {
		return nil, err
	}
	return loan{file.Body, file.Size}, nil
}

// Manifest implements peer.Inventory.
func (h *holdings) Manifest(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	return h.fetch.Manifest(ctx, d)
}

// Pieces implements peer.Inventory.
func (h *holdings) Pieces(d digest.Digest) (size int64, have peer.Bitfield, err error) {
	return h.fetch.Pieces(d)
}

// loan is a file on its way to a peer.
type loan struct {
	fetch.Body
	size int64
}

// Size implements peer.Upload.
func (l loan) Size() int64 { return l.size }
