package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-libdht/kad/key/bitstr"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multihash"
)

const (
	// Each record is sent again once per reprovideEvery, at most reprovideLate
	// late: well within recordValidity.
	reprovideEvery = time.Hour
	reprovideLate  = 10 * time.Minute
	// replication is the number of boxes that keep a record. With libp2p's 20,
	// each box of a small swarm would keep all records. With 6, a box keeps 6
	// times what one box announces, whatever the size of the swarm: for 200,000
	// blobs 1.2 million records, about 180 MB on disk, and 60 KB/s of upkeep at
	// 180 bytes on the wire per record sent (BenchmarkMemory). A look-up asks the
	// closest boxes first and survives the loss of any 5.
	replication = 6
)

// sweeper is libp2p's sweeping provider: it walks the key space and sends the
// boxes of each region all the keys of that region at once. One look-up per key
// would cost a hundred times as much.
type sweeper struct {
	provider *provider.SweepingProvider
	keys     keystore.Keystore
}

func newSweep(store ds.Batching, h host.Host, d *dht.IpfsDHT, every time.Duration) (sweep, error) {
	keys, err := keystore.NewKeystore(namespace.Wrap(store, ds.NewKey("keys")))
	if err != nil {
		return nil, fmt.Errorf("opening the list of announced blobs: %w", err)
	}
	p, err := provider.New(
		provider.WithHost(h),
		provider.WithRouter(d),
		provider.WithMessageSender(d.MessageSender()),
		provider.WithSelfAddrs(h.Addrs),
		// The local record answers look-ups at this box itself; in a swarm of
		// two, all look-ups of the other box are.
		provider.WithAddLocalRecord(func(ctx context.Context, key multihash.Multihash) error {
			return d.Provide(ctx, cid.NewCidV1(cid.Raw, key), false)
		}),
		provider.WithKeystore(keys),
		provider.WithDatastore(namespace.Wrap(store, ds.NewKey("state"))),
		provider.WithReplicationFactor(replication),
		provider.WithReprovideInterval(every),
		provider.WithMaxReprovideDelay(reprovideLate),
		provider.WithMaxWorkers(4),
		provider.WithDedicatedPeriodicWorkers(1),
		provider.WithDedicatedBurstWorkers(1),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting to announce: %w", err), keys.Close())
	}
	return &sweeper{p, keys}, nil
}

func (s *sweeper) start(keys []multihash.Multihash) error {
	return s.provider.StartProviding(false, keys...)
}

func (s *sweeper) stop(keys []multihash.Multihash) error {
	if len(keys) == 0 {
		return nil
	}
	return s.provider.StopProviding(keys...)
}

func (s *sweeper) all(ctx context.Context, f func([]multihash.Multihash) error) error {
	for part := range 1 << 6 { // 64 of them: 200,000 keys make 3,000 each
		keys, err := s.keys.Get(ctx, bitstr.Key(fmt.Sprintf("%06b", part)))
		if err != nil {
			return fmt.Errorf("listing the announced blobs: %w", err)
		}
		if err := f(keys); err != nil {
			return err
		}
	}
	return nil
}

// progress counts as waiting the keys in the provider's queues and, in
// proportion to their number, those of the regions in its queue.
func (s *sweeper) progress(ctx context.Context) (announced, keys, sent int64, err error) {
	stats, err := s.provider.Stats(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	keys = max(0, stats.Schedule.Keys)
	sent = stats.Operations.Past.RecordsProvided
	if stats.Connectivity.Status != "online" || stats.Schedule.Regions == 0 {
		return 0, keys, sent, nil
	}
	waiting := stats.Queues.PendingKeyProvides + int64(stats.Operations.Ongoing.KeyProvides+stats.Operations.Ongoing.KeyReprovides)
	late := min(stats.Queues.PendingRegionReprovides, stats.Schedule.Regions)
	waiting += keys * late / stats.Schedule.Regions
	return max(0, keys-waiting), keys, sent, nil
}

func (s *sweeper) Close() error {
	return errors.Join(s.provider.Close(), s.keys.Close())
}
