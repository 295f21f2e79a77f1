package store

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/time/rate"

	"millpond/internal/digest"
)

const (
	// usedWork decides when a blob in use is verified: when its uses since the last time,
	// multiplied with the time since the first of them, are that much. One that is used
	// once is verified a day later, and one that is used a hundred times an hour within
	// the hour.
	usedWork = 24 * time.Hour
	// usedLeast is how long it is not verified again at least.
	usedLeast = 30 * time.Minute
	// usedEvery is how often blobs are chosen.
	usedEvery = time.Minute
)

// use is how a blob was used since it was verified last.
type use struct {
	since time.Time
	times int64
}

// countUse notes a use. Caller holds mu.
func (s *Store) countUse(d digest.Digest) {
	u, known := s.inUse[d]
	switch {
	case known:
	case len(s.inUse) >= maxUses:
		return // scrub comes to it
	default:
		u.since = time.Now()
	}
	u.times++
	s.inUse[d] = u
}

// verified notes that a blob is as it should be.
func (s *Store) verified(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inUse, d)
}

// due returns the blobs that are used so much that they are to be verified at now.
func (s *Store) due(now time.Time) (all []digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, u := range s.inUse {
		if age := now.Sub(u.since); age >= usedLeast && age >= usedWork/time.Duration(u.times) {
			all = append(all, d)
		}
	}
	return all
}

// scrubUsed verifies the blobs in use, as often as they are used.
func (s *Store) scrubUsed(ctx context.Context, limit *rate.Limiter) {
	t := time.NewTicker(usedEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.verifyUsed(ctx, now, limit)
		}
	}
}

// verifyUsed verifies what is due at now.
func (s *Store) verifyUsed(ctx context.Context, now time.Time, limit *rate.Limiter) {
	for _, d := range s.due(now) {
		err := s.verify(ctx, d, limit)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, ErrMismatch) && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("blob in use not readable", "digest", d, "err", err)
		}
		s.verified(d) // also what is gone, or cannot be read for now
	}
}
