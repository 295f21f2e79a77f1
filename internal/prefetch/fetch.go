package prefetch

import (
	"context"
	"errors"
	"fmt"

	"millpond/internal/catalog"
	"millpond/internal/store"
)

const (
	// parallel is how many files are fetched at once: enough to hide the
	// round trip between two, and few beside the requests of clients.
	parallel = 2
	// maxFailures is how many files in a row may fail before the rest is left
	// out: with the mirror unreachable all would fail.
	maxFailures = 8
	// minFree is the share of the disk below which nothing is prefetched,
	// whatever the quota leaves: the store also evicts when other programs fill
	// the disk, from 1 % free on.
	minFree = 0.05
)

// result is how a file's fetching ended.
type result struct {
	entry catalog.Entry
	err   error
}

// fetch has the store hold the files in order, as far as there is room.
func (s *Prefetcher) fetch(ctx context.Context, files []catalog.Entry) error {
	s.count(func(t *State) {
		t.Files += int64(len(files))
		for _, e := range files {
			t.Bytes += max(e.Size, 0)
		}
	})
	var (
		results  = make(chan result)
		running  int
		reserved int64 // bytes of those running, which the store may count, too
		failed   int   // in a row
		last     error
	)
	collect := func() {
		r := <-results
		running--
		reserved -= max(r.entry.Size, 0)
		s.note(r)
		if failed++; r.err == nil || store.Unkept(r.err) {
			failed = 0
		}
		last = r.err
	}
	for _, e := range files {
		for running == parallel || running > 0 && !s.fits(reserved+e.Size) {
			collect()
		}
		if failed >= maxFailures || ctx.Err() != nil {
			break
		}
		if !s.fits(e.Size) {
			s.count(func(t *State) { t.NoRoom++ })
			continue
		}
		running++
		reserved += max(e.Size, 0)
		go func() { results <- result{e, s.fetcher.Keep(ctx, e)} }()
	}
	for running > 0 {
		collect()
	}
	if failed >= maxFailures && ctx.Err() == nil {
		return fmt.Errorf("given up after %d failures in a row: %w", failed, last)
	}
	return nil
}

// fits reports whether n more bytes can be stored without evicting any.
func (s *Prefetcher) fits(n int64) bool {
	if free, err := s.store.DiskFree(); err != nil || free < minFree {
		return false
	}
	u := s.store.Usage()
	return u.Bytes+u.Partial+u.Beside+n <= u.QuotaBytes
}

// note counts how a file's fetching ended.
func (s *Prefetcher) note(r result) {
	s.count(func(t *State) {
		switch {
		case r.err == nil:
			t.FilesDone++
			t.BytesDone += max(r.entry.Size, 0)
		case store.Unkept(r.err):
			t.NoRoom++
		case !errors.Is(r.err, context.Canceled):
			t.FilesFailed++
			s.log.Warn("file not prefetched", "url", r.entry.Location.String(), "err", r.err)
		}
	})
}

// count changes the figures of the running prefetch.
func (s *Prefetcher) count(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}
