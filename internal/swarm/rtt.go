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

	"millpond/internal/broadcast"
)

const (
	pingEvery   = 5 * time.Second
	pingTimeout = 5 * time.Second
	// maxMissed is the number of unanswered pings in a row after which a box is
	// disconnected. Pulling a cable closes no connection, and TCP would keep it
	// for minutes, in which this box would request each file from that box first.
	maxMissed = 2
	// lateShare is the share of pingTimeout, 1/4, that this process may be late by and
	// still judge that a ping is unanswered.
	lateShare   = 4
	pingsAtOnce = 8 // boxes, but for those that have just connected
	firstPings  = 4 // when a box connects
	// firstPingRetry is the wait after a first ping that the other box refused; it
	// doubles each time.
	firstPingRetry = 50 * time.Millisecond
	// rttWeight is the share of a new sample in the smoothed value: 1/8, as
	// TCP has it (RFC 6298, section 2.3).
	rttWeight = 8
	// rttSamples are kept for their minimum, which depends on distance alone; the
	// mean depends on load too. They are those of five minutes, in which a busy box
	// has a quiet moment, and so stays a local one.
	rttSamples = 60
)

// rtts measures the round trips to the connected boxes.
type rtts struct {
	host host.Host
	ping func(context.Context, p2p.ID) (time.Duration, error)
	// hangUp closes the connections to a box.
	hangUp func(p2p.ID)
	// measured is called after each round of pings to a box.
	measured func(p2p.ID)
	// lag is how late this process is.
	lag   func() time.Duration
	wake  broadcast.Wake
	turns chan struct{} // holds a token for each box that is pinged again

	mu    sync.Mutex // guards known
	known map[p2p.ID]*rtt
}

type rtt struct {
	smoothed time.Duration
	last     []time.Duration // at most rttSamples
	missed   int             // pings in a row without an answer; at least 1 while suspected
	pinging  bool
	again    bool // suspected while pinging
}

func newRTTs(h host.Host) *rtts {
	return &rtts{
		host: h,
		ping: func(ctx context.Context, id p2p.ID) (time.Duration, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel() // Ping goes on otherwise
			r, ok := <-ping.Ping(network.WithNoDial(network.WithAllowLimitedConn(ctx, "ping"), "ping"), h, id)
			if !ok { // ctx has ended before an answer
				return 0, context.Cause(ctx)
			}
			return r.RTT, r.Error
		},
		hangUp:   func(id p2p.ID) { h.Network().ClosePeer(id) },
		measured: func(p2p.ID) {},
		lag:      func() time.Duration { return 0 },
		wake:     broadcast.NewWake(),
		turns:    make(chan struct{}, pingsAtOnce),
		known:    make(map[p2p.ID]*rtt),
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

// of returns the smoothed round trip to id; 0 if unknown.
func (r *rtts) of(id p2p.ID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[id]; k != nil {
		return k.smoothed
	}
	return 0
}

// min returns the shortest of the last round trips; 0 until there are firstPings,
// since a single one may coincide with a busy moment.
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
		return // disconnected meanwhile
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

// suspect is called when id did not answer a request. It is pinged at once and
// counts as unresponsive until it answers, after a round trip if it was only busy.
func (r *rtts) suspect(id p2p.ID) {
	r.mu.Lock()
	if k := r.known[id]; k != nil {
		k.missed = max(k.missed, 1)
		k.again = k.pinging
	}
	r.mu.Unlock()
	r.wake.Call()
}

// unresponsive reports whether id left a request or ping unanswered and has not
// answered a ping since.
func (r *rtts) unresponsive(id p2p.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[id]
	return k != nil && k.missed > 0
}

// miss records an unanswered ping and disconnects the box after maxMissed.
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

// run measures each box when it connects or is suspected, and every pingEvery. A
// box that has just connected waits for no other, since its kind depends on the
// result.
func (r *rtts) run(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	var pings sync.WaitGroup
	defer pings.Wait()
	for {
		all := false
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
			all = true
		}
		for id, first := range r.due(all) {
			pings.Go(func() {
				defer r.pinged(id)
				if first {
					r.begin(ctx, id)
					return
				}
				r.turns <- struct{}{}
				defer func() { <-r.turns }()
				limit, cancel := context.WithTimeout(ctx, pingTimeout)
				defer cancel()
				r.sample(ctx, limit, id)
			})
		}
	}
}

// due returns the boxes to ping now, and whether they are new: those, unresponsive
// ones and, if all is set, the others. pinged must be called for each.
func (r *rtts) due(all bool) map[p2p.ID]bool {
	due := make(map[p2p.ID]bool)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.known {
		if first := len(k.last) < firstPings; !k.pinging && (first || all || k.missed > 0) {
			due[id] = first
			k.pinging = true
		}
	}
	return due
}

// pinged ends what due began.
func (r *rtts) pinged(id p2p.ID) {
	r.mu.Lock()
	if k := r.known[id]; k != nil {
		k.pinging = false
		if k.again {
			k.again = false
			r.wake.Call()
		}
	}
	r.mu.Unlock()
	r.measured(id)
}

// begin pings a new box firstPings times, within pingTimeout. It repeats what the
// box refuses: the other end limits the streams, and counts that of the previous
// ping until it has seen its end.
func (r *rtts) begin(ctx context.Context, id p2p.ID) {
	limit, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	wait := firstPingRetry
	for n := 0; n < firstPings; {
		if r.sample(ctx, limit, id) {
			n++
			continue
		}
		select {
		case <-limit.Done():
			return
		case <-time.After(wait):
			wait *= 2
		}
	}
}

// sample pings id once before limit ends, and reports whether it answered.
func (r *rtts) sample(ctx, limit context.Context, id p2p.ID) bool {
	sample, err := r.ping(limit, id)
	// A refused ping does not count as unanswered, nor does one whose answer this
	// process may not have come to read.
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && r.lag() <= pingTimeout/lateShare {
		r.miss(id)
	}
	if err == nil {
		r.add(id, sample)
	}
	return err == nil
}
