package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multihash"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// Changes are collected for announceEvery, or until there are maxChanges, and
	// then passed to the sweep together.
	announceEvery = time.Second
	maxChanges    = 2048
	// maxPending changes wait while the sweep is slow, 20 MB: enough for the
	// first listing of a large box.
	maxPending = 1 << 18
)

// sweep keeps the records of a set of keys alive in the DHT. The set outlives
// the process.
type sweep interface {
	// start adds keys; those that are new are announced at once.
	start(keys []multihash.Multihash) error
	// stop removes keys. Their records in the DHT expire by themselves.
	stop(keys []multihash.Multihash) error
	// all calls f with the keys of the set, some thousands at a time.
	all(ctx context.Context, f func([]multihash.Multihash) error) error
	// progress returns how many of the keys are announced, how many there
	// are, and a number that grows with each record sent.
	progress(ctx context.Context) (announced, keys, sent int64, err error)
	Close() error
}

// announcer keeps a provider record in the DHT for each blob in the inventory.
type announcer struct {
	store ds.Batching
	holds func(digest.Digest) bool // the inventory has it
	every time.Duration            // each record is sent again within it
	log   *slog.Logger
	full  broadcast.Wake // maxChanges are pending

	mu                    sync.Mutex             // guards the fields below
	pending               map[digest.Digest]bool // true: to announce, false: to stop
	room                  broadcast.Signal       // pending has shrunk
	synced                bool                   // a listing has ended
	stale                 bool                   // the sweep may have keys that the inventory lacks
	announced, toAnnounce int64
	sent                  int64
	last                  time.Time
}

func newAnnouncer(store ds.Batching, holds func(digest.Digest) bool, log *slog.Logger) *announcer {
	return &announcer{
		store:   namespace.Wrap(store, ds.NewKey("announce")),
		holds:   holds,
		every:   reprovideEvery,
		log:     log,
		full:    broadcast.NewWake(),
		pending: make(map[digest.Digest]bool),
	}
}

func (a *announcer) progress() (announced, toAnnounce int64, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.announced, a.toAnnounce, a.last
}

// take records an event that changed the inventory, or the end of a listing. It
// blocks only while maxPending changes are pending, until the next batch.
func (a *announcer) take(ctx context.Context, e peer.Event, changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Synced {
		// After the first listing, keys of an earlier process may remain.
		a.stale = a.stale || changed || !a.synced
		a.synced = true
		return
	}
	for len(a.pending) >= maxPending {
		room := a.room.Wait()
		a.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
	a.pending[e.Digest] = e.Held
	if len(a.pending) >= maxChanges {
		a.full.Call()
	}
}

// run announces the changes that take recorded, until ctx ends.
func (a *announcer) run(ctx context.Context, h host.Host, d *dht.IpfsDHT) error {
	s, err := newSweep(a.store, h, d, a.every)
	if err != nil {
		return err
	}
	a.feed(ctx, s)
	if err := s.Close(); err != nil {
		return fmt.Errorf("stopping to announce: %w", err)
	}
	return nil
}

// feed passes the changes to s until ctx ends.
func (a *announcer) feed(ctx context.Context, s sweep) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.full:
			a.flush(ctx, s, maxChanges)
		case <-tick.C:
			stale := a.takeStale()
			a.flush(ctx, s, 1)
			if stale {
				a.forget(ctx, s)
			}
			a.measure(ctx, s)
		}
	}
}

// flush passes the pending changes to s while there are at least n.
func (a *announcer) flush(ctx context.Context, s sweep, n int) {
	for ctx.Err() == nil {
		added, removed := a.batch(n)
		if len(added)+len(removed) == 0 {
			return
		}
		if err := s.start(added); err != nil {
			a.log.Warn("blobs not announced", "blobs", len(added), "err", err)
		}
		if err := s.stop(removed); err != nil {
			a.log.Warn("removed blobs still announced", "blobs", len(removed), "err", err)
		}
	}
}

// batch removes and returns up to maxChanges pending changes; none if there are
// fewer than n.
func (a *announcer) batch(n int) (added, removed []multihash.Multihash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) < n {
		return nil, nil
	}
	for d, held := range a.pending {
		if len(added)+len(removed) == maxChanges {
			break
		}
		if held {
			added = append(added, multihashOf(d))
		} else {
			removed = append(removed, multihashOf(d))
		}
		delete(a.pending, d)
	}
	a.room.Fire()
	return added, removed
}

func (a *announcer) takeStale() (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, a.stale = a.stale, false
	return was
}

// forget stops announcing blobs that the inventory lacks: those that a listing
// dropped or an earlier process held.
func (a *announcer) forget(ctx context.Context, s sweep) {
	err := s.all(ctx, func(keys []multihash.Multihash) error {
		return s.stop(slices.DeleteFunc(keys, func(key multihash.Multihash) bool {
			d, ok := digestOf(key)
			return ok && a.holds(d)
		}))
	})
	if err != nil && ctx.Err() == nil {
		a.log.Warn("removed blobs may still be announced", "err", err)
	}
}

func (a *announcer) measure(ctx context.Context, s sweep) {
	ctx, cancel := context.WithTimeout(ctx, announceEvery)
	defer cancel()
	announced, keys, sent, err := s.progress(ctx)
	if err != nil {
		return // busy; the previous figures remain
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.announced, a.toAnnounce = announced, keys
	if sent != a.sent {
		a.sent, a.last = sent, time.Now()
	}
}
