package swarm

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/broadcast"
	"millpond/internal/swarm/quota"
)

const (
	// A box that disconnected is redialled after about firstRedial, then after
	// twice as long each time, up to lastRedial.
	firstRedial = time.Second
	lastRedial  = time.Minute
	// lostFor is how long a box is redialled. After that it has most likely
	// changed its address or shut down; the bootstrap entries and the DHT may
	// still find it.
	lostFor = time.Hour
	// maxLost boxes are redialled, each by a goroutine.
	maxLost = 256
)

// redials reconnects boxes that disconnected. The bootstrap entries name some
// boxes only, and the DHT refreshes only after minutes or when no box is
// connected: without redials, two boxes that lost their connection to each other
// but not to a third would stay disconnected.
type redials struct {
	dial func(ctx context.Context, to p2p.AddrInfo, given []ma.Multiaddr) error // dialNow
	log  *slog.Logger
	wake broadcast.Wake
	// slots are divided among the networks, so that identities that come and go
	// leave room for the boxes of others.
	slots *quota.Quota[netip.Prefix]

	mu    sync.Mutex // guards the fields below, and each stop
	lost  map[p2p.ID]*lost
	waits map[p2p.ID]time.Duration // of connected boxes: how long the last redial waited
}

// lost is a box that disconnected.
type lost struct {
	p2p.AddrInfo
	at      netip.Prefix
	reached []ma.Multiaddr     // where it was connected
	wait    time.Duration      // before the next redial, about
	stop    context.CancelFunc // nil: not yet being redialled
}

func newRedials(dial func(context.Context, p2p.AddrInfo, []ma.Multiaddr) error, log *slog.Logger) *redials {
	return &redials{dial: dial, log: log, wake: broadcast.NewWake(), slots: quota.New[netip.Prefix](maxLost, networkWeight), lost: make(map[p2p.ID]*lost), waits: make(map[p2p.ID]time.Duration)}
}

// connected and disconnected are called in order for each box and must not block.
func (r *redials) connected(id p2p.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lost[id]; l != nil {
		r.waits[id] = l.wait
		r.forget(l)
	}
}

// disconnected has a box redialled that was connected for a time. If that was short,
// the waits go on where they were: a box without room for this one hangs up again
// each time.
func (r *redials) disconnected(info p2p.AddrInfo, reached []ma.Multiaddr, lasted time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(r.lost[info.ID])
	wait := firstRedial
	if lasted < steadyFor {
		wait = max(wait, r.waits[info.ID])
	}
	delete(r.waits, info.ID)
	info.Addrs = append(slices.Clone(reached), info.Addrs...)
	l := &lost{AddrInfo: info, reached: reached, wait: wait}
	if len(info.Addrs) > 0 {
		l.at = partyOf(addrOf(info.Addrs[0]))
	}
	if r.slots.Take(l.at, 1) == 0 {
		return // the bootstrap entries and the DHT may find it
	}
	r.lost[info.ID] = l
	r.wake.Call()
}

// dismissed is called for a box that this one hung up on: it is not redialled.
func (r *redials) dismissed(id p2p.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waits, id)
}

// forget stops redialling l, which may be nil. The caller holds r.mu.
func (r *redials) forget(l *lost) {
	if l == nil {
		return
	}
	if l.stop != nil {
		l.stop()
	}
	if r.lost[l.ID] == l {
		delete(r.lost, l.ID)
		r.slots.Give(l.at, 1)
	}
}

// run redials lost boxes until ctx ends.
func (r *redials) run(ctx context.Context) error {
	var dialling sync.WaitGroup
	defer dialling.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		r.mu.Lock()
		for _, l := range r.lost {
			if l.stop != nil {
				continue
			}
			ctx, stop := context.WithTimeout(ctx, lostFor)
			l.stop = stop
			dialling.Go(func() {
				r.redial(ctx, l)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.forget(l)
			})
		}
		r.mu.Unlock()
	}
}

// redial dials until ctx ends; connected ends it, whichever side dialled. Two
// boxes that dial each other at the same instant may both fail (see dialFound),
// so the waits are random.
func (r *redials) redial(ctx context.Context, l *lost) {
	for {
		r.mu.Lock()
		wait := l.wait
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		r.mu.Lock()
		l.wait = min(2*wait, lastRedial)
		r.mu.Unlock()
		dialling, cancel := context.WithTimeout(ctx, joinTimeout)
		err := r.dial(dialling, l.AddrInfo, l.reached)
		cancel()
		switch {
		case errors.Is(err, swarm.ErrGaterDisallowedConnection):
			return // banned
		case err != nil && ctx.Err() == nil:
			r.log.Debug("redial failed", "peer", l.ID, "err", err)
		}
	}
}
