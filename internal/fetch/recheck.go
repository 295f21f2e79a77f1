package fetch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch/turns"
	"millpond/internal/front"
	"millpond/internal/store"
)

const (
	// recheckEvery is how long a blob that was found to be right is not hashed again,
	// whoever comes back for it: many clients may share an address.
	recheckEvery = time.Hour
	// recheckWait is how long a client waits for it. A few hundred megabytes are
	// hashed by then, and of a larger file the next request gets what is right.
	recheckWait = 2 * time.Second
	// maxRechecked bounds the blobs of which it is known that they were hashed. The
	// oldest gives way, and is hashed once more.
	maxRechecked = 4096
)

// rechecksInTurn has blobs hashed one at a time, so that those who are served have the
// rest of the processor and of the disk.
var rechecksInTurn = turns.Bounds{AtOnce: 1, OthersAtOnce: 1, Others: 64, OfParty: 16}

// rechecks are the blobs that are hashed again since clients came back for them.
type rechecks struct {
	verify func(digest.Digest) error
	queue  *turns.Queue
	log    *slog.Logger

	mu      sync.Mutex // guards what follows
	pending map[digest.Digest]chan struct{}
	right   map[digest.Digest]time.Time // when it was found to be; at most maxRechecked
	order   []digest.Digest             // those in right, the oldest first
}

// newRechecks returns rechecks of what s holds, whose goroutines start runs, until
// lifetime ends.
func newRechecks(s *store.Store, lifetime context.Context, start func(func()), log *slog.Logger) *rechecks {
	return &rechecks{
		verify:  func(d digest.Digest) error { return s.Verify(lifetime, d) },
		queue:   turns.New(rechecksInTurn, start, func() bool { return lifetime.Err() != nil }),
		log:     log,
		pending: make(map[digest.Digest]chan struct{}), right: make(map[digest.Digest]time.Time),
	}
}

// recheck has the held blob d hashed if r's client comes back for it, and waits for
// recheckWait at most. One that is damaged is not held after that.
func (f *Fetcher) recheck(ctx context.Context, r Request, d digest.Digest) {
	if r.Again && !f.rechecks.isRight(d) && f.holds(d) {
		f.rechecks.await(ctx, r.Party, d)
	}
}

// await is begin for a client that waits.
func (c *rechecks) await(ctx context.Context, party front.Party, d digest.Digest) {
	wait := time.NewTimer(recheckWait)
	defer wait.Stop()
	select {
	case <-c.begin(party, d):
	case <-wait.C:
	case <-ctx.Done():
	}
}

// begin has d hashed, unless it was within recheckEvery or too many others wait. What it
// returns is closed when there is nothing to wait for any more.
func (c *rechecks) begin(party front.Party, d digest.Digest) <-chan struct{} {
	c.mu.Lock()
	done, pending := c.pending[d]
	if pending {
		c.mu.Unlock()
		return done
	}
	done = make(chan struct{})
	if c.known(d) {
		c.mu.Unlock()
		close(done)
		return done
	}
	c.pending[d] = done
	c.mu.Unlock()
	queued := c.queue.Add(turns.Job{Party: party.String(), Do: func() { c.hash(d) }, Done: func() {
		c.mu.Lock()
		delete(c.pending, d)
		c.mu.Unlock()
		close(done)
	}})
	if !queued {
		c.log.Debug("blob that a client came back for not hashed, as many others wait", "digest", d)
	}
	return done
}

// isRight reports whether d was found to be right within recheckEvery.
func (c *rechecks) isRight(d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known(d)
}

// known is isRight for callers that hold mu.
func (c *rechecks) known(d digest.Digest) bool {
	at, known := c.right[d]
	return known && time.Since(at) < recheckEvery
}

// hash verifies a blob, which removes it if it is damaged. The next one of that digest
// counts as another one.
func (c *rechecks) hash(d digest.Digest) {
	switch err := c.verify(d); {
	case err == nil:
		c.found(d)
	case errors.Is(err, store.ErrMismatch), errors.Is(err, fs.ErrNotExist), errors.Is(err, context.Canceled):
	default:
		c.log.Warn("blob that a client came back for not readable", "digest", d, "err", err)
	}
}

// found notes that a blob is right.
func (c *rechecks) found(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) >= maxRechecked || len(c.order) > 0 && time.Since(c.right[c.order[0]]) >= recheckEvery {
		delete(c.right, c.order[0])
		c.order = c.order[1:]
	}
	c.right[d] = time.Now()
	c.order = append(c.order, d)
}
