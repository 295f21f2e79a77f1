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
// verified: only the digest of the whole file can do that. What each source
// says a piece is, by sending it or in a manifest, is returned as a Vote, so
// that the caller can tell who was wrong once the file is verified. Two peers
// that state the same manifest are believed until then.
//
// Lock order: download.mu, picker.mu, source.mu. Source.Failed is called under
// the first, Sink.Position and Sink.Has under the second.
package pieces

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	// ErrOvertaken says that another source sent a piece much faster.
	ErrOvertaken = errors.New("another source sent the piece much faster")
	// errNoRange says that a source sent another part of the file. Reading up
	// to the piece would cost the file for each piece.
	errNoRange = errors.New("the source ignores ranges")
)

// Source is one place that may have the file. Its methods are called by
// several goroutines.
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
}

// Timeouts bound how long sources are waited for.
type Timeouts struct {
	Piece  time.Duration // for one piece to arrive
	Answer time.Duration // for a Peer to say which pieces it has
	Poll   time.Duration // between two such questions
	Stall  time.Duration // for sources that are downloading to get more
}

// Options are what a download works with. All but Manifest and Enough are required.
type Options struct {
	Timeouts Timeouts
	Buffers  *Buffers
	Manifest []digest.Digest // believed already
	Log      *slog.Logger
	// Enough is told each second how many bytes all sources have sent together in it. If
	// it returns false, the download ends: the caller has a better source.
	Enough func(n int64) bool
}

// Vote is what a source says that a piece is. Which votes are true is known
// only once the whole file is verified: two sources that lie alike could
// otherwise have the honest ones banned.
type Vote struct {
	Source   Source
	Piece    int
	Sum      digest.Digest
	Verified bool // false: the source could not have checked it yet
	Manifest bool // stated in a manifest, not sent
}

// Result is what a download found out.
type Result struct {
	Votes    []Vote
	Manifest []digest.Digest // two peers agree on it; nil if no two do
	Wrong    int             // pieces that differed from it
	Corrupt  bool            // one of them has been written
}

// download is one call of Download.
type download struct {
	sink    Sink
	options Options
	log     *slog.Logger
	picker  *picker
	stop    context.CancelFunc // all is there, or going on is useless
	got     atomic.Int64       // bytes that came
	workers sync.WaitGroup
	helpers sync.WaitGroup

	mu      sync.Mutex      // guards what follows
	active  []*source       // at most MaxSources
	standby []*source       // take the place of those that fail
	written []digest.Digest // of each piece written here
	result  Result
	err     error // of the Sink
}

