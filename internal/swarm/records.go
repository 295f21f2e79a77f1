package swarm

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dhtrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/swarm/quota"
)

const (
	// countEvery bounds the cost of counting, which reads every key.
	countEvery = 10 * time.Minute
	// trimEvery bounds the cost of trimming, which does so three times. Meanwhile a peer
	// whose share is full adds nothing.
	trimEvery = 10 * time.Second
	// trimShare is the part of its records that a peer whose share is full loses at
	// a time: an eighth.
	trimShare = 8
	// ownerSlots is what a peer takes besides its records: the memory of its name
	// and counts, about 400 bytes.
	ownerSlots = 4
	// A peer's records within an ageStep count as equally old.
	ageStep = 10 * time.Second
	oldest  = int(recordValidity / ageStep)

	deleteAtOnce = 1024
)

// records is the store of the provider records that this box keeps for the swarm: the
// DHT's ds.Batching, within bounds. Each peer and each network has a share, and one
// whose share is full loses its oldest records; when others come, the peers that have
// the most lose theirs. The box's own records are bounded by its inventory.
//
// libp2p gives no other hook: its record store writes each record through a batch. It
// caches the records of 256 keys, so one that is dropped may be found for a while.
type records struct {
	ds.Batching
	self     p2p.ID
	network  func(p2p.ID) netip.Prefix
	peers    *quota.Quota[p2p.ID]
	networks *quota.Quota[netip.Prefix] // nil: all are members
	rest     time.Duration              // trimEvery
	full     broadcast.Wake             // a share is
	n        atomic.Int64               // records at the last count, own ones included

	mu     sync.Mutex // guards the fields below
	owners map[p2p.ID]*owner
	wants  map[p2p.ID]bool // its share is full
}

// owner is a peer that announced something.
type owner struct {
	records int64
	at      netip.Prefix
}

func newRecords(store ds.Batching, most int64, private bool, self p2p.ID, network func(p2p.ID) netip.Prefix) *records {
	r := &records{
		Batching: store, self: self, network: network,
		peers:  quota.New[p2p.ID](most, 1),
		rest:   trimEvery,
		full:   broadcast.NewWake(),
		owners: make(map[p2p.ID]*owner),
		wants:  make(map[p2p.ID]bool),
	}
	if !private {
		r.networks = quota.New[netip.Prefix](most, networkWeight)
	}
	return r
}

// Batch implements ds.Batching.
func (r *records) Batch(ctx context.Context) (ds.Batch, error) {
	b, err := r.Batching.Batch(ctx)
	return &recordBatch{b, r}, err
}

// Delete implements ds.Batching.
func (r *records) Delete(ctx context.Context, key ds.Key) error {
	r.gone(key)
	return r.Batching.Delete(ctx, key)
}

type recordBatch struct {
	ds.Batch
	all *records
}

// Put leaves out a record for which there is no room.
func (b *recordBatch) Put(ctx context.Context, key ds.Key, value []byte) error {
	id, ok := ownerOf(key)
	if !ok {
		return nil // not of a SHA-256
	}
	if id != b.all.self && !b.all.take(id) {
		return nil
	}
	return b.Batch.Put(ctx, key, value)
}

func (b *recordBatch) Delete(ctx context.Context, key ds.Key) error {
	b.all.gone(key)
	return b.Batch.Delete(ctx, key)
}

// libp2p names a record /providers/KEY/PEER in this encoding; keyLength is that of a
// SHA-256's multihash.
var (
	recordNames = base32.StdEncoding.WithPadding(base32.NoPadding)
	keyLength   = recordNames.EncodedLen(digest.Size + 2)
)

// ownerOf returns the peer whose record key names; false for none of a SHA-256.
func ownerOf(key ds.Key) (p2p.ID, bool) {
	dir, name := path.Split(key.String())
	if len(dir) != len(dhtrecords.ProvidersKeyPrefix)+keyLength+1 {
		return "", false
	}
	id, err := recordNames.DecodeString(name)
	return p2p.ID(id), err == nil && len(id) > 0 && len(id) <= maxID
}

// take makes room for one more record of id. A record that is sent again counts as a
// new one until the next count, since to look for it would take longer than to write it.
func (r *records) take(id p2p.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	want := int64(1)
	o := r.owners[id]
	if o == nil {
		o, want = &owner{at: r.network(id)}, 1+ownerSlots
	}
	if r.networks != nil && r.networks.Room(o.at) < want || r.peers.Room(id) < want {
		if r.owners[id] != nil {
			r.wants[id] = true
		}
		r.full.Call()
		return false
	}
	r.add(id, o, 1)
	return true
}

// add changes how many records id has by n. The caller holds r.mu.
func (r *records) add(id p2p.ID, o *owner, n int64) {
	slots := n
	switch before, after := o.records, o.records+n; {
	case before == 0 && after > 0:
		slots += ownerSlots
		r.owners[id] = o
	case before > 0 && after <= 0:
		slots -= ownerSlots
		delete(r.owners, id)
		delete(r.wants, id)
	}
	o.records += n
	if slots > 0 {
		r.peers.Add(id, slots)
	} else {
		r.peers.Give(id, -slots)
	}
	switch {
	case r.networks == nil:
	case slots > 0:
		r.networks.Add(o.at, slots)
	default:
		r.networks.Give(o.at, -slots)
	}
}

