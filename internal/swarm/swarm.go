// Package swarm connects the box with other boxes over libp2p.
//
// A swarm finds boxes (mDNS on the network segment, the configured bootstrap
// entries, the DHT), keeps one closed Kademlia DHT with them under a protocol
// prefix of its own, announces every blob in its inventory, and finds who
// has a blob. Neighbours tell each other what they hold, send each other
// blobs by HTTP over libp2p streams, and are scored by it. With a key the swarm
// is private: a box without it does not get past the first bytes. Whether a
// blob is genuine never depends on that; its digest decides.
//
// The package is the hub and the only one that knows libp2p. Three parts of it
// know neither libp2p nor the hub: inventory (what boxes tell each other that
// they hold), reputation (scores and bans) and blobproto (sending and receiving
// blobs). In the hub libp2p's own package peer is imported as p2p.
//
// Neighbours, the connected boxes, are limited in number. Members come before local
// boxes and those before strangers, and of one kind the network with the most boxes
// makes room (surplus).
//
// Memory is bounded by the number of boxes and of blobs announced, not by their
// bytes. Records held for others are in the Datastore, which must be ordered
// and outlive Close.
//
// The network comes from Options.Network. The clock is package time's, so that in a
// testing/synctest bubble, on a network that is in memory, whole swarms run in virtual
// time.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	ds "github.com/ipfs/go-datastore"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"golang.org/x/sync/errgroup"

	"millpond/internal/lag"
	"millpond/internal/peer"
	"millpond/internal/swarm/inventory"
	"millpond/internal/swarm/reputation"
)

// Mode is the part that a box takes in the DHT.
type Mode string

const (
	Auto   Mode = "auto"   // server unless known to be unreachable
	Server Mode = "server" // keeps records for others and answers queries
	Client Mode = "client" // only asks and announces: for a box that others cannot dial
)

// Options configure a swarm. Zero values are as the fields say; Datastore
// and Log are needed.
type Options struct {
	IdentityFile string   // made with mode 0600 if missing
	Listen       []string // multiaddrs; QUIC ones are left out when there is a Key
	Bootstrap    []string // multiaddrs, /dnsaddr, DNS names with or without port, http:// addresses of boxes
	Key          []byte   // the swarm key as NewKey makes it, or in libp2p's /key/swarm/psk/1.0.0/ form; nil: open swarm
	AllowPeers   []string // peer IDs; empty: all of the swarm
	Announce     []string // multiaddrs to announce instead of the own ones
	Mode         Mode     // "": Auto
	Local        bool     // announce and find on the network segment by mDNS
	Memory       int64    // bytes the process may use, from which bounds derive; 0: 512 MiB
	Files        int      // descriptors that the swarm may use; 0: 512
	UploadRate   int64    // bytes per second to all peers together; 0: unlimited
	// SiteUnlimited leaves members and local boxes of this site out of UploadRate.
	SiteUnlimited bool
	// AllowClients reports whether an apt client at an address may use this box. A
	// box there without the key is local if it is near as well; nil: none is.
	AllowClients func(netip.Addr) bool
	Datastore    ds.Batching
	Taken, Given func(peer string, n int64) // body bytes, as they flow
	Lag          *lag.Meter                 // how late this process is; nil: never
	Version      string
	Log          *slog.Logger
	Network      Network // the zero value: that of this machine
}

// Swarm is this box's part in the swarm. Its methods may be called from any
// goroutine, also before Run and after Close: they then find no peers.
type Swarm struct {
	options Options
	log     *slog.Logger
	key     pnet.PSK // nil: open swarm
	tag     string   // names the swarm without giving its key away

	host         host.Host
	gate         *gate
	dht          *dht.IpfsDHT
	boxes        *boxes
	places       *places
	rtts         *rtts
	missing      inventory.Missing
	bootstrap    *bootstrap
	redials      *redials
	announcer    *announcer
	records      *records
	reachability *reachability

	inventories *inventories
	reputation  *reputation.Table
	transfers   *transfers
	links       *links
	releases    *releases
	reports     *reports
	twins       *twins
	leaving     atomic.Bool // since Leave

	close   sync.Once
	closing chan struct{}
	running sync.WaitGroup // Run
}

var _ peer.Swarm = (*Swarm)(nil)

