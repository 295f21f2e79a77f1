package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

// maxAttempts is after how many turns that did not get all of a generation the Prefetcher
// is told of it nevertheless: one file that its mirror does not have is not to keep the
// packages away for good. Should the file come later, the Prefetcher is told once more.
const maxAttempts = 3

// outcome is how a suite's turn went.
type outcome struct {
	asked      bool          // the mirror, or it was asked for a client lately
	age        time.Duration // since that
	generation digest.Digest // that was in force when the files were fetched; zero if the mirror did not answer
	err        error
	progress
}

// progress is how many of the files of a Release that somebody wants are held.
type progress struct{ held, total int }

// take takes a suite's turn: it asks the mirror, if that is due, and fetches what is
// missing.
func (f *Follower) take(ctx context.Context, s *suite) {
	limited, cancel := context.WithTimeoutCause(ctx, turn, fmt.Errorf("not all arrived within %v", turn))
	defer cancel()
	o := f.ask(limited, s)
	if o.err == nil {
		g, _ := f.catalog.Generation(s.dir, digest.Digest{})
		o.generation = g.ID
		o.progress, o.err = f.fetchMissing(limited, s.dir)
	}
	if f.settle(ctx, s, o) && f.prefetch != nil {
		f.prefetch.Changed(s.dir)
	}
	f.ended.Call()
}

// ask asks the mirror of a suite, if that is due and it was not asked for a client
// lately.
func (f *Follower) ask(ctx context.Context, s *suite) (o outcome) {
	now := time.Now()
	f.mu.Lock()
	o.asked = !s.next.After(now)
	f.mu.Unlock()
	if !o.asked {
		return o
	}
	at, stale := f.fetch.Checked(s.dir)
	if o.age = now.Sub(at); stale == "" && at.After(f.began) && o.age < interval/2 {
		return o
	}
	o.age = 0
	if err := f.fetch.Refresh(ctx, s.dir); err != nil {
		o.err = fmt.Errorf("asking the mirror: %w", err)
	}
	return o
}

// settle notes how a turn ended and when the next one is, and reports whether the
// Prefetcher is to be told of a new generation.
func (f *Follower) settle(ctx context.Context, s *suite, o outcome) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.running = false
	if ctx.Err() != nil {
		return false // the box is shutting down
	}
	if o.err == nil {
		s.failures, s.fault = 0, ""
		if o.asked {
			s.next = time.Now().Add(jittered(interval) - o.age)
		}
	} else {
		s.failures, s.fault = s.failures+1, o.err.Error()
		wait := retry(s.failures)
		if !o.generation.IsZero() {
			// The mirror answers, and what it publishes next is not to come late since it
			// lacks a file of this.
			wait = min(wait, jittered(interval))
		}
		if next := time.Now().Add(wait); o.asked || next.Before(s.next) {
			s.next = next
		}
		f.log.Warn("followed suite not up to date", "suite", s.dir.String(), "failures", s.failures, "next", s.next.UTC().Format(time.RFC3339), "err", o.err)
	}
	if o.generation.IsZero() {
		return false
	}
	s.held, s.total = o.held, o.total
	if s.tried != o.generation {
		s.tried, s.attempts = o.generation, 0
	}
	s.attempts++
	complete := o.err == nil
	if s.settled == o.generation && !(s.lacking && complete) || !complete && s.attempts < maxAttempts {
		return false
	}
	s.settled, s.lacking = o.generation, !complete
	return s.depth() != Indices
}

// Update makes the catalog know the present generation of a suite, and fetches what
// replaces what clients used of earlier ones, whether it is followed or not. It returns
// when all of it is held.
func (f *Follower) Update(ctx context.Context, dir catalog.Location) error {
	if f.offline {
		return mirror.ErrOffline
	}
	if err := f.fetch.Refresh(ctx, dir); err != nil {
		return err
	}
	_, err := f.fetchMissing(ctx, dir)
	return err
}

// fetchMissing fetches what clients use of the generation in force of a suite, and what
// the setting names, one file after the other. What cannot be fetched does not keep the
// rest away; the error is the first one.
func (f *Follower) fetchMissing(ctx context.Context, dir catalog.Location) (p progress, first error) {
	missing, err := f.missing(dir)
	if err != nil {
		return p, err
	}
	failed := 0
	for _, forms := range missing {
		if err := f.keepOne(ctx, forms); err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if p.held, err = f.catalog.HeldOf(dir, f.isHeld); err != nil && first == nil {
		first = err
	}
	p.total = p.held + failed
	if first != nil && failed > 1 {
		first = fmt.Errorf("%w; and %d more files", first, failed-1)
	}
	return p, first
}

// missing returns the files that are to be fetched, each in the forms in which it would
// do.
func (f *Follower) missing(dir catalog.Location) ([][]catalog.Entry, error) {
	used, err := f.catalog.Successors(dir, f.isHeld)
	if err != nil {
		return nil, err
	}
	all := make([][]catalog.Entry, 0, len(used))
	coming := make(map[digest.Digest]bool)
	for _, e := range used {
		all, coming[e.Digest] = append(all, []catalog.Entry{e}), true
	}
	for _, entry := range f.entries[dir] {
		named, err := f.catalog.Indices(dir, entry.Wanted())
		if err != nil {
			return nil, err
		}
		for _, forms := range named {
			e := forms[0] // the one that apt takes
			if !coming[e.Digest] && (e.Index || !f.isHeld(e.Digest)) {
				all, coming[e.Digest] = append(all, forms), true
			}
		}
	}
	return all, nil
}

// keepOne fetches a file in the first of its forms that the mirror has.
func (f *Follower) keepOne(ctx context.Context, forms []catalog.Entry) (err error) {
	for _, e := range forms {
		if err = f.fetch.Keep(ctx, e); err == nil {
			return nil
		}
		var status *mirror.StatusError
		if !errors.As(err, &status) {
			return fmt.Errorf("%s: %w", e.Location, err)
		}
	}
	return fmt.Errorf("%s: %w", forms[0].Location, err)
}

// isHeld reports whether the store has d.
func (f *Follower) isHeld(d digest.Digest) bool {
	_, err := f.store.Stat(d)
	return err == nil
}
