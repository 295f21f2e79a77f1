// Package pieces downloads a large file from several sources at once, in
// pieces of peer.PieceSize.
//
// The caller gives a Sink, where pieces are written, and its Sources, best
// first. Download works with MaxSources of them, the active ones; the rest are
// standby and take the place of those that fail. Each active source is asked
// for two pieces at a time, so that it is never idle for a round trip. The
// picker decides which: those that a client reads next, in order, then the
// rarest. Memory is bounded by Buffers, over all downloads that share them.
//
// Nothing that a source sends is trusted, and what is written here is not
// verified: only the digest of the whole file can do that. What each source says a
// piece is, by sending it or in a manifest, is kept in Manifests: what is written
// agrees with the hypothesis in force, and the caller can tell who was wrong once
// the file is verified.
//
// Lock order: download.mu, picker.mu, source.mu, Manifests.mu. The methods of the
// Sink and Source.Failed are called under the first, Sink.Position and Sink.Has
// under the second; Sink.Write under none.
package pieces

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// MaxSources is how many sources a file is taken from at once.
	MaxSources = 6
	// perSource is how many pieces one source is asked for at once.
	perSource = 2
)

var (
	// ErrSlow says that a piece did not arrive within Timeouts.Piece.
	ErrSlow = errors.New("the source is too slow for a piece")
	// ErrSilent says that another source sent a piece while this one sent nothing.
	ErrSilent = errors.New("the source was silent while another one sent the piece")
	// ErrOvertaken says that another source sent a piece much faster.
	ErrOvertaken = errors.New("another source sent the piece much faster")
	// errNoRange says that a source sent another part of the file. Reading up
	// to the piece would cost the file for each piece.
	errNoRange = errors.New("the source ignores ranges")
)

// Source is one place that may have the file. One that is no Peer is a mirror: what
// it sends counts for more than what any peer says. Its methods are called by several
// goroutines.
type Source interface {
	// String names the source in logs.
	String() string
	// Verified reports whether the source has the whole file and has checked
	// it. One that does not is a Peer that is itself downloading the file.
	Verified() bool
	// Open requests n bytes from off on.
	Open(ctx context.Context, off, n int64) (*peer.Stream, error)
	// Report tells of a piece that arrived.
	Report(peer.Outcome)
	// Failed tells that a request failed, and returns true if the source is to
	// be asked for no more pieces. Calls for one source do not overlap, and
	// none follows one that returned true.
	Failed(error) (drop bool)
}

// Peer is a Source that can say more about the file.
type Peer interface {
	Source
	// Standing is what is known about the peer.
	Standing() peer.Standing
	// Manifest returns the digests of the file's pieces.
	Manifest(ctx context.Context) ([]digest.Digest, error)
	// Pieces returns which pieces an unverified source has. An error says that
	// it is no longer downloading, and so most likely has all of them.
	Pieces(ctx context.Context) (peer.Bitfield, error)
}

// Sink is the file that is written. Its methods are called by several
// goroutines, and must not call back.
type Sink interface {
	// Size is the file's, in bytes.
	Size() int64
	// Has reports whether piece i was there before.
	Has(i int) bool
	// Position is where in the file the next byte is wanted.
	Position() int64
	// Write adds piece i, which s sent. An error ends the download.
	Write(i int, b []byte, s Source) error
	// Forget removes piece i, which was not vouched for. An error ends the download.
	Forget(i int) error
	// Vouched says that piece i, which is there, is right as far as anybody can say
	// before the whole file is verified: a mirror sent it, or a proven member or two
	// proven peers of different parties say what it is.
	Vouched(i int)
}

// Timeouts bound how long sources are waited for.
type Timeouts struct {
	Piece  time.Duration // for one piece to arrive
	Answer time.Duration // for a Peer to say which pieces it has
	Poll   time.Duration // between two such questions
	Stall  time.Duration // for sources that are downloading to get more
}

// Options are what a download works with. All but Enough are required.
type Options struct {
	Timeouts  Timeouts
	Buffers   *Buffers
	Manifests *Manifests // of the file
	Log       *slog.Logger
	// Patience is for how long all sources may be silent together; the caller has others.
	Patience func() time.Duration
	// Enough is told every tenth of a second how many bytes all sources have sent
	// together in it. If it returns false, the download ends: the caller has a better
	// source.
	Enough func(n int64) bool
}

// Result is what a download found out.
type Result struct {
	Wrong  int           // pieces that were not written, as they differed from what was in force
	Silent []Source      // those that were silent for longer than Options.Patience, which ended it
	Lost   time.Duration // since a byte came from any source, or since the beginning
}

// download is one call of Download.
type download struct {
	sink      Sink
	options   Options
	manifests *Manifests
	log       *slog.Logger
	picker    *picker
	ctx       context.Context    // of all sources
	stop      context.CancelFunc // all is there, or going on is useless
	got       atomic.Int64       // bytes that came
	workers   sync.WaitGroup
	helpers   sync.WaitGroup

	mu      sync.Mutex   // guards what follows
	active  []*source    // at most MaxSources
	standby []*source    // take the place of those that fail
	live    int          // workers
	closed  bool         // no more may begin
	writing map[int]bool // pieces
	vouched map[int]bool // pieces of which the Sink knows it
	result  Result
	err     error // of the Sink
}