// New opens the listeners, so that a taken port is an error at once, and
// connects to nobody; Run does. libp2p starts goroutines here already: a Swarm
// has to be closed even if it never ran. The error names every mistake in o
// that can be seen without the network.
func New(o Options) (*Swarm, error) {
	s := &Swarm{options: o, log: o.Log, closing: make(chan struct{})}
	logTo(o.Log)
	var faults [3]error
	s.key, faults[0] = parseKey(o.Key)
	s.tag = swarmTag(s.key)
	var err error
	if s.reputation, err = reputation.New(o.Datastore, o.Log); err != nil {
		return nil, err
	}
	handshakes := newHandshakeLog(o.Log, s.key != nil)
	gate, fault := newGate(o.AllowPeers, s.reputation, handshakes)
	gate.public, gate.may = o.Network.isPublic(), s.may
	s.gate, faults[1] = gate, fault
	s.bootstrap, faults[2] = newBootstrap(o.Bootstrap, o.Log)
	if err := errors.Join(faults[:]...); err != nil {
		return nil, err
	}
	identity, err := loadIdentity(o.IdentityFile, o.Log)
	if err != nil {
		return nil, err
	}
	s.boxes = newBoxes()
	s.places = newPlaces(s, boundsOf(o.Memory, o.Files).neighbours)
	if s.host, err = newHost(o, identity, s.key, gate, handshakes, s.boxes); err != nil {
		return nil, err
	}
	s.records = newRecords(o.Datastore, boundsOf(o.Memory, o.Files).records, o.private(), s.self(), s.network)
	if s.dht, err = newDHT(s.host, o, s.tag, s.records); err != nil {
		return nil, errors.Join(err, s.host.Close())
	}
	s.bootstrap.host, s.bootstrap.boxes, s.bootstrap.gate, s.bootstrap.dial = s.host, s.boxes, s.gate, s.dialGiven
	s.redials = newRedials(s.dialNow, o.Log)
	s.rtts = newRTTs(s.host)
	s.rtts.measured, s.rtts.lag = s.regard, o.Lag.Now
	s.reachability = &reachability{}
	s.inventories = newInventories(s)
	s.announcer = newAnnouncer(o.Datastore, s.inventories.journal.Holds, o.Log)
	s.transfers = newTransfers(s)
	s.links = newLinks(s)
	s.releases = newReleases(s)
	s.reports = newReports(s)
	s.twins = newTwins(s, identity)
	return s, nil
}

// Run takes part in the swarm until ctx ends or Close is called; it then
// returns nil. It may be called once.
func (s *Swarm) Run(ctx context.Context, serving Serving) error {
	s.running.Add(1)
	defer s.running.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-s.closing:
			stop()
		case <-ctx.Done():
		}
		return nil
	})
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"serving blobs", func(ctx context.Context) error { return s.transfers.run(ctx, serving) }},
		{"exchanging inventories", s.inventories.run},
		{"answering requests for links", s.links.run},
		{"answering queries about Release files", func(ctx context.Context) error { return s.releases.run(ctx, serving.Releases) }},
		{"answering questions about figures", func(ctx context.Context) error { return s.reports.run(ctx, serving.Reporter) }},
		{"looking for boxes with this identity", s.twins.run},
		{"following connections", s.follow},
		{"measuring round trips", s.rtts.run},
		{"watching reachability", func(ctx context.Context) error { return s.reachability.run(ctx, s.host) }},
		{"bounding the records", s.records.run},
		{"following bootstrap entries", s.bootstrap.run},
		{"redialling boxes", s.redials.run},
		{"finding boxes on the network segment", s.discover},
		{"looking for boxes in the DHT", s.meet},
		{"offering what is held", func(ctx context.Context) error {
			offer(ctx, serving.Inventory.Watch(ctx, s.Widest()), s.inventories.journal, s.announcer)
			return nil
		}},
		{"announcing", func(ctx context.Context) error { return s.announcer.run(ctx, s.host, s.dht) }},
	} {
		group.Go(func() error {
			if err := part.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Close ends Run and waits for it, then closes the DHT, which writes its last
// records to the Datastore, then the host with its connections. When it
// returns nothing uses the Datastore or the Inventory any more.
func (s *Swarm) Close() error {
	var err error
	s.close.Do(func() {
		close(s.closing)
		s.running.Wait()
		err = errors.Join(s.dht.Close(), s.host.Close())
	})
	return err
}

// self is this box's peer ID.
func (s *Swarm) self() p2p.ID { return s.host.ID() }
