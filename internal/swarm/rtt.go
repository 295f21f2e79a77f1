package swarm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"golang.org/x/sync/errgroup"

	"millpond/internal/broadcast"
)

const (
	pingEvery   = 5 * time.Second
	pingTimeout = 5 * time.Second
	// maxMissed is after how many pings in a row without an answer a box counts
	// as gone: a cable pulled out closes no connection, and TCP would keep one
	// for minutes, in which each file would first be asked of that box.
	maxMissed   = 2
	pingsAtOnce = 8 // boxes
	firstPings  = 4 // when a box connects
	// rttWeight is the share of a new sample in the smoothed value: 1/8, as
	// TCP has it (RFC 6298, section 2.3).
	rttWeight = 8
	// rttSamples are kept for the shortest one: that tells how far a box is,
	// where the mean tells how busy it is too.
	rttSamples = 8
)

// rtts measures the round trips to the connected boxes.
type rtts struct {
	host host.Host
	ping func(context.Context, p2p.ID) (time.Duration, error)
	// hangUp closes the connections with a box.
	hangUp func(p2p.ID)
	wake   broadcast.Wake

	mu    sync.Mutex // guards known
	known map[p2p.ID]*rtt
}

type rtt struct {
	smoothed time.Duration
	last     []time.Duration // at most rttSamples
	missed   int             // pings in a row without an answer; at least 1 while suspected
}

func newRTTs(h host.Host) *rtts {
	return &rtts{
		host: h,
		ping: func(ctx context.Context, id p2p.ID) (time.Duration, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel() // Ping goes on otherwise
			r, ok := <-ping.Ping(network.WithAllowLimitedConn(ctx, "ping"), h, id)
			if !ok { // ctx has ended before an answer
				return 0, context.Cause(ctx)
			}
			return r.RTT, r.Error
		},
		hangUp: func(id p2p.ID) { h.Network().ClosePeer(id) },
		wake:   broadcast.NewWake(),
		known:  make(map[p2p.ID]*rtt),
	}
}

func (r *rtts) connected(id p2p.ID) {
	r.mu.Lock()
	r.known[id] = &rtt{}
	r.mu.Unlock()
	r.wake.Call()
}

func (r *rtts) disconnected(id p2p.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, id)
}

// of is the smoothed round trip to id; 0 when it is not known.
func (r *rtts) of(id p2p.ID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[id]; k != nil {
		return k.smoothed
	}
	return 0
}

// min is the shortest of the last round trips; 0 until there are firstPings,
// since one alone may have met a busy moment.
func (r *rtts) min(id p2p.ID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[id]; k != nil && len(k.last) >= firstPings {
		return slices.Min(k.last)
	}
	return 0
}

func (r *rtts) add(id p2p.ID, sample time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[id]
	if k == nil {
		return // gone meanwhile
	}
	if k.smoothed == 0 {
		k.smoothed = sample
	} else {
		k.smoothed += (sample - k.smoothed) / rttWeight
	}
	if len(k.last) == rttSamples {
		k.last = slices.Delete(k.last, 0, 1)
	}
	k.last = append(k.last, sample)
	k.missed = 0
}

// suspect is called when id let a request go unanswered. It is pinged at once
// and unresponsive until it answers; alive and busy, it is back in a round trip.
func (r *rtts) suspect(id p2p.ID) {
	r.mu.Lock()
	if k := r.known[id]; k != nil {
		k.missed = max(k.missed, 1)
	}
	r.mu.Unlock()
	r.wake.Call()
}

// unresponsive reports whether id let something go unanswered and has not
// answered a ping since.
func (r *rtts) unresponsive(id p2p.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[id]
	return k != nil && k.missed > 0
}

// miss notes a ping without an answer and hangs up on a box that is gone.
func (r *rtts) miss(id p2p.ID) {
	r.mu.Lock()
	k := r.known[id]
	gone := false
	if k != nil {
		k.missed++
		gone = k.missed >= maxMissed
	}
	r.mu.Unlock()
	if gone {
		r.hangUp(id)
	}
}

// run measures each box when it connects or is suspected, and every pingEvery.
func (r *rtts) run(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
			all = true
		}
		r.measure(ctx, all)
	}
}

// measure pings the boxes: a new one firstPings times, an unresponsive one once, and
// with all the others once.
func (r *rtts) measure(ctx context.Context, all bool) {
	due := make(map[p2p.ID]int)
	r.mu.Lock()
	for id, k := range r.known {
		if n := firstPings - len(k.last); n > 0 {
			due[id] = n
		} else if all || k.missed > 0 {
			due[id] = 1
		}
	}
	r.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(pingsAtOnce)
	for id, n := range due {
		group.Go(func() error {
			run := ctx
			ctx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			for range n {
				sample, err := r.ping(ctx, id)
				// A ping that is refused is no silence: the other box counts the
				// stream of the one before until it has seen its end, and has a
				// limit on them.
				if errors.Is(err, context.DeadlineExceeded) && run.Err() == nil {
					r.miss(id)
				}
				if err != nil {
					break // a box that does not answer has no figure
				}
				r.add(id, sample)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return nil
}
