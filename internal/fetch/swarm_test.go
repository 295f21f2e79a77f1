package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch/pieces"
	"millpond/internal/peer"
)

// boxes is a swarm in memory.
type boxes struct {
	mu          sync.Mutex
	seeds       map[digest.Digest][]*box
	downloaders map[digest.Digest][]*box
	owners      map[digest.Digest][]*box
	far         map[digest.Digest][]*box // that the DHT knows
	asked       map[digest.Digest]int    // calls that say what this box looks for
	announced   map[digest.Digest][]bool
	findBlocks  bool
	widest      peer.Kind
	finds       atomic.Int64
	streams     atomic.Int64 // open now, of all boxes
	peak        atomic.Int64
}

var _ peer.Swarm = (*boxes)(nil)

func newBoxes() *boxes {
	m := func() map[digest.Digest][]*box { return make(map[digest.Digest][]*box) }
	return &boxes{
		seeds: m(), downloaders: m(), owners: m(), far: m(),
		asked: make(map[digest.Digest]int), announced: make(map[digest.Digest][]bool),
	}
}

func (s *boxes) list(of map[digest.Digest][]*box, d digest.Digest) []peer.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[d]++
	var all []peer.Peer
	for _, b := range of[d] {
		all = append(all, b)
	}
	return all
}

func (s *boxes) Seeds(d digest.Digest) []peer.Peer       { return s.list(s.seeds, d) }
func (s *boxes) Downloaders(d digest.Digest) []peer.Peer { return s.list(s.downloaders, d) }
func (s *boxes) Owners(d digest.Digest) []peer.Peer      { return s.list(s.owners, d) }

func (s *boxes) Find(ctx context.Context, d digest.Digest) iter.Seq[peer.Peer] {
	return func(yield func(peer.Peer) bool) {
		s.finds.Add(1)
		for _, b := range s.list(s.far, d) {
			if !yield(b) {
				return
			}
		}
		if s.findBlocks {
			<-ctx.Done()
		}
	}
}

func (s *boxes) Widest() peer.Kind { return s.widest }

func (s *boxes) Announce(d digest.Digest, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced[d] = append(s.announced[d], on)
}

// announcements are what was announced of d so far.
func (s *boxes) announcements(d digest.Digest) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.announced[d])
}

// box is another box that has one file, or says so. The fields are set before
// it is used.
type box struct {
	name   string
	site   *boxes
	far    bool
	data   []byte
	rate   int64         // bytes per second of each stream; 0: no limit
	first  time.Duration // until a stream's first byte
	absent bool          // 404 for what it lists

	wrong    []int                           // pieces in which it lies
	size     int64                           // that it tells, if not 0
	endless  bool                            // goes on past the end
	limit    int64                           // what a stream brings before it ends by silence or a cut
	silent   bool                            // by silence
	manifest func() ([]digest.Digest, error) // nil: that of the file
	stated   atomic.Bool                     // it was asked for manifest, and had one
	busy     atomic.Int64                    // how often it is busy yet
	dead     atomic.Bool                     // gone, with its streams
	life     int                             // how many requests it answers before it is gone, if not 0
	standing peer.Standing
	release  func(context.Context, peer.ReleaseQuery) (peer.ReleaseAnswer, error) // nil: it has no suite

	mu      sync.Mutex
	grown   int64         // bytes it has so far, of one that is downloading
	grew    chan struct{} // closed and replaced; nil: it has them all
	opened  []int64       // offsets asked for
	fetched []peer.Fetch  // what it was asked to do when it lacks the file
	reports []peer.Outcome
}

var _ peer.Peer = (*box)(nil)

func (b *box) String() string { return b.name }
func (b *box) ID() string     { return b.name }
func (b *box) Nearby() bool   { return !b.far }

func (b *box) Standing() peer.Standing { return b.standing }

func (b *box) Report(o peer.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, o)
}

// faults are what was reported of b, each kind once, in order.
func (b *box) faults() []peer.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []peer.Fault
	for _, o := range b.reports {
		if o.Fault != peer.None && !slices.Contains(all, o.Fault) {
			all = append(all, o.Fault)
		}
	}
	return all
}

// blamed is whether anything but slowness was reported of b: on a busy machine
// an honest box can be slow, and silent for a while.
func (b *box) blamed() bool {
	return slices.ContainsFunc(b.faults(), func(f peer.Fault) bool { return f > peer.Stalled })
}

// right is how many bytes of right files were reported of b.
func (b *box) right() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.reports {
		n += o.Right
	}
	return n
}

// stalls makes a box silent from the beginning.
func stalls(b *box) { b.grow(0) }

// gave is how many bytes were reported as taken from b.
func (b *box) gave() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.reports {
		n += o.Bytes
	}
	return n
}

// asks are the offsets that b was asked for.
func (b *box) asks() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.opened)
}

// grow lets a box that is downloading have n bytes.
func (b *box) grow(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.grown = n
	if b.grew != nil {
		close(b.grew)
	}
	b.grew = make(chan struct{})
}

// has returns how many bytes the box has, and what tells of more.
func (b *box) has() (int64, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grew == nil {
		return int64(len(b.data)), nil
	}
	return b.grown, b.grew
}

func (b *box) Manifest(ctx context.Context, _ digest.Digest) ([]digest.Digest, error) {
	if b.dead.Load() || b.absent {
		return nil, fs.ErrNotExist
	}
	if b.manifest != nil {
		m, err := b.manifest()
		b.stated.Store(err == nil)
		return m, err
	}
	return pieces.Digests(bytes.NewReader(b.data))
}

