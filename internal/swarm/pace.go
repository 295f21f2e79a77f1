package swarm

import (
	"context"
	"io"
	"sync"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// maxPaced is the number of peers whose pace is remembered, more than can be
// connected.
const maxPaced = 1024

// pace slows each peer down to a rate, after a burst: it waits, so that an honest
// peer with much to tell loses nothing.
type pace struct {
	limit rate.Limit
	burst int

	mu    sync.Mutex // guards peers
	peers map[p2p.ID]*rate.Limiter
}

func newPace(perSecond rate.Limit, burst int) *pace {
	return &pace{limit: perSecond, burst: burst, peers: make(map[p2p.ID]*rate.Limiter)}
}

// wait returns when id may send n more, at most burst.
func (p *pace) wait(ctx context.Context, id p2p.ID, n int) error {
	return p.of(id).WaitN(ctx, n)
}

// of returns the limiter of id. To make room it forgets those that are as good as
// new, and if none is, all.
func (p *pace) of(id p2p.ID) *rate.Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.peers[id]; l != nil {
		return l
	}
	if len(p.peers) >= maxPaced {
		for id, l := range p.peers {
			if l.Tokens() >= float64(p.burst) {
				delete(p.peers, id)
			}
		}
	}
	if len(p.peers) >= maxPaced {
		clear(p.peers)
	}
	l := rate.NewLimiter(p.limit, p.burst)
	p.peers[id] = l
	return l
}

// pacedReader reads what id sends at its pace, in bytes.
type pacedReader struct {
	ctx  context.Context // the reader's own; ends its waits
	pace *pace
	id   p2p.ID
	from io.Reader
}

func (r *pacedReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b[:min(len(b), r.pace.burst)])
	if n > 0 {
		if late := r.pace.wait(r.ctx, r.id, n); late != nil {
			return n, late
		}
	}
	return n, err
}
