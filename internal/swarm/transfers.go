package swarm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"

	"millpond/internal/peer"
	"millpond/internal/swarm/blobproto"
)

// blobProtocol is the protocol that makes a libp2p peer a box.
const blobProtocol protocol.ID = "/millpond/blob/1"

const (
	dialStream = 10 * time.Second
	maxCounted = 1024
)

// transfers carries blobs to peers and from them, and counts the bytes.
type transfers struct {
	swarm  *Swarm
	server *blobproto.Server
	client *blobproto.Client

	mu     sync.Mutex // guards counts
	counts map[string]*counts
}

// counts are a peer's body bytes.
type counts struct{ taken, given atomic.Int64 }

func newTransfers(s *Swarm) *transfers {
	t := &transfers{swarm: s, counts: make(map[string]*counts)}
	t.server = blobproto.NewServer(blobproto.ServerOptions{
		Rate:      s.options.UploadRate,
		Kind:      func(id string) peer.Kind { return s.kind(idOf(id)) },
		Fetches:   func(id string) bool { return !s.leaving.Load() && s.may(idOf(id), fetching) },
		Unlimited: t.unlimited,
		Given:     t.gave,
		Log:       s.log,
	})
	t.client = blobproto.NewClient(blobproto.ClientOptions{
		Dial:    t.dial,
		RTT:     func(id string) time.Duration { return s.rtts.of(idOf(id)) },
		Stalled: func(id string) { s.rtts.suspect(idOf(id)) },
		Lag:     s.options.Lag.Now,
		Lied:    func(id, what string) { s.fault(idOf(id), peer.Lied, what) },
		Taken:   t.took,
	})
	return t
}

// idOf is the peer ID of which text is the text form; empty if it is none.
func idOf(text string) p2p.ID {
	id, err := p2p.Decode(text)
	if err != nil {
		return ""
	}
	return id
}

// run serves blobProtocol until ctx ends. Part of Run's group.
func (t *transfers) run(ctx context.Context, serving Serving) error {
	l, err := gostream.Listen(t.swarm.host, blobProtocol)
	if err != nil {
		return err
	}
	defer t.client.CloseIdle()
	return t.server.Serve(ctx, l, serving.Inventory, serving.Busy)
}

// unlimited reports whether id is exempt from the upload rate.
func (t *transfers) unlimited(id string) bool {
	p := idOf(id)
	return t.swarm.options.SiteUnlimited && t.swarm.nearby(p) && t.swarm.may(p, unmetered)
}

// dial opens a stream to id. It refuses relays, which are for signalling, as
// libp2p does by itself.
func (t *transfers) dial(ctx context.Context, id string) (blobproto.Stream, error) {
	p := idOf(id)
	if t.swarm.host.Network().Connectedness(p) == network.Limited {
		return nil, network.ErrLimitedConn // NewStream would wait for a direct one
	}
	ctx, cancel := context.WithTimeout(ctx, dialStream)
	defer cancel()
	c, err := gostream.Dial(ctx, t.swarm.host, p, blobProtocol)
	if err != nil {
		return nil, err
	}
	return c.(blobproto.Stream), nil
}

// count returns the counts of id. When there are too many, those of peers that
// disconnected are forgotten; the ledger keeps the sums.
func (t *transfers) count(id string) *counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[id]
	if c != nil {
		return c
	}
	if len(t.counts) >= maxCounted {
		for id := range t.counts {
			if t.swarm.host.Network().Connectedness(idOf(id)) == network.NotConnected {
				delete(t.counts, id)
			}
		}
	}
	c = &counts{}
	t.counts[id] = c
	return c
}

// took and gave count n body bytes as they flow.
func (t *transfers) took(id string, n int64) {
	t.count(id).taken.Add(n)
	if f := t.swarm.options.Taken; f != nil {
		f(id, n)
	}
}

func (t *transfers) gave(id string, n int64) {
	t.count(id).given.Add(n)
	if f := t.swarm.options.Given; f != nil {
		f(id, n)
	}
}

// sums are the bytes taken from id and given to it.
func (t *transfers) sums(id p2p.ID) (taken, given int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.counts[id.String()]; c != nil {
		return c.taken.Load(), c.given.Load()
	}
	return 0, 0
}

// SetUploadRate changes the rate to all peers together; 0: unlimited.
func (s *Swarm) SetUploadRate(bytesPerSecond int64) { s.transfers.server.SetRate(bytesPerSecond) }