// Download takes what it can get of the file's missing pieces. It returns when
// all are there, or no source has more to give; the caller looks which. The
// error is the Sink's or ctx's.
func Download(ctx context.Context, sink Sink, sources []Source, o Options) (Result, error) {
	n := peer.Pieces(sink.Size())
	d := &download{sink: sink, options: o, log: o.Log, written: make([]digest.Digest, n)}
	d.result.Manifest = o.Manifest
	for _, s := range sources {
		d.standby = append(d.standby, &source{Source: s, verified: s.Verified()})
	}
	d.picker = newPicker(n, sink.Has, func() int { return int(sink.Position() / peer.PieceSize) })
	if !d.picker.finished() {
		d.run(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.result, d.err
	}
	return d.result, ctx.Err()
}

// run works the sources until everything is there or none is left.
func (d *download) run(ctx context.Context) {
	ctx, d.stop = context.WithCancel(ctx)
	defer d.stop()
	peers := d.verifiedPeers()
	d.helpers.Go(func() { d.learnManifest(ctx, peers) })
	if d.options.Enough != nil {
		d.helpers.Go(func() { d.watchRate(ctx) })
	}
	d.mu.Lock()
	for range min(MaxSources, len(d.standby)) {
		d.start(ctx)
	}
	d.mu.Unlock()
	d.workers.Wait()
	d.stop()
	d.helpers.Wait()
}

// watchRate ends the download if Enough says so.
func (d *download) watchRate(ctx context.Context) {
	t := time.NewTicker(time.Second)
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

// start makes a standby source active. d.mu is held.
func (d *download) start(ctx context.Context) {
	if len(d.standby) == 0 || ctx.Err() != nil {
		return
	}
	s := d.standby[0]
	d.standby = d.standby[1:]
	d.active = append(d.active, s)
	if p, ok := s.Source.(Peer); ok && !s.verified {
		d.helpers.Go(func() { d.poll(ctx, s, p) })
	}
	for range perSource {
		d.workers.Go(func() { d.work(ctx, s) })
	}
}

// work has one source send piece after piece.
func (d *download) work(ctx context.Context, s *source) {
	idle := time.Now() // since when nothing has come free
	for ctx.Err() == nil && !s.dropped.Load() {
		r, changed := d.picker.pick(ctx, s, d.activeNow())
		if r == nil {
			if !d.await(ctx, changed, &idle) {
				return
			}
			continue
		}
		err := d.piece(r)              //nolint:contextcheck // pick derives its context from ctx
		needless := r.ctx.Err() != nil // another source was faster, or it is all over
		idle = time.Now()
		switch lost := d.picker.end(r); {
		case lost:
			err = ErrOvertaken
		case needless || err == nil:
			continue
		}
		d.fail(ctx, s, err)
		if errors.Is(err, peer.ErrBusy) && Pause(ctx) != nil {
			return
		}
	}
}

// await waits for a piece to come free, or for one to be overdue. It gives up when
// there is none, no source is asked for one, and those that are downloading get no
// more either.
func (d *download) await(ctx context.Context, changed <-chan struct{}, idle *time.Time) bool {
	t := time.NewTimer(min(judgeAfter, d.options.Timeouts.Stall))
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
func (d *download) fail(ctx context.Context, s *source, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.dropped.Load() {
		return // its other request said so
	}
	if errors.Is(err, errNoRange) || s.Failed(err) {
		d.drop(ctx, s)
	}
}

// drop asks s for no more pieces and starts a standby source. d.mu is held.
func (d *download) drop(ctx context.Context, s *source) {
	if s.dropped.Swap(true) {
		return
	}
	// In a new slice: activeNow gave the old one away.
	d.active = slices.DeleteFunc(slices.Clone(d.active), func(o *source) bool { return o == s })
	d.log.Debug("source dropped from pieces", "source", s.String())
	d.start(ctx)
}

// piece gets the piece of r, checks it against the manifest if two peers agree
// on one, and writes it.
func (d *download) piece(r *request) error {
	ctx, s, i := r.ctx, r.source, r.piece
	room, err := d.options.Buffers.get(ctx)
	if err != nil {
		return err
	}
	defer d.options.Buffers.put(room)
	off, n := peer.PieceAt(i, d.sink.Size())
	buf, begun := room[:n], time.Now()
	if err := d.receive(r, buf, off); err != nil {
		return err
	}
	took := time.Since(begun)
	s.took.Store(int64(max(took, 1)))
	s.Report(peer.Outcome{Bytes: n, Took: took})
	if d.accept(ctx, s, i, digest.Of(buf)) {
		d.write(i, buf, s)
	}
	return nil
}

// receive fills buf from off on.
func (d *download) receive(r *request, buf []byte, off int64) error {
	ctx, cancel := context.WithTimeoutCause(r.ctx, d.options.Timeouts.Piece, ErrSlow)
	defer cancel()
	stream, err := r.source.Open(ctx, off, int64(len(buf)))
	if err != nil {
		return cause(ctx, err)
	}
	defer stream.Close()
	if stream.Off != off {
		return fmt.Errorf("%w: asked for %d, it sent %d", errNoRange, off, stream.Off)
	}
	if _, err := io.ReadFull(counted{stream, r, d}, buf); err != nil {
		return cause(ctx, err)
	}
	return nil
}

// counted counts what comes for a request.
type counted struct {
	io.Reader
	r *request
	d *download
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.r.got.Add(int64(n))
	c.d.got.Add(int64(n))
	return n, err
}

// cause prefers the cause of ctx's end to the error that the end led to.
func cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// write adds a piece that was accepted.
func (d *download) write(i int, buf []byte, s *source) {
	if err := d.sink.Write(i, buf, s.Source); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.err = err
		d.stop()
		return
	}
	if d.picker.finished() {
		d.stop()
	}
}
