package blobproto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"millpond/internal/peer"
)

// body is the body of an answer; it counts bytes and enforces the Pace. One
// goroutine may read it.
type body struct {
	*watchdog
	ctx    context.Context // the request's, which the watchdog ends
	answer io.ReadCloser
	pace   pacer
	left   int64 // to the announced end; negative: none was announced
	took   func(int64)
	lied   func(string)
}

// Read returns io.EOF at the announced end only, and io.ErrUnexpectedEOF
// before it.
func (b *body) Read(p []byte) (int, error) {
	begun := time.Now()
	b.start(b.pace.left(), b.pace.Per, tooSlow(b.pace.Pace))
	n, err := b.answer.Read(p)
	extra := b.stop()
	b.pace.read(n, max(time.Since(begun)-extra, 0))
	if n > 0 {
		b.took(int64(n))
	}
	if b.left >= 0 {
		if int64(n) > b.left {
			n = int(b.left)
			err = errors.New("false answer: a body longer than announced")
			b.lied(err.Error())
		} else if err == io.EOF && int64(n) < b.left {
			err = io.ErrUnexpectedEOF
		}
		b.left -= int64(n)
	}
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Close resets the stream if the body is not read to its end.
func (b *body) Close() error {
	b.cancel(nil)
	return b.answer.Close()
}

// pacer enforces a Pace: it measures the time spent waiting until Pace.Bytes have
// arrived, then starts over.
type pacer struct {
	peer.Pace
	next   peer.Pace // after the first bytes
	got    int
	waited time.Duration
}

func newPacer(r peer.Request) pacer {
	if r.Pace != (peer.Pace{}) {
		return pacer{Pace: r.Pace, next: r.Pace}
	}
	p := pacer{Pace: peer.Pace{Bytes: 1, Per: stallTimeout}}
	p.next = p.Pace
	if r.Fetch != peer.NoFetch {
		p.Per = fetchStallTimeout
	}
	return p
}

// tooSlow returns the peer.ErrStalled for a missed Pace.
type tooSlow peer.Pace

func (p tooSlow) Error() string {
	return fmt.Sprintf("%v: less than %d bytes in %s", peer.ErrStalled, p.Bytes, p.Per)
}

func (tooSlow) Unwrap() error { return peer.ErrStalled }

// left returns how long the next read may take.
func (p *pacer) left() time.Duration { return p.Per - p.waited }

// read records that n bytes arrived after waiting for took.
func (p *pacer) read(n int, took time.Duration) {
	p.waited += took
	if p.got += n; p.got >= p.Bytes {
		p.Pace, p.got, p.waited = p.next, 0, 0
	}
}
