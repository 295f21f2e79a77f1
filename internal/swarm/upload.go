package swarm

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

const (
	// Uploads of downloads under way wait for bytes as long as these do, so
	// there must be slots for a site that wants 50 new files at once.
	maxUploads        = 128
	maxUploadsPerPeer = 32

	mostChunk  = 128 << 10
	leastChunk = 4 << 10
	// chunksPerSecond makes chunks small when the rate is: each of 32 peers has
	// its turn within half a second.
	chunksPerSecond = 64

	// While clients of this site are served at full speed each chunk of a peer
	// waits up to busySteps × busyStep, which leaves the peer 6 MB/s.
	busySteps = 2
	busyStep  = 10 * time.Millisecond
)

// uploads divides what this box sends among the peers. Each peer has one turn
// at a time in the queue for the common tokens, however many streams it has,
// and the queue is first come, first served: whoever wants more than the fair
// share gets the same as the others, and what one leaves the others have.
type uploads struct {
	busy    func() bool // nil: never
	tokens  *rate.Limiter
	perTurn atomic.Int64 // bytes

	mu    sync.Mutex // guards the fields below
	total int
	peers map[p2p.ID]*share
}

// share is what the uploads to one peer have in common.
type share struct {
	uploads int
	turn    chan struct{} // holds one token while an upload has the turn
}

type upload struct {
	all  *uploads
	id   p2p.ID
	free bool // of the rate
	*share
}

func newUploads(bytesPerSecond int64, busy func() bool) *uploads {
	u := &uploads{busy: busy, tokens: rate.NewLimiter(rate.Inf, mostChunk), peers: make(map[p2p.ID]*share)}
	u.setRate(bytesPerSecond)
	return u
}

func (u *uploads) setRate(bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		u.perTurn.Store(mostChunk)
		u.tokens.SetLimit(rate.Inf)
		return
	}
	chunk := min(max(bytesPerSecond/chunksPerSecond, leastChunk), mostChunk)
	u.perTurn.Store(chunk)
	u.tokens.SetLimit(rate.Limit(bytesPerSecond))
	// The burst stays at mostChunk, so that nobody in the queue with a larger
	// chunk of the rate before is refused.
}

// begin is false if no more is served at the moment. A free upload takes no
// tokens; the number of uploads and what clients need bound it all the same.
func (u *uploads) begin(id p2p.ID, free bool) (*upload, bool) {
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
	return &upload{all: u, id: id, free: free, share: s}, true
}

func (p *upload) end() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.all.total--
	if p.uploads--; p.uploads == 0 {
		delete(p.all.peers, p.id)
	}
}

// chunk is how many bytes to wait for at a time.
func (p *upload) chunk() int { return int(p.all.perTurn.Load()) }

// wait returns when n bytes, at most mostChunk, may be sent.
func (p *upload) wait(ctx context.Context, n int) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	for range busySteps {
		if p.all.busy == nil || !p.all.busy() {
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

// SetUploadRate changes the rate to all peers together; 0: unlimited.
func (s *Swarm) SetUploadRate(bytesPerSecond int64) { s.transfers.uploads.setRate(bytesPerSecond) }
