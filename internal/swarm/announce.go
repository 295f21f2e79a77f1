package swarm

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multihash"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// Changes wait this long to be announced together.
	announceEvery = time.Second
	maxChanges    = 2048 // that wait
	// peer.Inventory does not say where a listing ends. It has ended when nothing
	// came for listingQuiet; under a constant stream of changes it is taken
	// to have ended after listingLongest. To be wrong costs an announcement:
	// a blob listed later is announced again.
	listingQuiet   = 5 * time.Second
	listingLongest = 5 * time.Minute
)

// sweep keeps the records of a set of keys alive in the DHT. The set outlives
// the process.
type sweep interface {
	// start adds keys; those that are new are announced at once.
	start(keys []multihash.Multihash) error
	// stop removes keys. Their records in the DHT run out by themselves.
	stop(keys []multihash.Multihash) error
	// all calls f with the keys of the set, some thousands at a time.
	all(ctx context.Context, f func([]multihash.Multihash) error) error
	// progress returns how many of the keys are announced, how many there
	// are, and a number that grows with each record sent.
	progress(ctx context.Context) (announced, keys, sent int64, err error)
	Close() error
}

// announcer has the DHT name this box for each blob that it holds.
type announcer struct {
	store    ds.Batching
	holdings peer.Inventory
	every    time.Duration // each record is sent again within it
	log      *slog.Logger

	mu                    sync.Mutex // guards the fields below
	announced, toAnnounce int64
	sent                  int64
	last                  time.Time
}

func newAnnouncer(store ds.Batching, holdings peer.Inventory, log *slog.Logger) *announcer {
	return &announcer{
		store:    namespace.Wrap(store, ds.NewKey("announce")),
		holdings: holdings,
		every:    reprovideEvery,
		log:      log,
	}
}

func (a *announcer) progress() (announced, toAnnounce int64, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.announced, a.toAnnounce, a.last
}

// run follows peer.Inventory until ctx ends.
func (a *announcer) run(ctx context.Context, h host.Host, d *dht.IpfsDHT) error {
	s, err := newSweep(a.store, h, d, a.every)
	if err != nil {
		return err
	}
	changes := make(chan peer.Event)
	go func() {
		defer close(changes)
		for h := range a.holdings.Watch(ctx) {
			select {
			case changes <- h:
			case <-ctx.Done():
				return
			}
		}
	}()
	a.feed(ctx, s, changes)
	for range changes { // Watch has returned
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("stopping to announce: %w", err)
	}
	return nil
}

// feed hands the changes on until ctx ends. The first listing, like one after
// a Reset, is compared with what an earlier one, perhaps of an earlier
// process, left in the sweep.
func (a *announcer) feed(ctx context.Context, s sweep, changes <-chan peer.Event) {
	pending := make(map[digest.Digest]bool)
	list := newListing(time.Now())
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		in := changes
		if len(pending) >= maxChanges {
			a.flush(s, pending)
		}
		select {
		case <-ctx.Done():
			return
		case h, ok := <-in:
			switch {
			case !ok: // unfinished listings are no ground to forget blobs
				changes, list = nil, nil
			case h.Synced:
			case h.Reset:
				clear(pending) // what still counts is listed again
				list = newListing(time.Now())
			default:
				pending[h.Digest] = h.Held
				list.see(h, time.Now())
			}
		case now := <-tick.C:
			a.flush(s, pending)
			if list.over(now) {
				if err := a.forget(ctx, s, list); err != nil && ctx.Err() == nil {
					a.log.Warn("blobs that went may still be announced", "err", err)
				}
				list = nil
			}
			a.measure(ctx, s)
		}
	}
}

// flush empties pending.
func (a *announcer) flush(s sweep, pending map[digest.Digest]bool) {
	var came, went []multihash.Multihash
	for d, held := range pending {
		if held {
			came = append(came, multihashOf(d))
		} else {
			went = append(went, multihashOf(d))
		}
	}
	clear(pending)
	if err := s.start(came); err != nil {
		a.log.Warn("blobs are not announced", "blobs", len(came), "err", err)
	}
	if err := s.stop(went); err != nil {
		a.log.Warn("blobs that went are still announced", "blobs", len(went), "err", err)
	}
}

// forget stops what the listing did not name.
func (a *announcer) forget(ctx context.Context, s sweep, list *listing) error {
	return s.all(ctx, func(keys []multihash.Multihash) error {
		var went []multihash.Multihash
		for _, key := range keys {
			if !list.named(key) {
				went = append(went, key)
			}
		}
		return s.stop(went)
	})
}

func (a *announcer) measure(ctx context.Context, s sweep) {
	ctx, cancel := context.WithTimeout(ctx, announceEvery)
	defer cancel()
	announced, keys, sent, err := s.progress(ctx)
	if err != nil {
		return // busy; the figures of before are good enough
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.announced, a.toAnnounce = announced, keys
	if sent != a.sent {
		a.sent, a.last = sent, time.Now()
	}
}

// listing marks the blobs of a listing by 8 bytes of their digests, about 4 MB
// for 200,000, for as long as it lasts. That two fall together, one in 10⁹
// times, leaves a blob announced that went.
type listing struct {
	marks       map[uint64]struct{}
	begun, last time.Time
}

func newListing(now time.Time) *listing {
	return &listing{marks: make(map[uint64]struct{}), begun: now, last: now}
}

func (l *listing) see(h peer.Event, now time.Time) {
	if l == nil {
		return
	}
	l.last = now
	mark := binary.BigEndian.Uint64(h.Digest[:])
	if h.Held {
		l.marks[mark] = struct{}{}
	} else {
		delete(l.marks, mark)
	}
}

func (l *listing) named(key multihash.Multihash) bool {
	if len(key) < digest.Size {
		return false
	}
	_, ok := l.marks[binary.BigEndian.Uint64(key[len(key)-digest.Size:])]
	return ok
}

// over is false for no listing.
func (l *listing) over(now time.Time) bool {
	return l != nil && (now.Sub(l.last) >= listingQuiet || now.Sub(l.begun) >= listingLongest)
}
