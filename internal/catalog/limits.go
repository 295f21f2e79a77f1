package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"millpond/internal/digest"
)

// limits bound the learning of one index, against bombs.
type limits struct {
	text int64         // bytes, as they come and uncompressed
	rows int           // they bound the memory of learning too: 40 MB for a million
	time time.Duration // most of it is the decompressor's
}

// Anybody can publish an archive that nobody vouches for, so it has less. The
// largest index in use, the Sources of a whole distribution, has 50 MB and 140,000
// files; the Packages of the largest component have 85 MB. Either takes some seconds,
// on a small board under load half a minute.
var (
	signedLimits   = limits{text: 2 << 30, rows: 1 << 20, time: 5 * time.Minute}
	unsignedLimits = limits{text: 256 << 20, rows: 1 << 18, time: time.Minute}
)

// limitsOf returns those of the index e. None may have more rows than there is room
// for in all.
func (c *Catalog) limitsOf(e Entry) limits {
	l, most := unsignedLimits, c.bounds.unsigned
	if e.Signed {
		l, most = signedLimits, c.bounds.rows
	}
	l.rows = int(min(int64(l.rows), most))
	return l
}

var errTooSlow = errors.New("reading the index takes too long")

func withTime(ctx context.Context, l limits) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, l.time, errTooSlow)
}

// Vouch returns e with Signed as it is now for e's digest: that is known of an
// entry as it was when it was resolved, and another list may have come.
func (c *Catalog) Vouch(e Entry) Entry {
	v := e
	if err := c.mark(c.state.Load(), &v, e.Signed, e.Shared); err != nil {
		c.log.Error("catalog not readable", "digest", e.Digest, "err", err)
	}
	return v
}

// input is an index as it comes, still compressed.
type input struct {
	ctx  context.Context // of the one call that the input lives in
	r    io.Reader
	left int64 // bytes that may still come
	hash *digest.Hasher
	err  error // of r; io.EOF at its end
}

func newInput(ctx context.Context, r io.Reader, most int64) *input {
	return &input{ctx: ctx, r: r, left: most, hash: digest.NewHasher()}
}

// Read implements io.Reader. It ends with the context, also below a decompressor
// that finds nothing to give out.
func (in *input) Read(b []byte) (int, error) {
	if in.ctx.Err() != nil {
		return 0, context.Cause(in.ctx)
	}
	n, err := in.r.Read(b)
	_, _ = in.hash.Write(b[:n])
	if err != nil {
		in.err = err
	}
	if in.left -= int64(n); in.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// drain reads the rest, and fails if the whole was not d.
func (in *input) drain(d digest.Digest) error {
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if got := in.hash.Digest(); got != d {
		return fmt.Errorf("content is %s, want %s: %w", got.Short(), d.Short(), errOtherContent)
	}
	return nil
}

// blames reports, after learning failed, whether the index d is itself the reason:
// neither its reader failed nor did other bytes come.
func (in *input) blames(ctx context.Context, d digest.Digest) bool {
	if in.err != nil && !errors.Is(in.err, io.EOF) {
		return false
	}
	in.ctx = ctx // its own may have ended with the time
	err := in.drain(d)
	return err == nil || errors.Is(err, errTooLong)
}

var errOtherContent = errors.New("the bytes are damaged")

const (
	// maxUnreadable bounds what is remembered of indices that could not be read,
	// some 100 bytes each. Over it the oldest is forgotten.
	maxUnreadable = 4096
	// retryUnreadable is when such an index is tried again: the machine may have
	// been busy, or the box may read more after an update. Once an hour, a bomb
	// costs next to nothing.
	retryUnreadable = time.Hour
)

// attempt is what decides whether an index can be read: with other limits, or
// under a name that says something else of its format, it is another one.
type attempt struct {
	content
	limits
}

// unreadable remembers the indices that could not be read. The zero value
// remembers none.
type unreadable struct {
	mu    sync.Mutex // guards what follows
	since map[attempt]time.Time
	order []attempt // by time
}

func (u *unreadable) has(a attempt, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	since, ok := u.since[a]
	return ok && now.Sub(since) < retryUnreadable
}

func (u *unreadable) add(a attempt, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since == nil {
		u.since = make(map[attempt]time.Time)
	}
	if _, ok := u.since[a]; !ok {
		u.order = append(u.order, a)
	}
	u.since[a] = now
	if len(u.order) > maxUnreadable {
		delete(u.since, u.order[0])
		u.order = u.order[1:]
	}
}

// readable reports whether the index e may be one that can be read.
func (c *Catalog) readable(e Entry) bool {
	k, err := c.kindOf(e)
	return err == nil && !c.unreadable.has(attempt{content{e.Digest, k}, c.limitsOf(e)}, c.now())
}
