package store

import (
	"fmt"
	"time"
)

const (
	// maxSyncing is how many files may wait for the disk at once. Each has a file open.
	maxSyncing = 64
	// stuckAfter is how long a file waits before the disk counts as stuck. A card that
	// collects its garbage takes seconds.
	stuckAfter = 10 * time.Second
)

// beginSync notes that p waits for the disk to take it.
func (s *Store) beginSync(p *Partial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncing[p] = time.Now()
}

func (s *Store) endSync(p *Partial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.syncing, p)
}

// stuck returns why no file is begun while others wait for the disk: the next one would
// wait, too, and with it who asked for it.
func (s *Store) stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.syncing) >= maxSyncing {
		return fmt.Errorf("%w: %d files wait for it", ErrDisk, len(s.syncing))
	}
	for _, since := range s.syncing {
		if waits := time.Since(since); waits >= stuckAfter {
			return fmt.Errorf("%w: it has not taken a file for %v", ErrDisk, waits.Truncate(time.Second))
		}
	}
	return nil
}
