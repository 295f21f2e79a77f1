package swarm

import (
	"context"
	"errors"
	"log/slog"
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

// A refused peer tries again for ever: one line for each address in this time.
const refusalEvery = 10 * time.Minute

// A caller that tries several addresses at once drops all but one of its
// connections in mid-handshake; so much later it is not one of those.
const afterAccept = 10 * time.Second

// maxRefusals bounds the addresses remembered; when it is reached all are
// forgotten, which costs no more than lines that come early.
const maxRefusals = 256

// handshakeLog logs the peers that were refused.
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
		r.logger.Warn("peer refused", append([]any{"addr", addr, "why", why}, attrs...)...)
	}
}

// place is addr without its port, which is always new on inbound connections.
func place(addr ma.Multiaddr) string {
	if ip, err := manet.ToIP(addr); err == nil {
		return ip.String()
	}
	return addr.String()
}

// accepted is called for each box that was accepted.
func (r *handshakeLog) accepted(addr ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.acceptedAt) >= maxRefusals {
		clear(r.acceptedAt)
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
		clear(r.logged)
	}
	r.logged[what] = now
	return true
}

// failed logs a peer that completed TCP but failed our handshake. libp2p has no
// error for a wrong key: either side sees random bytes and hangs up.
func (r *handshakeLog) failed(addr ma.Multiaddr) {
	switch {
	case r.acceptedNow(addr):
	case r.private:
		r.log(addr, "it has another swarm key or none, or it is not a box")
	default:
		r.log(addr, "it has a swarm key and this box has none, or it is not a box")
	}
}

// tcp is the constructor of libp2p's TCP transport with a watch on the
// handshakes.
func (r *handshakeLog) tcp(u transport.Upgrader, limits network.ResourceManager) (*tcp.TcpTransport, error) {
	return tcp.NewTCPTransport(&watchedUpgrader{u, r}, limits, nil)
}

// watchedUpgrader is the one place where failed handshakes of both directions
// can be seen: libp2p itself drops inbound ones silently.
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
	// A wrong key often looks like a handshake that stalls. A dial that was
	// called off says nothing.
	calledOff := errors.Is(ctx.Err(), context.Canceled)
	if err != nil && !calledOff && c.foreign() {
		u.handshakes.failed(conn.RemoteMultiaddr())
	}
	return upgraded, err
}

// handshakeKey is where the context of an outbound Upgrade has its *handshake.
type handshakeKey struct{}

// observed notes that both ends of an outbound connection have agreed on how to
// secure it. What fails after that is not due to the swarm key: the box is
// another one than was dialled, or it dialled too (see dialFound).
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
	return &handshake{Conn: conn, inbound: l.handshakes}, scope, nil
}

// handshake is a connection that knows whether the other end failed our
// handshake.
type handshake struct {
	manet.Conn
	inbound *handshakeLog // gets a line at Close if so; nil on outbound ones
	known   atomic.Bool   // the other end has this swarm's key, or neither has one
	read    atomic.Bool   // something came: a mere probe of the port sends nothing
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
