package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"millpond/internal/ledger"
	"millpond/internal/store"
)

// body reads a flight at one client's pace. A client that reads slowly, or
// not at all, holds up nobody: the bytes wait on disk.
type body struct {
	fl  *flight
	ctx context.Context // the client's own; http's request context outlives the body

	off    atomic.Int64 // of the next read; the flight looks at it
	read   bool         // bytes of this epoch were given out
	epoch  int
	part   *store.Partial       // of this epoch
	file   *store.PartialReader // of part
	lost   *store.Partial       // was given up before it could be opened; another comes
	own    *ownStream           // after a detour
	origin ledger.Origin
	closed bool
	aside  bool // not for a client: for a peer, or the catalog
}

var _ Body = (*body)(nil)

func (b *body) Origin() ledger.Origin { return b.origin }

// grant is what a body may do next: read n bytes, or wait, or give up.
type grant struct {
	n    int64
	wait <-chan struct{}
	err  error
}

// await blocks until a first byte can be read, the flight ended or left the
// disk.
func (b *body) await() error {
	for {
		g := b.grant(0)
		switch {
		case errors.Is(g.err, io.EOF): // an empty file
			return nil
		case g.err != nil:
			return g.err
		case g.wait == nil:
			return nil
		}
		select {
		case <-g.wait:
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
	}
}

// grant looks at the flight and says what comes next for a reader of want
// bytes. With 0 it only looks.
func (b *body) grant(want int) grant {
	fl := b.fl
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if b.own != nil {
		return grant{}
	}
	if fl.epoch != b.epoch {
		if b.read {
			return grant{err: fmt.Errorf("%w: the download began anew after bytes of it were sent", ErrWrongBytes)}
		}
		b.epoch = fl.epoch
		b.dropFile()
	}
	if fl.detour != nil && b.aside {
		return grant{err: fmt.Errorf("past the full disk nothing is fetched for peers: %w", store.ErrNoSpace)}
	}
	if fl.detour != nil {
		b.own = fl.detour.follow(b)
		return grant{}
	}
	if fl.part != nil && b.file == nil && fl.part != b.lost {
		b.part, b.file = fl.part, fl.part.Reader()
	}
	if n := fl.released(b.off.Load()); n > 0 && b.file != nil {
		if n = b.credit(n, int64(want)); n > 0 {
			return grant{n: n}
		}
	}
	switch {
	case fl.ended && fl.err != nil:
		return grant{err: fl.err}
	case fl.ended:
		return grant{err: io.EOF}
	}
	return grant{wait: fl.changed}
}

// released returns how many bytes from off on a client may have: all that are
// there once the whole file is verified, else none of the last holdback.
func (fl *flight) released(off int64) int64 {
	if fl.part == nil {
		return 0
	}
	if fl.ended {
		if fl.err != nil {
			return 0
		}
		return max(fl.size-off, 0)
	}
	n := fl.part.Available(off)
	if fl.size >= 0 {
		return max(min(n, fl.size-holdback-off), 0)
	}
	return max(n-holdback, 0)
}

// credit shortens a read at b.off, of n bytes that are there and want that are
// wanted, to those of one origin and remembers it; to none while the origin of
// bytes just written is not noted. The first client to read a byte is the one
// for whom it was taken; for all others it came from the store. What peers and
// the catalog read is credited to nobody. fl.mu is held.
func (b *body) credit(n, want int64) int64 {
	fl, off := b.fl, b.off.Load()
	if want > 0 {
		n = min(n, want)
	}
	if off < fl.credited {
		b.origin = ledger.FromStore
		return min(n, fl.credited-off)
	}
	s, ok := fl.spans.at(off)
	if !ok {
		return 0
	}
	b.origin = s.origin
	n = min(n, s.end-off)
	if want > 0 && !b.aside {
		fl.credited = off + n
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
		g := b.grant(len(p))
		switch {
		case g.err != nil:
			return 0, g.err
		case b.own != nil:
			n, err := b.own.Read(p)
			b.off.Add(int64(n))
			b.origin = b.own.origin
			return n, err
		case g.n > 0:
			if n, err := b.readFile(p[:g.n]); !errors.Is(err, fs.ErrClosed) {
				return n, err
			}
			continue
		}
		select {
		case <-g.wait:
		case <-b.ctx.Done():
		}
	}
}

// readFile reads bytes that were granted. fs.ErrClosed says that the part was
// given up just before; grant tells what comes next.
func (b *body) readFile(p []byte) (int, error) {
	off := b.off.Load()
	n, err := b.file.ReadAt(p, off)
	if n > 0 {
		b.off.Add(int64(n))
		b.read = true
		return n, nil
	}
	if errors.Is(err, fs.ErrClosed) {
		b.lost = b.part
		b.dropFile()
	}
	return 0, fmt.Errorf("reading a download at %d: %w", off, err)
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
		b.own = nil // grant makes another, which reads up to off
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
	b.dropFile()
	b.fl.mu.Lock()
	delete(b.fl.bodies, b)
	b.fl.mu.Unlock()
	b.fl.leave()
	return nil
}

func (b *body) dropFile() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}
