package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"millpond/internal/ledger"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// body reads a flight at one client's pace. A client that reads slowly, or
// not at all, holds up nobody: the bytes wait on disk.
type body struct {
	fl     *flight
	ctx    context.Context // the client's own; http's request context outlives the body
	client bool            // false: it reads for a peer
	paid   bool            // by the budget of that peer

	off    atomic.Int64 // of the next read; the flight looks at it
	late   bool         // the flight had failed in part before
	read   bool         // bytes of this epoch were given out
	epoch  int
	waits  time.Time  // since when it waits for bytes; zero if it does not. The flight's mu guards it
	own    *ownStream // once the flight passes through
	origin ledger.Origin
	closed bool
}

var _ Body = (*body)(nil)

func (b *body) Origin() ledger.Origin { return b.origin }

// step is what a body does next: read n bytes of file, follow the flight past
// the disk, wait, or give up.
type step struct {
	n    int64
	file *store.PartialReader
	pass *passthrough
	wait <-chan struct{}
	err  error
}

// await blocks until a first byte can be read, the flight ended or left the
// disk, or, while it has no answer, enough fires.
func (b *body) await(enough <-chan time.Time) error {
	for {
		s := b.next(0)
		switch {
		case errors.Is(s.err, io.EOF): // an empty file
			return nil
		case s.err != nil && b.late:
			return &lateError{s.err}
		case s.err != nil:
			return s.err
		case s.wait == nil:
			return nil
		}
		select {
		case <-s.wait:
		case <-enough:
			if !b.fl.hasAnswer() {
				return fmt.Errorf("the mirror was waited for: %w after %v", mirror.ErrSlow, mirror.Patience)
			}
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
	}
}

// next returns the next step of a reader of want bytes, and does itself what
// comes before it. With 0 it only looks.
func (b *body) next(want int) step {
	for b.own == nil {
		s := b.look(want)
		if s.pass == nil {
			return s
		}
		b.own = s.pass.follow(b, s.file)
	}
	return step{}
}

// look finds the next step in the flight's state.
func (b *body) look(want int) step {
	fl := b.fl
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.epoch != b.epoch {
		if b.read {
			return step{err: fmt.Errorf("%w: the download began anew after bytes of it were sent", ErrWrongBytes)}
		}
		b.epoch = fl.epoch
	}
	if fl.passthrough != nil && !fl.whole {
		if !b.client && !b.paid {
			return step{err: fmt.Errorf("what cannot be kept is not fetched for peers: %w", fl.passthrough.why)}
		}
		return step{pass: fl.passthrough, file: fl.file}
	}
	if n := fl.released(b.off.Load()); n > 0 && !fl.abandoned {
		if n = b.attribute(n, int64(want)); n > 0 {
			b.waits = time.Time{}
			return step{n: n, file: fl.file}
		}
	}
	switch {
	case fl.ended && fl.err != nil:
		return step{err: fl.err}
	case fl.ended, fl.whole && !fl.abandoned && b.off.Load() >= fl.size:
		return step{err: io.EOF}
	}
	if b.waits.IsZero() {
		b.waits = time.Now()
	}
	return step{wait: fl.changed.Wait()}
}

// attribute shortens a read at b.off, of n bytes that are there and want that
// are wanted, to those of one origin, and remembers it; to none while the
// origin of bytes just written is not recorded. What nobody has recorded when the
// download ends counts as the store's: to read none would be the end of the file.
// fl.mu is held.
func (b *body) attribute(n, want int64) int64 {
	if want > 0 {
		n = min(n, want)
	}
	a, off := &b.fl.attribution, b.off.Load()
	if b.fl.ended {
		a.wrote(off, off+n, ledger.FromStore, "")
	}
	n, b.origin = a.next(off, n)
	if n > 0 && want > 0 && b.client {
		a.delivered(off + n)
	}
	return n
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := b.ctx.Err(); err != nil {
			return 0, context.Cause(b.ctx)
		}
		s := b.next(len(p))
		switch {
		case s.err != nil:
			return 0, s.err
		case b.own != nil:
			n, err := b.own.Read(p)
			b.off.Add(int64(n))
			b.origin = b.own.origin
			return n, err
		case s.n > 0:
			n, err := b.readFile(s.file, p[:s.n])
			if n > 0 || !b.outdated() {
				return n, err
			}
			continue
		}
		select {
		case <-s.wait:
		case <-b.ctx.Done():
		}
	}
}

// readFile reads bytes that are there.
func (b *body) readFile(file *store.PartialReader, p []byte) (int, error) {
	off := b.off.Load()
	n, err := file.ReadAt(p, off)
	if n > 0 {
		b.off.Add(int64(n))
		b.read = true
		return n, nil
	}
	return 0, fmt.Errorf("reading a download at %d: %w", off, err)
}

// outdated reports whether the download began anew since b last looked, so that
// what failed is to be tried again.
func (b *body) outdated() bool {
	b.fl.mu.Lock()
	defer b.fl.mu.Unlock()
	return b.fl.epoch != b.epoch
}

// Seek implements io.Seeker. The end is known only with the size.
func (b *body) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += b.off.Load()
	case io.SeekEnd:
		b.fl.mu.Lock()
		size := b.fl.size
		b.fl.mu.Unlock()
		if size < 0 {
			return 0, errors.New("seeking from the end of a file of unknown size")
		}
		off += size
	}
	if off < 0 {
		return 0, fmt.Errorf("seeking to %d, before the file", off)
	}
	if b.own != nil && off != b.off.Load() {
		b.own.Close()
		b.own = nil // next makes another, which reads up to off
	}
	b.off.Store(off)
	return off, nil
}

// Close implements io.Closer. It never ends the download for others.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.own != nil {
		b.own.Close()
	}
	b.fl.mu.Lock()
	delete(b.fl.bodies, b)
	b.fl.mu.Unlock()
	b.fl.leave()
	return nil
}

// open waits until bytes can be read, or the flight's end, and returns a file
// that reads it. The caller was counted in by join.
func (fl *flight) open(ctx context.Context) (*File, error) { return fl.openWithin(ctx, 0) }

// openWithin is open for a client that could be served something else: if the
// flight has no answer by patience after its start, the error is ErrSlow. 0 is no
// limit.
func (fl *flight) openWithin(ctx context.Context, patience time.Duration) (*File, error) {
	var enough <-chan time.Time
	if patience > 0 {
		enough = time.After(patience - time.Since(fl.started))
	}
	b := fl.newBody(ctx, true)
	if err := b.await(enough); err != nil {
		b.Close()
		return nil, err
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	file := &File{Digest: fl.key.digest, Size: fl.size, Modified: fl.modified, Body: b}
	switch {
	case fl.ended:
		file.Digest = fl.info.Digest
	case fl.whole:
		file.Digest = fl.sum
	}
	if file.Modified.IsZero() {
		file.Modified = time.Now()
	}
	return file, nil
}
