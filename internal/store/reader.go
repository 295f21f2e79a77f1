package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readAt reads bytes that are there. Short of len(b) it returns ErrAbsent at
// the first missing byte, or io.EOF at the end of the blob.
func (p *Partial) readAt(file *os.File, b []byte, off int64) (int, error) {
	p.mu.Lock()
	size, n := p.size, p.there.available(off)
	p.mu.Unlock()
	if n >= int64(len(b)) {
		return file.ReadAt(b, off)
	}
	read, err := file.ReadAt(b[:n], off)
	switch {
	case err != nil:
		return read, err
	case size >= 0 && off+n >= size:
		return read, io.EOF
	}
	return read, ErrAbsent
}

// Available returns how many bytes are there from off on without a hole. It
// never waits for the disk.
func (p *Partial) Available(off int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there.available(off)
}

// Missing returns the holes, ascending. While the size is unknown that is one,
// from the first missing byte to -1.
func (p *Partial) Missing() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size < 0 {
		return []Range{{p.there.available(0), -1}}
	}
	return p.there.missing(0, p.size)
}

// Reader opens the bytes of p for reading. However p ends after that, by Commit
// (of a blob that is held already, too), Discard or Close, the reader gets every
// byte that was there, until it is closed: whoever was promised bytes opens it
// before p ends. Later only a committed p can be read, while its blob is held.
// An error of Reader, if any, is that of ReadAt; fs.ErrClosed says that p was
// given up.
func (p *Partial) Reader() *PartialReader {
	p.life.RLock()
	defer p.life.RUnlock()
	r := &PartialReader{p: p}
	p.enter()
	switch {
	case !p.ended:
		r.file, r.err = os.Open(p.path)
	case p.blob: // another Partial may be at p.path by now
		r.file, r.err = os.Open(p.s.blobPath(p.digest))
	default:
		r.err = fmt.Errorf("reading a blob that was given up: %w", fs.ErrClosed)
	}
	if r.err != nil {
		p.exit()
	}
	return r
}

// enter counts a reader in, before it opens the file: a blob that is open is not evicted.
func (p *Partial) enter() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.readers++
	if p.listed {
		p.s.open[p.digest]++
	}
}

// exit counts a reader out.
func (p *Partial) exit() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.readers--
	if p.listed {
		p.s.unhold(p.digest)
	}
}

// PartialReader reads the written bytes of a Partial, also after its end. A blob that
// was made of them is not evicted until Close; if it is removed, its disk space is freed
// then. All methods may be called by several goroutines at once.
type PartialReader struct {
	p    *Partial
	file *os.File
	err  error
}

// ReadAt ends a read short of len(b) with ErrAbsent at the first missing byte,
// or with io.EOF at the end of the blob.
func (r *PartialReader) ReadAt(b []byte, off int64) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.p.readAt(r.file, b, off)
}

// Close ends reading.
func (r *PartialReader) Close() error {
	if r.file == nil {
		return r.err
	}
	err := r.file.Close()
	if !errors.Is(err, os.ErrClosed) {
		r.p.exit()
	}
	return err
}
