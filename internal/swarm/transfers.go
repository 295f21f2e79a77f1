package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
)

const (
	dialStream = 10 * time.Second
	// A peer's streams are pooled. libp2p's own limit for one protocol and
	// peer is 64.
	maxStreams     = 48
	maxIdleStreams = 8
	idleClient     = 90 * time.Second
	idleServer     = 2 * time.Minute // longer, or requests would meet a stream that closes
	maxCounted     = 1024
)

// transfers serves blobs to peers and takes from them.
type transfers struct {
	swarm   *Swarm
	uploads *uploads
	client  *http.Transport
	mux     *http.ServeMux
	// serving is read-locked by each request that is served and locked, for
	// good, when run ends: nothing uses Holdings after that.
	serving sync.RWMutex

	mu     sync.Mutex // guards counts
	counts map[p2p.ID]*counts
}

// counts are a peer's body bytes.
type counts struct{ taken, given atomic.Int64 }

func newTransfers(s *Swarm) *transfers {
	t := &transfers{
		swarm:   s,
		uploads: newUploads(s.options.UploadRate, s.options.Busy),
		mux:     http.NewServeMux(),
		counts:  make(map[p2p.ID]*counts),
	}
	t.client = &http.Transport{
		DialContext:            t.dial,
		DisableCompression:     true,
		MaxConnsPerHost:        maxStreams,
		MaxIdleConnsPerHost:    maxIdleStreams,
		IdleConnTimeout:        idleClient,
		MaxResponseHeaderBytes: maxHeader,
	}
	t.mux.HandleFunc("GET /blob/{digest}", t.serveBlob) // and HEAD
	t.mux.HandleFunc("GET /manifest/{digest}", t.serveManifest)
	t.mux.HandleFunc("GET /pieces/{digest}", t.servePieces)
	return t
}

// run serves blobProtocol until ctx ends. Part of Run's group.
func (t *transfers) run(ctx context.Context) error {
	l, err := gostream.Listen(t.swarm.host, blobProtocol)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(t.serve),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: writeTimeout,
		IdleTimeout:       idleServer,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(t.swarm.log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err = server.Serve(l)
	t.serving.Lock()
	t.client.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// dial opens a stream for the pool. It refuses relays, as libp2p does unless
// told otherwise: they are for signalling.
func (t *transfers) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	id, err := p2p.Decode(host)
	if err != nil {
		return nil, err
	}
	if t.swarm.host.Network().Connectedness(id) == network.Limited {
		return nil, network.ErrLimitedConn // NewStream would wait for a direct one
	}
	ctx, cancel := context.WithTimeout(ctx, dialStream)
	defer cancel()
	c, err := gostream.Dial(ctx, t.swarm.host, id, blobProtocol)
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	return conn{c, c.(network.Stream).Reset}, nil
}

// count returns the counts of id. When there are too many boxes those that
// left are forgotten; the ledger is where sums are kept.
func (t *transfers) count(id p2p.ID) *counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts[id]
	if c != nil {
		return c
	}
	if len(t.counts) >= maxCounted {
		for id := range t.counts {
			if t.swarm.host.Network().Connectedness(id) == network.NotConnected {
				delete(t.counts, id)
			}
		}
	}
	c = &counts{}
	t.counts[id] = c
	return c
}

// took and gave count n body bytes as they flow.
func (t *transfers) took(id p2p.ID, n int64) {
	t.count(id).taken.Add(n)
	if f := t.swarm.options.Taken; f != nil {
		f(id.String(), n)
	}
}

func (t *transfers) gave(id p2p.ID, n int64) {
	t.count(id).given.Add(n)
	if f := t.swarm.options.Given; f != nil {
		f(id.String(), n)
	}
}

// describe fills in Taken and Given.
func (t *transfers) describe(info *PeerInfo, id p2p.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.counts[id]; c != nil {
		info.Taken, info.Given = c.taken.Load(), c.given.Load()
	}
}