// gone is called before a record is deleted. The next count puts right what was
// deleted twice.
func (r *records) gone(key ds.Key) {
	id, ok := ownerOf(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.owners[id]; ok && o != nil {
		r.add(id, o, -1)
	}
}

// run counts and trims until ctx ends.
func (r *records) run(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	if err := r.count(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.count(ctx); err != nil {
				return err
			}
		case <-r.full:
			if err := r.trim(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(r.rest):
			}
		}
	}
}

// count counts the records of each peer.
func (r *records) count(ctx context.Context) error {
	counted := make(map[p2p.ID]int64)
	n := int64(0)
	for row, err := range ds.QueryIter(ctx, r.Batching, query.Query{Prefix: dhtrecords.ProvidersKeyPrefix, KeysOnly: true}) {
		if err != nil {
			return fmt.Errorf("counting provider records: %w", err)
		}
		n++
		if id, ok := ownerOf(ds.RawKey(row.Key)); ok && id != r.self {
			counted[id]++
		}
	}
	r.n.Store(n)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, o := range r.owners {
		r.add(id, o, counted[id]-o.records)
		delete(counted, id)
	}
	for id, n := range counted { // of an earlier process
		r.add(id, &owner{at: r.network(id)}, n)
	}
	if r.peers.Free() < 0 {
		r.full.Call()
	}
	return nil
}

// trim drops the oldest records of each peer that has too many.
func (r *records) trim(ctx context.Context) error {
	if err := r.count(ctx); err != nil {
		return err
	}
	drop := r.surplus()
	if len(drop) == 0 {
		return nil
	}
	now := time.Now()
	age := func(value []byte) int {
		nanoseconds, _ := binary.Varint(value) // as libp2p writes them
		return min(max(int(now.Sub(time.Unix(0, nanoseconds))/ageStep), 0), oldest)
	}
	ages := make(map[p2p.ID]*[oldest + 1]int64)
	each := func(f func(id p2p.ID, key ds.Key, age int) error) error {
		for row, err := range ds.QueryIter(ctx, r.Batching, query.Query{Prefix: dhtrecords.ProvidersKeyPrefix}) {
			if err != nil {
				return err
			}
			key := ds.RawKey(row.Key)
			if id, ok := ownerOf(key); ok && drop[id] > 0 {
				if err := f(id, key, age(row.Value)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := each(func(id p2p.ID, _ ds.Key, age int) error {
		if ages[id] == nil {
			ages[id] = new([oldest + 1]int64)
		}
		ages[id][age]++
		return nil
	})
	if err != nil {
		return err
	}
	left := make(map[p2p.ID]*[oldest + 1]int64, len(drop)) // to drop of each age
	for id, n := range drop {
		left[id] = new([oldest + 1]int64)
		for age := oldest; age >= 0 && n > 0 && ages[id] != nil; age-- {
			left[id][age] = min(n, ages[id][age])
			n -= left[id][age]
		}
	}
	var keys []ds.Key
	err = each(func(id p2p.ID, key ds.Key, age int) error {
		if left[id][age] <= 0 {
			return nil
		}
		left[id][age]--
		keys = append(keys, key)
		if len(keys) < deleteAtOnce {
			return nil
		}
		defer func() { keys = keys[:0] }()
		return r.drop(ctx, keys)
	})
	if err != nil {
		return err
	}
	return r.drop(ctx, keys)
}

// drop deletes records.
func (r *records) drop(ctx context.Context, keys []ds.Key) error {
	b, err := r.Batch(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.Delete(ctx, key); err != nil {
			return err
		}
	}
	return b.Commit(ctx)
}

// surplus returns how many records each peer is to lose: what it has in excess of its
// share, or its network, where those that have the most lose theirs; and what makes
// room for a part of the share if it wanted to add to a full one. A little room would
// not do: a peer that sends its records again takes it for the same ones each time.
func (r *records) surplus() map[p2p.ID]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	drop := make(map[p2p.ID]int64)
	inNetwork := make(map[netip.Prefix][]p2p.ID)
	wanted := make(map[netip.Prefix]bool)
	for id, o := range r.owners {
		n := r.peers.Excess(id)
		if r.wants[id] {
			n += max(o.records/trimShare-r.peers.Room(id), 0)
		}
		if n = min(n, o.records); n > 0 {
			drop[id] = n
		}
		inNetwork[o.at] = append(inNetwork[o.at], id)
		wanted[o.at] = wanted[o.at] || r.wants[id]
	}
	clear(r.wants)
	if r.networks == nil {
		return drop
	}
	for at, ids := range inNetwork {
		n := r.networks.Excess(at)
		if wanted[at] {
			n += max(r.networks.Held(at)/trimShare-r.networks.Room(at), 0)
		}
		for _, id := range ids {
			n -= drop[id]
		}
		r.level(ids, drop, n)
	}
	return drop
}

// level adds n to what ids drop, so that those that keep the most drop it. The caller
// holds r.mu.
func (r *records) level(ids []p2p.ID, drop map[p2p.ID]int64, n int64) {
	if n <= 0 {
		return
	}
	keeps := func(id p2p.ID) int64 { return r.owners[id].records - drop[id] }
	slices.SortFunc(ids, func(a, b p2p.ID) int { return cmp.Compare(keeps(b), keeps(a)) })
	// The first i come down to what the next one keeps, or to their part of the rest.
	sum := int64(0)
	for i, id := range ids {
		sum += keeps(id)
		next := int64(0)
		if i+1 < len(ids) {
			next = keeps(ids[i+1])
		}
		if to := max((sum-n)/int64(i+1), 0); to >= next || i+1 == len(ids) {
			for _, id := range ids[:i+1] {
				drop[id] += max(keeps(id)-to, 0)
			}
			return
		}
	}
}
