package pieces

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/peer"
)

// source is a Source and what this download knows about it.
type source struct {
	Source
	verified bool
	mirror   bool
	witness  *witness         // what it has said
	may      func(i int) bool // it may be asked for piece i, as far as manifests go; nil: any
	dropped  atomic.Bool      // asked for no more pieces
	took     atomic.Int64     // for its last piece, a time.Duration; 0 before

	mu   sync.Mutex    // guards what follows, of an unverified source
	all  bool          // it has finished
	have peer.Bitfield // what it has until then
}

func (d *download) newSource(s Source) *source {
	w := d.manifests.see(s)
	return &source{Source: s, verified: s.Verified(), mirror: w.mirror, witness: w, may: func(i int) bool { return d.manifests.may(w, i) }}
}

// has reports whether the source can give piece i, and may.
func (s *source) has(i int) bool { return s.holds(i) && (s.may == nil || s.may(i)) }

// holds reports whether the source can give piece i.
func (s *source) holds(i int) bool {
	if s.dropped.Load() {
		return false
	}
	if s.verified {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all || s.have.Has(i)
}

// usual is how long the source took for its last piece; 0 before.
func (s *source) usual() time.Duration { return time.Duration(s.took.Load()) }

// isNew reports whether s has sent no piece yet, while another one of all has, or is a
// mirror.
func (s *source) isNew(all []*source) bool {
	shown := func(o *source) bool { return o.mirror || o.usual() > 0 }
	return !shown(s) && slices.ContainsFunc(all, shown)
}

// update notes which pieces an unverified source has, and reports whether that
// is more than before. After an error it is taken to have all; if it does not,
// the next request finds out.
func (s *source) update(have peer.Bitfield, err error) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.all = true
		return true
	}
	more = !bytes.Equal(s.have, have)
	s.have = have
	return more
}

// poll asks a source that is downloading which pieces it has, until it has all.
func (d *download) poll(ctx context.Context, s *source, p Peer) {
	t := time.NewTicker(d.options.Timeouts.Poll)
	defer t.Stop()
	for !s.dropped.Load() {
		have, err := d.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if s.update(have, err) {
			d.picker.recheck()
		}
		if err != nil {
			return
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks p once which pieces it has.
func (d *download) ask(ctx context.Context, p Peer) (peer.Bitfield, error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeouts.Answer)
	defer cancel()
	return p.Pieces(ctx)
}

// Buffers bounds the pieces in memory, over all downloads that share it.
type Buffers struct {
	slots chan struct{}
	spare sync.Pool
}

// NewBuffers returns room for n pieces.
func NewBuffers(n int) *Buffers {
	return &Buffers{
		slots: make(chan struct{}, n),
		spare: sync.Pool{New: func() any { return new([peer.PieceSize]byte) }},
	}
}

// get waits for room for a piece; put gives it back.
func (b *Buffers) get(ctx context.Context) (*[peer.PieceSize]byte, error) {
	select {
	case b.slots <- struct{}{}:
		return b.spare.Get().(*[peer.PieceSize]byte), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *Buffers) put(room *[peer.PieceSize]byte) {
	b.spare.Put(room)
	<-b.slots
}
