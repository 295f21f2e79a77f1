package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readAt reads written bytes. Short of len(b) it returns ErrAbsent at
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

// Available returns how many bytes are written from off on without a hole. It
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

// Reader opens the bytes of p for reading on after p has ended, also when p
// ended with Commit before. Its error, if any, is that of ReadAt.
func (p *Partial) Reader() *PartialReader {
	r := &PartialReader{p: p}
	r.file, r.err = os.Open(p.path)
	if errors.Is(r.err, fs.ErrNotExist) { // committed
		p.mu.Lock()
		name := p.s.blobPath(p.digest)
		p.mu.Unlock()
		r.file, r.err = os.Open(name)
	}
	// Checked after opening: the file may be that of the next Partial of this digest.
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		r.Close()
		r.file, r.err = nil, fmt.Errorf("reading a blob that was given up: %w", fs.ErrClosed)
	}
	return r
}

// PartialReader reads the written bytes of a Partial, also after its Commit,
// Close or Discard. The blob may be evicted meanwhile; the disk space is freed
// at Close.
type PartialReader struct {
	p    *Partial
	file *os.File
	err  error
}

// ReadAt is like Partial.ReadAt: a read short of len(b) ends with ErrAbsent or
// io.EOF.
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
	return r.file.Close()
}
