package swarm

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A refused peer retries without end: one log line per network (see partyOf) in this time.
const refusalEvery = 10 * time.Minute

// A box that dials several addresses at once closes all but one of its connections
// during the handshake. Within afterAccept of an accepted connection such a
// failure is not logged.
const afterAccept = 10 * time.Second

// maxRefusals bounds the lines within refusalEvery, and the addresses remembered.
const maxRefusals = 256

// handshakeLog logs refused peers.
type handshakeLog struct {
	logger  *slog.Logger
	private bool // this swarm has a key

	mu         sync.Mutex // guards the fields below
	logged     map[string]time.Time
	acceptedAt map[string]time.Time // addresses from which a box was accepted
}

func newHandshakeLog(log *slog.Logger, private bool) *handshakeLog {
	return &handshakeLog{logger: log, private: private, logged: make(map[string]time.Time), acceptedAt: make(map[string]time.Time)}
}

// log writes a line about the peer at addr unless there was one recently.
func (r *handshakeLog) log(addr ma.Multiaddr, why string, attrs ...any) {
	if r.due(place(addr)+" "+why, time.Now()) {
		r.logger.Warn("peer refused", append([]any{"addr", addr, "err", why}, attrs...)...)
	}
}

// place returns the network of addr, without the port, which differs for each inbound
// connection.
func place(addr ma.Multiaddr) string {
	if at := partyOf(addrOf(addr)); at.IsValid() {
		return at.String()
	}
	return addr.String()
}

// accepted is called for each box that was accepted.
func (r *handshakeLog) accepted(addr ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.acceptedAt) >= maxRefusals {
		clear(r.acceptedAt) // lines that might have been left out appear
	}
	r.acceptedAt[place(addr)] = time.Now()
}

func (r *handshakeLog) acceptedNow(addr ma.Multiaddr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.acceptedAt[place(addr)]) < afterAccept
}

func (r *handshakeLog) due(what string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.logged[what]; ok && now.Sub(last) < refusalEvery {
		return false
	}
	if len(r.logged) >= maxRefusals {
		maps.DeleteFunc(r.logged, func(_ string, last time.Time) bool { return now.Sub(last) >= refusalEvery })
	}
	if len(r.logged) >= maxRefusals {
		return false
	}
	r.logged[what] = now
	return true
}

// failed logs a peer that completed TCP but failed our handshake. libp2p has no
// error for a wrong key: each side reads random bytes and closes the connection.
func (r *handshakeLog) failed(addr ma.Multiaddr) {
	switch {
	case r.acceptedNow(addr):
	case r.private:
		r.log(addr, "it has another swarm key or none, or it is not a box")
	default:
		r.log(addr, "it has a swarm key and this box has none, or it is not a box")
	}
}

// tcp constructs libp2p's TCP transport with an upgrader that logs failed
// handshakes.
func (r *handshakeLog) tcp(u transport.Upgrader, limits network.ResourceManager) (*tcp.TcpTransport, error) {
	return tcp.NewTCPTransport(&watchedUpgrader{u, r}, limits, nil)
}

// watchedUpgrader detects failed handshakes in both directions: libp2p itself
// drops inbound ones silently.
type watchedUpgrader struct {
	transport.Upgrader
	handshakes *handshakeLog
}

func (u *watchedUpgrader) UpgradeGatedMaListener(t transport.Transport, l transport.GatedMaListener) transport.Listener {
	return u.Upgrader.UpgradeGatedMaListener(t, &watchedListener{l, u.handshakes})
}

func (u *watchedUpgrader) Upgrade(ctx context.Context, t transport.Transport, conn manet.Conn, dir network.Direction, id p2p.ID, scope network.ConnManagementScope) (transport.CapableConn, error) {
	c := &handshake{Conn: conn}
	upgraded, err := u.Upgrader.Upgrade(context.WithValue(ctx, handshakeKey{}, c), t, c, dir, id, scope)
	// With a wrong key the handshake often stalls. A cancelled dial proves
	// nothing.
	cancelled := errors.Is(ctx.Err(), context.Canceled)
	if err != nil && !cancelled && c.foreign() {
		u.handshakes.failed(conn.RemoteMultiaddr())
	}
	return upgraded, err
}

// handshakeKey is the context key of the *handshake of an outbound Upgrade.
type handshakeKey struct{}

// observed records that both ends of an outbound connection agreed on a security
// protocol. Later failures are not due to the swarm key: another box answered than
// was dialled, or both ends dialled (see dialFound).
type observed struct{ sec.SecureTransport }

func (w observed) SecureOutbound(ctx context.Context, conn net.Conn, id p2p.ID) (sec.SecureConn, error) {
	if c, ok := ctx.Value(handshakeKey{}).(*handshake); ok {
		c.known.Store(true)
	}
	return w.SecureTransport.SecureOutbound(ctx, conn, id)
}

type newSecurity[T sec.SecureTransport] func(protocol.ID, crypto.PrivKey, []upgrader.StreamMuxer) (T, error)

// observe is the constructor of an observed security transport.
func observe[T sec.SecureTransport](of newSecurity[T]) newSecurity[observed] {
	return func(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (observed, error) {
		t, err := of(id, key, muxers)
		return observed{t}, err
	}
}

type watchedListener struct {
	transport.GatedMaListener
	handshakes *handshakeLog
}

func (l *watchedListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	conn, scope, err := l.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	if c, ok := scope.(*admittedConn); ok {
		hangUp := func() { conn.Close() }
		c.close.Store(&hangUp)
	}
	return &handshake{Conn: conn, inbound: l.handshakes}, scope, nil
}

// handshake is a connection that records whether the other end failed our
// handshake.
type handshake struct {
	manet.Conn
	inbound *handshakeLog // gets a line at Close if so; nil on outbound ones
	known   atomic.Bool   // the other end has this swarm's key, or neither has one
	read    atomic.Bool   // the other end sent something; a port scan sends nothing
	closed  atomic.Bool
}

func (h *handshake) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n > 0 && !h.read.Load() {
		h.read.Store(true)
	}
	return n, err
}

func (h *handshake) Close() error {
	if h.inbound != nil && !h.closed.Swap(true) && h.foreign() {
		h.inbound.failed(h.RemoteMultiaddr())
	}
	return h.Conn.Close()
}

func (h *handshake) foreign() bool { return h.read.Load() && !h.known.Load() }
