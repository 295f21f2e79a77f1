package catalog

import (
	"context"
	"io"
)

// pipe carries bytes from one goroutine to another like io.Pipe, but with some
// chunks in between, so that both can work at the same time. A writer that
// fails does not close it but cancels the context, and the reader gets the
// cause.
type pipe struct {
	ctx    context.Context // of the one call that the pipe lives in
	filled chan []byte
	used   chan []byte // to be filled again
	chunk  []byte      // being read
	rest   []byte      // of chunk
}

const (
	pipeChunk  = 64 << 10
	pipeChunks = 8
)

func newPipe(ctx context.Context) *pipe {
	p := &pipe{ctx: ctx, filled: make(chan []byte, pipeChunks), used: make(chan []byte, pipeChunks)}
	for range pipeChunks {
		p.used <- nil
	}
	return p
}

// fill puts all of r into the pipe.
func (p *pipe) fill(r io.Reader) error {
	for {
		var chunk []byte
		select {
		case chunk = <-p.used:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		if chunk == nil {
			chunk = make([]byte, pipeChunk)
		}
		n, err := 0, error(nil)
		for n < len(chunk) && err == nil {
			var m int
			m, err = r.Read(chunk[n:])
			n += m
		}
		p.filled <- chunk[:n] // never blocks: as many places as chunks
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// close ends the stream for the reader.
func (p *pipe) close() { close(p.filled) }

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.chunk != nil {
			p.used <- p.chunk[:cap(p.chunk)] // never blocks
			p.chunk = nil
		}
		select {
		case chunk, ok := <-p.filled:
			if !ok {
				return 0, io.EOF
			}
			p.chunk, p.rest = chunk, chunk
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
