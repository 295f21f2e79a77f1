package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrTooSlow says that a mirror sent a body much more slowly than another one of
// the archive is known to.
var ErrTooSlow = errors.New("the mirror is much slower than another")

// timed is the body of an answer of one of several mirrors. It measures the mirror,
// and ends with ErrTooSlow if others are much faster.
type timed struct {
	io.ReadCloser
	c    *Client
	ctx  context.Context // the caller's
	d    directory
	pace func() float64 // how many bytes a second are too few; nil takes any
	// interval is how long the mirror may send too few.
	interval time.Duration

	n      int64         // bytes in all
	waited time.Duration // for them
	// Of the present interval: bytes, the wait for them, and the bytes of all hosts
	// at its beginning.
	lately, before int64
	now            time.Duration
	noted          bool
	limited        bool // by Options.Rates: how fast it comes says nothing about the mirror
}

// timedBody measures body, the one of the answer of d, a mirror of a, to r.
func (c *Client) timedBody(ctx context.Context, r Request, a *archive, d directory, body io.ReadCloser) *timed {
	t := &timed{ReadCloser: body, c: c, ctx: ctx, d: d, before: c.received.Load()}
	if r.Failover {
		t.interval, t.pace = slowAfter, func() float64 { return c.pace(a, d) }
		if c.health.get(d).rate == 0 {
			t.interval = tryAfter
		}
	}
	return t
}

// Read implements io.Reader.
func (t *timed) Read(p []byte) (int, error) {
	begun := time.Now()
	n, err := t.ReadCloser.Read(p)
	took := time.Since(begun)
	t.limited = t.limited || t.c.Limited()
	t.n, t.lately = t.n+int64(n), t.lately+int64(n)
	t.waited, t.now = t.waited+took, t.now+took
	switch {
	case errors.Is(err, io.EOF):
		t.note()
	case errors.Is(err, ErrGaveWay): // says nothing about the mirror
		t.noted = true
	case err != nil && t.ctx.Err() == nil && !t.noted:
		t.noted = true
		t.c.health.failed(t.d, err, false)
	case err == nil && t.pace != nil && t.now >= t.interval && !t.limited:
		err = t.checkPace()
	}
	return n, err
}

// checkPace ends an interval. Where all bodies together come as fast as one from
// another mirror would, it is the line that is slow, and not this mirror.
func (t *timed) checkPace() error {
	received := t.c.received.Load()
	rate, all := float64(t.lately)/t.now.Seconds(), float64(received-t.before)/t.now.Seconds()
	t.lately, t.now, t.before = 0, 0, received
	if max(rate, all) >= t.pace() {
		return nil
	}
	t.noted = true
	t.c.health.tooSlow(t.d, rate)
	return fmt.Errorf("%s: %w: %.0f bytes a second", t.d.url, ErrTooSlow, rate)
}

// note records the measurement, once.
func (t *timed) note() {
	if !t.noted && !t.limited {
		t.noted = true
		t.c.health.received(t.d, t.n, t.waited)
	}
}

// Close implements io.Closer.
func (t *timed) Close() error {
	t.note()
	return t.ReadCloser.Close()
}
