package swarm

import (
	"context"
	"fmt"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	dhtrecords "github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
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
	// A peer's requests: a box of 200,000 blobs announces them all to each of the
	// boxes that keep its records within a minute.
	requestPace  = 5000 // per second
	requestBurst = 20_000
	// maxProviderAddrs of one box are kept, of those that it or others tell.
	maxProviderAddrs = 16
)

// lookAgain holds the waits between the searches for other boxes after joining.
// Boxes that join through the same box at the same time do not learn of each
// other at first, and the DHT's own refresh runs every 10 min.
var lookAgain = [...]time.Duration{3 * time.Second, 15 * time.Second, time.Minute}

// dhtPrefix separates the DHT of one swarm from all others.
func dhtPrefix(tag string) protocol.ID { return protocol.ID("/millpond/" + tag) }

// newDHT makes this box a node of a DHT that has provider records only. They are
// kept in r, which is ordered: libp2p's default, a map, reads all records for each
// look-up. Private addresses count like public ones.
func newDHT(h host.Host, o Options, tag string, r *records) (*dht.IpfsDHT, error) {
	requests := newPace(requestPace, requestBurst)
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
	options := []dht.Option{
		dht.ProtocolPrefix(dhtPrefix(tag)),
		dht.Mode(mode),
		dht.DisableValues(),
		dht.ProviderDatastore(r),
		dht.ProviderManagerOpts(
			dhtrecords.ProvideValidity(recordValidity),
			dhtrecords.ProviderAddrTTL(providerAddrTTL),
		),
		// A request waits here for its turn; it cannot be refused.
		dht.OnRequestHook(func(ctx context.Context, st network.Stream, _ *pb.Message) {
			_ = requests.wait(ctx, st.Conn().RemotePeer(), 1) // fails when the DHT is closing
		}),
		dht.AddressFilter(func(addrs []ma.Multiaddr) []ma.Multiaddr {
			return addrs[:min(len(addrs), maxProviderAddrs)]
		}),
	}
	if !o.private() {
		options = append(options, dht.RoutingTablePeerDiversityFilter(newDiversity(h, r.network)))
	}
	d, err := dht.New(trimmable{h}, options...)
	if err != nil {
		return nil, fmt.Errorf("starting the DHT: %w", err)
	}
	return d, nil
}

// trimmable is a host to whose connections the DHT gives a value and no protection.
// Otherwise it protects half of its routing table, strangers too.
type trimmable struct{ host.Host }

func (h trimmable) ConnManager() connmgr.ConnManager { return unprotecting{h.Host.ConnManager()} }

type unprotecting struct{ connmgr.ConnManager }

// routingValue is what a place in the routing table adds, as in kad-dht's other buckets.
const routingValue = 5

func (c unprotecting) Protect(id p2p.ID, tag string) { c.TagPeer(id, tag, routingValue) }

func (unprotecting) Unprotect(p2p.ID, string) bool { return false }

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
