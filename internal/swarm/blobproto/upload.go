package blobproto

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// An upload of a download in progress lasts as long as the download, so the
	// slots must suffice for a site that requests 50 new files at once.
	maxUploads        = 128
	maxUploadsPerPeer = 32

	maxChunk = 128 << 10
	minChunk = 4 << 10
	// chunksPerSecond makes chunks small at low rates, so that each of 32 peers
	// gets a turn within half a second.
	chunksPerSecond = 64

	// While clients are served at full speed each chunk to a peer waits up to
	// busySteps × busyStep, which leaves the peer 6 MB/s.
	busySteps = 2
	busyStep  = 10 * time.Millisecond
)

// uploads divides the upload rate among the peers. A peer has at most one place
// in the queue for tokens, whatever the number of its streams, and the queue is
// first come, first served. So all peers that want more than their fair share get
// the same, and unused shares are divided among them.
type uploads struct {
	tokens  *rate.Limiter
	perTurn atomic.Int64 // bytes

	mu    sync.Mutex // guards the fields below
	total int
	peers map[string]*share
}

// share is the common state of the uploads to one peer.
type share struct {
	uploads int
	turn    chan struct{} // holds one token while an upload has the turn
}

type upload struct {
	all  *uploads
	id   string
	free bool        // of the rate
	busy func() bool // nil: never
	*share
}

func newUploads(bytesPerSecond int64) *uploads {
	u := &uploads{tokens: rate.NewLimiter(rate.Inf, maxChunk), peers: make(map[string]*share)}
	u.setRate(bytesPerSecond)
	return u
}

func (u *uploads) setRate(bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		u.perTurn.Store(maxChunk)
		u.tokens.SetLimit(rate.Inf)
		return
	}
	chunk := min(max(bytesPerSecond/chunksPerSecond, minChunk), maxChunk)
	u.perTurn.Store(chunk)
	u.tokens.SetLimit(rate.Limit(bytesPerSecond))
	// The burst stays at maxChunk, so that a waiting upload with a larger chunk,
	// from the previous rate, is not refused.
}

// begin returns false if all slots are taken. A free upload takes no tokens, but it
// takes a slot and waits while clients are busy.
func (u *uploads) begin(id string, free bool, busy func() bool) (*upload, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.peers[id]
	if u.total >= maxUploads || (s != nil && s.uploads >= maxUploadsPerPeer) {
		return nil, false
	}
	if s == nil {
		s = &share{turn: make(chan struct{}, 1)}
		u.peers[id] = s
	}
	s.uploads++
	u.total++
	return &upload{all: u, id: id, free: free, busy: busy, share: s}, true
}

func (p *upload) end() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.all.total--
	if p.uploads--; p.uploads == 0 {
		delete(p.all.peers, p.id)
	}
}

// chunk returns how many bytes to wait for at a time.
func (p *upload) chunk() int { return int(p.all.perTurn.Load()) }

// wait returns when n bytes, at most maxChunk, may be sent.
func (p *upload) wait(ctx context.Context, n int) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	for range busySteps {
		if p.busy == nil || !p.busy() {
			break
		}
		select {
		case <-time.After(busyStep):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.free {
		return nil
	}
	return p.all.tokens.WaitN(ctx, n)
}