// Download takes what it can get of the file's missing pieces. It returns when
// all are there, or no source has more to give, or all are silent; the caller looks
// which. The error is the Sink's or ctx's.
func Download(ctx context.Context, sink Sink, sources []Source, o Options) (Result, error) {
	n := peer.Pieces(sink.Size())
	d := &download{
		sink: sink, options: o, manifests: o.Manifests, log: o.Log,
		writing: make(map[int]bool), vouched: make(map[int]bool),
	}
	for _, s := range sources {
		d.standby = append(d.standby, d.newSource(s))
	}
	d.picker = newPicker(n, sink.Has, func() int { return int(sink.Position() / peer.PieceSize) })
	if !d.picker.finished() {
		d.run(ctx, sources)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.result, d.err
	}
	return d.result, ctx.Err()
}

// run works the sources until everything is there or none is left.
func (d *download) run(ctx context.Context, sources []Source) {
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	d.ctx = ctx
	d.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, d.options.Timeouts.Piece)
		defer cancel()
		d.manifests.Learn(ctx, sources, d.log, d.reconcile)
	})
	d.helpers.Go(d.watchHope)
	d.helpers.Go(d.watchSilence)
	if d.options.Enough != nil {
		d.helpers.Go(func() { d.watchRate(ctx) })
	}
	d.mu.Lock()
	d.settle()
	d.mu.Unlock()
	<-d.ctx.Done()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.workers.Wait()
	d.helpers.Wait()
}

// rateEvery is how often Options.Enough is asked.
const rateEvery = 100 * time.Millisecond

// watchRate ends the download if Enough says so.
func (d *download) watchRate(ctx context.Context) {
	t := time.NewTicker(rateEvery)
	defer t.Stop()
	for before := int64(0); ; {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		got := d.got.Load()
		if !d.options.Enough(got - before) {
			d.stop()
			return
		}
		before = got
	}
}

// startMore makes standby sources active that may be asked. d.mu is held.
func (d *download) startMore() {
	for len(d.active) < MaxSources && !d.closed {
		i := slices.IndexFunc(d.standby, func(s *source) bool { return !d.manifests.barred(s.witness) })
		if i < 0 {
			return
		}
		s := d.standby[i]
		d.standby = slices.Delete(d.standby, i, i+1)
		d.active = append(slices.Clone(d.active), s) // activeNow gave the old one away
		if p, ok := s.Source.(Peer); ok && !s.verified {
			d.helpers.Go(func() { d.poll(d.ctx, s, p) })
		}
		for range perSource {
			d.live++
			d.workers.Go(func() {
				d.work(s)
				d.left()
			})
		}
	}
}

// left notes that a worker has ended.
func (d *download) left() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live--; d.live == 0 && !d.closed {
		d.settle()
	}
}

// settle starts sources. While there are none that may be asked, it gives up what keeps
// them from that, and with nothing left to give up it ends the download. d.mu is held.
func (d *download) settle() {
	for d.startMore(); d.live == 0; d.startMore() {
		if d.picker.finished() || !d.manifests.giveUp() {
			d.closed = true
			d.stop()
			return
		}
		for _, s := range d.active { // no longer, as none is live
			d.standby = append(d.standby, d.newSource(s.Source))
		}
		d.active = nil
		d.putInOrder()
	}
}

// work has one source send piece after piece.
func (d *download) work(s *source) {
	ctx, idle := d.ctx, time.Now() // since when nothing has come free
	for ctx.Err() == nil && !s.dropped.Load() {
		r, changed := d.picker.pick(ctx, s, d.activeNow())
		if r == nil {
			if !d.await(ctx, changed, &idle) {
				return
			}
			continue
		}
		err := d.piece(r)
		needless := r.ctx.Err() != nil // another source was faster, or it is all over
		idle = time.Now()
		switch lost := d.picker.end(r); {
		case lost != nil:
			err = lost
		case needless || err == nil:
			continue
		}
		d.fail(s, err)
		if errors.Is(err, peer.ErrBusy) && Pause(ctx) != nil {
			return
		}
	}
}

// await waits for a piece to come free, or for one to be overdue. It gives up when
// there is none, no source is asked for one, and those that are downloading get no
// more either.
func (d *download) await(ctx context.Context, changed <-chan struct{}, idle *time.Time) bool {
	t := time.NewTimer(min(lookEvery, d.options.Timeouts.Stall))
	defer t.Stop()
	select {
	case <-changed:
		*idle = time.Now()
		return true
	case <-t.C:
		return time.Since(*idle) < d.options.Timeouts.Stall || !d.picker.idle()
	case <-ctx.Done():
		return false
	}
}

// Pause waits 200 to 500 ms before a source is asked again, each time another
// while, so that downloaders do not all come back at once. The error is ctx's.
func Pause(ctx context.Context) error {
	t := time.NewTimer(200*time.Millisecond + rand.N(300*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// activeNow returns the active sources.
func (d *download) activeNow() []*source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active[:len(d.active):len(d.active)]
}

// fail notes that s did not give a piece.
func (d *download) fail(s *source, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.dropped.Load() {
		return // its other request said so
	}
	if errors.Is(err, errNoRange) || s.Failed(err) {
		d.drop(s)
	}
}

// drop asks s for no more pieces and starts a standby source. d.mu is held.
func (d *download) drop(s *source) {
	if s.dropped.Swap(true) {
		return
	}
	// In a new slice: activeNow gave the old one away.
	d.active = slices.DeleteFunc(slices.Clone(d.active), func(o *source) bool { return o == s })
	d.log.Debug("source dropped from pieces", "source", s.String())
	d.startMore()
}