func (b *box) Pieces(context.Context, digest.Digest) (int64, peer.Bitfield, error) {
	n, grew := b.has()
	if grew == nil || b.dead.Load() {
		return 0, nil, fs.ErrNotExist
	}
	size := int64(len(b.data))
	have := peer.NewBitfield(peer.Pieces(size))
	for i := range peer.Pieces(size) {
		if min(int64(i+1)*peer.PieceSize, size) <= n {
			have.Set(i)
		}
	}
	return size, have, nil
}

func (b *box) Release(ctx context.Context, q peer.ReleaseQuery) (peer.ReleaseAnswer, error) {
	if b.release == nil {
		return peer.ReleaseAnswer{}, fs.ErrNotExist
	}
	return b.release(ctx, q)
}

func (b *box) Open(ctx context.Context, _ digest.Digest, r peer.Request) (*peer.Stream, error) {
	off, n := r.Off, r.N
	b.mu.Lock()
	b.opened = append(b.opened, off)
	gone := b.life > 0 && len(b.opened) > b.life
	if r.Fetch != peer.NoFetch {
		b.fetched = append(b.fetched, r.Fetch)
	}
	b.mu.Unlock()
	switch {
	case gone || b.dead.Load():
		return nil, errors.New("connection refused")
	case b.absent:
		return nil, fmt.Errorf("blob: %w", fs.ErrNotExist)
	case b.busy.Add(-1) >= 0:
		return nil, peer.ErrBusy
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &boxStream{b: b, ctx: ctx, begun: time.Now(), off: off, first: off, end: int64(len(b.data))}
	if n > 0 {
		s.end = min(s.end, off+n)
	}
	if b.endless {
		s.end = math.MaxInt64
	}
	now := b.site.streams.Add(1)
	for peak := b.site.peak.Load(); now > peak && !b.site.peak.CompareAndSwap(peak, now); peak = b.site.peak.Load() {
	}
	size := int64(len(b.data))
	if b.size != 0 {
		size = b.size
	}
	paced := &pacedStream{boxStream: s, pace: r.Pace, cancel: cancel}
	paced.timer = time.AfterFunc(r.Pace.Per, func() { cancel(fmt.Errorf("peer %s: %w", b, peer.ErrStalled)) })
	paced.timer.Stop()
	return &peer.Stream{ReadCloser: paced, Off: off, Size: size}, nil
}

// pacedStream ends a stream that falls below its pace, as the swarm does.
type pacedStream struct {
	*boxStream
	pace   peer.Pace
	cancel context.CancelCauseFunc
	timer  *time.Timer
	waited time.Duration // since got was 0
	got    int
}

func (s *pacedStream) Read(p []byte) (int, error) {
	begun := time.Now()
	s.timer.Reset(s.pace.Per - s.waited)
	n, err := s.boxStream.Read(p)
	s.timer.Stop()
	s.waited += time.Since(begun)
	if s.got += n; s.got >= s.pace.Bytes {
		s.waited, s.got = 0, 0
	}
	return n, err
}

func (s *pacedStream) Close() error {
	s.timer.Stop()
	s.cancel(nil)
	return s.boxStream.Close()
}

// boxStream is what a box sends.
type boxStream struct {
	b               *box
	ctx             context.Context
	begun           time.Time
	off, first, end int64
	closed          bool
}

func (s *boxStream) Close() error {
	if !s.closed {
		s.closed = true
		s.b.site.streams.Add(-1)
	}
	return nil
}

func (s *boxStream) Read(p []byte) (int, error) {
	if s.off >= s.end {
		return 0, io.EOF
	}
	if s.off == s.first {
		select {
		case <-time.After(s.b.first - time.Since(s.begun)):
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
	n, err := s.await(int64(len(p)))
	if err != nil {
		return 0, err
	}
	n = min(n, s.end-s.off)
	if s.off < int64(len(s.b.data)) {
		n = int64(copy(p[:n], s.b.data[s.off:]))
	} // else an endless body goes on with whatever is in p
	for _, i := range s.b.wrong {
		if at := int64(i)*peer.PieceSize + 5; at >= s.off && at < s.off+n {
			p[at-s.off] ^= 0xff
		}
	}
	s.off += n
	return int(n), nil
}

// await waits until some of want bytes may leave.
func (s *boxStream) await(want int64) (int64, error) {
	for {
		has, grew := s.b.has()
		if s.b.dead.Load() {
			return 0, io.ErrUnexpectedEOF
		}
		if s.b.endless {
			has = math.MaxInt64
		}
		n := min(want, has-s.off)
		if s.b.limit > 0 {
			left := s.first + s.b.limit - s.off
			if left <= 0 && !s.b.silent {
				return 0, io.ErrUnexpectedEOF
			}
			n = min(n, left)
		}
		if n > 0 {
			return s.pace(n)
		}
		select {
		case <-grew:
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
}

// pace waits until some of n bytes are due by the box's rate.
func (s *boxStream) pace(n int64) (int64, error) {
	if s.b.rate == 0 {
		return n, nil
	}
	n = min(n, max(s.b.rate/20, 1))
	due := time.Duration((s.off - s.first + n) * int64(time.Second) / s.b.rate)
	select {
	case <-time.After(due - time.Since(s.begun)):
		return n, nil
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
}
