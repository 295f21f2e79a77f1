package swarm

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	dhtrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"millpond/internal/digest"
)

const (
	// recordValidity lets a record survive two missed rounds of reprovideEvery,
	// and bounds how long look-ups return a dead box.
	recordValidity = 3 * time.Hour
	// providerAddrTTL is how long look-ups return a provider's addresses with
	// its record; after that FindPeer has to find them.
	providerAddrTTL = time.Hour
	// countEvery bounds the cost of counting, which reads every key.
	countEvery = 10 * time.Minute
)

// lookAgain holds the waits between the searches for other boxes after joining.
// Boxes that join through the same box at the same time do not learn of each
// other at first, and the DHT's own refresh runs every 10 min.
var lookAgain = [...]time.Duration{3 * time.Second, 15 * time.Second, time.Minute}

// dhtPrefix separates the DHT of one swarm from all others.
func dhtPrefix(tag string) protocol.ID { return protocol.ID("/millpond/" + tag) }

// newDHT makes this box a node of a DHT that has provider records only. They are
// kept in an ordered store: libp2p's default, a map, reads all records for each
// look-up. Private addresses count like public ones.
func newDHT(h host.Host, o Options, tag string) (*dht.IpfsDHT, error) {
	var mode dht.ModeOpt
	switch o.Mode {
	case Auto, "":
		mode = dht.ModeAutoServer
	case Server:
		mode = dht.ModeServer
	case Client:
		mode = dht.ModeClient
	default:
		return nil, fmt.Errorf("DHT mode %q: want %s, %s or %s", o.Mode, Auto, Server, Client)
	}
	d, err := dht.New(h,
		dht.ProtocolPrefix(dhtPrefix(tag)),
		dht.Mode(mode),
		dht.DisableValues(),
		dht.ProviderDatastore(o.Datastore),
		dht.ProviderManagerOpts(
			dhtrecords.ProvideValidity(recordValidity),
			dhtrecords.ProviderAddrTTL(providerAddrTTL),
		),
	)
	if err != nil {
		return nil, fmt.Errorf("starting the DHT: %w", err)
	}
	return d, nil
}

// meet searches the DHT for boxes after the first one connects, and again each
// time that one connects after all had disconnected.
func (s *Swarm) meet(ctx context.Context) error {
	waits := lookAgain[:]
	for {
		changed := s.boxes.changed()
		var look <-chan time.Time
		if s.boxes.count() == 0 {
			waits = lookAgain[:]
		} else if len(waits) > 0 {
			changed, look = nil, time.After(waits[0])
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look:
			waits = waits[1:]
			s.dht.RefreshRoutingTable()
		}
	}
}

// multihashOf returns d's key in the DHT. It is the SHA-256 that a Packages file
// lists, so that no other look-up is needed first.
func multihashOf(d digest.Digest) multihash.Multihash {
	m, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		panic(fmt.Sprintf("swarm: encoding a SHA-256: %v", err)) // only for unknown codes
	}
	return m
}

// digestOf is the inverse of multihashOf.
func digestOf(m multihash.Multihash) (d digest.Digest, ok bool) {
	if len(m) < digest.Size {
		return digest.Digest{}, false
	}
	copy(d[:], m[len(m)-digest.Size:])
	return d, true
}

// records counts the provider records held for the swarm.
type records struct {
	store ds.Datastore
	n     atomic.Int64
}

func newRecords(store ds.Datastore) *records { return &records{store: store} }

func (r *records) run(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		if err := r.count(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *records) count(ctx context.Context) error {
	n := int64(0)
	for row, err := range ds.QueryIter(ctx, r.store, query.Query{Prefix: dhtrecords.ProvidersKeyPrefix, KeysOnly: true}) {
		if err != nil {
			return fmt.Errorf("counting provider records: %w", err)
		}
		_ = row
		n++
	}
	r.n.Store(n)
	return nil
}
