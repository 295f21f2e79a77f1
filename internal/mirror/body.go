package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Limits of what is read of an unwanted body, so that its connection can
// be used again; past either, a new one costs less.
const (
	maxDrain  = 64 << 10
	drainTime = 2 * time.Second
)

// body is an answer's body: metered, and ended if it stalls.
type body struct {
	from   io.ReadCloser
	url    string
	ctx    context.Context // the request's, which lasts as long as the body
	cancel context.CancelCauseFunc
	stall  atomic.Int64  // the limit of the next Read, a time.Duration
	later  time.Duration // the limit of those after the first byte
	timer  *time.Timer   // runs only while a Read waits for the mirror: a slow reader is no stall, nor is the throttle
	meter  func(n int64)
	share  share

	stalled  func()        // before the request is ended for a stall
	progress func(n int64) // for each Read that brought something
	leave    func()        // at the end
}

// guard wraps the body of url's answer to a request for f under ctx.
func (c *Client) guard(ctx context.Context, cancel context.CancelCauseFunc, f File, of Answer, url string, from io.ReadCloser) *body {
	b := &body{
		from: from, url: url, ctx: ctx, cancel: cancel, later: c.stallTimeout, share: share{throttle: c.rate}, stalled: func() {}, progress: func(int64) {}, leave: func() {},
		meter: func(n int64) {
			c.received.Add(n)
			c.meter(f, of, n)
		},
	}
	b.stall.Store(int64(max(c.headerTimeout, c.stallTimeout)))
	b.timer = time.AfterFunc(b.limit(), func() {
		b.stalled()
		cancel(fmt.Errorf("%w: nothing came from %s for %v", ErrStalled, f.Host, b.limit()))
	})
	b.timer.Stop()
	return b
}

func (b *body) limit() time.Duration { return time.Duration(b.stall.Load()) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	p = p[:b.share.allows(len(p))]
	b.timer.Reset(b.limit())
	n, err := b.from.Read(p)
	b.timer.Stop()
	if n > 0 {
		b.stall.Store(int64(b.later))
		b.meter(int64(n))
		b.progress(int64(n))
	}
	if ended := b.share.charge(b.ctx, n, err != nil); ended != nil {
		return n, ended
	}
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.ctx.Err() != nil:
		return n, context.Cause(b.ctx)
	case !errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return n, &AnswerError{URL: b.url, Err: err}
}

// Close implements io.Closer. The connection is kept only if the body was read
// to its end.
func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	b.share.end()
	defer b.leave()
	return b.from.Close()
}

// drain reads an unwanted body to its end, within limits, and closes it. It
// returns how many bytes came; errors are ignored.
func (b *body) drain() int64 {
	limit := time.AfterFunc(drainTime, func() { b.cancel(nil) })
	defer limit.Stop()
	n, _ := io.CopyN(io.Discard, b, maxDrain)
	_ = b.Close()
	return n
}

// section is the body of a range: left bytes, no fewer and no more, also where
// no Content-Length bounds it.
type section struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (s *section) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if err == io.EOF && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
