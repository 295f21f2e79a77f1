package keep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

const (
	// parallel is how many files are fetched at once: enough to hide the round trip
	// between two, and few beside the requests of clients.
	parallel = 2
	// maxFailures is how many files of a pass may fail before the rest is left for the
	// next one: with the mirror unreachable all would fail.
	maxFailures = 16
)

var (
	// errSuperseded ends a pass: the suite has a newer generation, which is planned first.
	errSuperseded = errors.New("a newer generation is there")
	// errTurn ends a pass that has taken its turn, for another system.
	errTurn = errors.New("another system is to have its turn")
)

// open opens a held index, uncompressed. done must be called.
func (k *Keeper) open(ctx context.Context, d digest.Digest) (text io.Reader, done func(), err error) {
	blob, err := k.store.OpenVerified(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	text, end, err := catalog.IndexText(blob)
	if err != nil {
		blob.Close()
		return nil, nil, err
	}
	return text, func() { end(); blob.Close() }, nil
}

// holds reports whether a file is held, and pinned for the suite.
func (k *Keeper) holds(s *suite, r row) bool {
	info, err := k.store.Stat(r.digest)
	return err == nil && (r.size < 0 || info.Size == r.size) && slices.Contains(info.Pins, s.owner)
}

// hold has the store hold a file and pins it.
func (k *Keeper) hold(ctx context.Context, s *suite, r row, e catalog.Entry) error {
	for range 3 { // it may be evicted before it is pinned
		// Of an index that is held the catalog may not know yet what it lists.
		if _, err := k.store.Stat(r.digest); err != nil || e.Index {
			if err := k.fetcher.Keep(ctx, e); err != nil {
				return err
			}
		}
		err := k.store.Pin(r.digest, s.owner)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("%s: evicted three times before it was pinned: the cache is too small", e.Location)
}

// needs reports whether a file is of the plan, or of the generation that is complete.
func (s *suite) needs(r row) bool {
	return r.complete || s.record.Ready && r.plan == s.record.Plan
}

// audit counts what is held of the files that a suite needs, and reports whether all are.
func (k *Keeper) audit(ctx context.Context, s *suite) (whole bool, err error) {
	t := State{}
	whole = true
	for r, err := range k.files.of(s.dir.String()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, err
		}
		held := k.holds(s, r)
		whole = whole && (held || !s.needs(r))
		if r.complete {
			t.CompleteFiles++
			t.CompleteBytes += max(r.size, 0)
			if !held {
				t.FilesGone++
			}
		}
		if s.record.Plan == r.plan && held {
			t.FilesHeld++
			t.BytesHeld += max(r.size, 0)
		}
	}
	k.update(s, func(old *State) {
		s.show(old)
		old.FilesGone, old.FilesHeld, old.BytesHeld = t.FilesGone, t.FilesHeld, t.BytesHeld
		old.CompleteFiles, old.CompleteBytes = t.CompleteFiles, t.CompleteBytes
	})
	return whole, nil
}

// show writes what the record says into a state.
func (s *suite) show(t *State) {
	r := &s.record
	t.System, t.Complete, t.CompleteDate, t.Since = r.System, r.Complete, r.CompleteDate, r.Since
	t.Wanted, t.WantedDate, t.Files, t.Bytes, t.Lacks, t.MoreLacks = r.Wanted, r.WantedDate, r.Files, r.Bytes, r.Lacks, r.MoreLacks
}

// passError says what a pass could not get.
type passError struct {
	failed, gone int   // files, and those of them that the mirror does not have any more
	first        error // the first file's
}

func (e *passError) Error() string {
	switch {
	case e.gone > 0:
		return fmt.Sprintf("the mirror does not have %d files any more (%v); a newer generation is waited for", e.gone, e.first)
	case e.failed >= maxFailures:
		return fmt.Sprintf("given up after %d files: %v", e.failed, e.first)
	}
	return fmt.Sprintf("%d files were not fetched: %v", e.failed, e.first)
}

func (e *passError) Unwrap() error { return e.first }

// job is a file to be fetched.
type job struct {
	suite *suite
	row   row
}

// pass is one attempt to hold all that some suites need.
type pass struct {
	k *Keeper

	mu  sync.Mutex
	err passError // guarded by mu
}

// fetch has the store hold what the suites need. The error is a passError if some files
// could not be fetched, or that of over, which ends the pass.
func (k *Keeper) fetch(ctx context.Context, suites []*suite, over func() error) error {
	p := &pass{k: k}
	jobs := make(chan job)
	var g errgroup.Group // what is being fetched when the pass is over is fetched to its end
	g.Go(func() error {
		defer close(jobs)
		return p.offer(ctx, jobs, suites, over)
	})
	for range parallel {
		g.Go(func() error {
			for j := range jobs {
				p.do(ctx, j)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if p.err.failed > 0 {
		return &p.err
	}
	return ctx.Err()
}

// offer passes on the files that are needed and not held.
func (p *pass) offer(ctx context.Context, jobs chan<- job, suites []*suite, over func() error) error {
	for _, s := range suites {
		for r, err := range p.k.files.of(s.dir.String()) {
			switch {
			case err != nil:
				return err
			case !s.needs(r) || p.k.holds(s, r):
				continue
			case p.failures() >= maxFailures:
				return nil
			}
			if err := over(); err != nil {
				return err
			}
			select {
			case jobs <- job{s, r}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

func (p *pass) failures() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err.failed
}

// do fetches a file, and counts it.
func (p *pass) do(ctx context.Context, j job) {
	err := p.k.hold(ctx, j.suite, j.row, j.suite.entry(j.row, p.k.catalog))
	if err == nil {
		p.k.update(j.suite, func(t *State) {
			if j.row.plan == j.suite.record.Plan {
				t.FilesHeld++
				t.BytesHeld += max(j.row.size, 0)
			}
			if j.row.complete {
				t.FilesGone = max(t.FilesGone-1, 0)
			}
		})
		return
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err.failed++
	if mirror.IsAbsent(err) || errors.Is(err, store.ErrMismatch) {
		p.err.gone++
	}
	if p.err.first == nil {
		p.err.first = fmt.Errorf("%s: %w", path.Base(j.row.path), err)
	}
}

// switchTo makes the planned generation of all suites the one in which they are
// complete, all in one step, and releases the files that only the one before had.
func (k *Keeper) switchTo(suites []*suite, now time.Time) error {
	for _, s := range suites {
		r := &s.record
		if r.Complete != r.Wanted || r.Since.IsZero() {
			r.Since = now
		}
		r.Complete, r.CompleteDate, r.Switched, r.Settled = r.Wanted, r.WantedDate, true, false
	}
	if err := k.files.save(suites...); err != nil {
		return err
	}
	for _, s := range suites {
		if err := k.settle(s); err != nil {
			return err
		}
	}
	return nil
}

// settle brings the rows in step with a record that says that the suite has switched.
func (k *Keeper) settle(s *suite) error {
	if !s.record.Switched || s.record.Settled {
		return nil
	}
	batch := k.files.table.Batch()
	defer batch.Cancel()
	for r, err := range k.files.of(s.dir.String()) {
		switch {
		case err != nil:
			return err
		case r.plan != s.record.Plan:
			if err := k.release(s, r); err != nil {
				return err
			}
		case !r.complete:
			r.complete = true
			if err := batch.Put(fileKey(s.dir.String(), r.digest), r.encode()); err != nil {
				return err
			}
		}
	}
	if err := batch.Flush(); err != nil {
		return err
	}
	s.record.Settled = true
	return k.files.save(s)
}
