package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"millpond/internal/disk"
)

// troubleFor is how long Trouble tells of what was found: a day, so that somebody who
// looks once a day sees it.
const troubleFor = 24 * time.Hour

// Trouble is what is wrong with the files of a store, or was during the last day.
type Trouble struct {
	Damaged   int       // blobs that were found damaged, and removed
	DamagedAt time.Time // when the last of them was
	Missing   int       // blobs whose files something else has removed
	MissingAt time.Time
}

// Trouble returns what is wrong now.
func (s *Store) Trouble() Trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trouble
	if time.Since(t.DamagedAt) >= troubleFor {
		t.Damaged = 0
	}
	if time.Since(t.MissingAt) >= troubleFor {
		t.Missing = 0
	}
	return t
}

// damaged counts a blob that was found damaged.
func (s *Store) damaged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, now := &s.trouble, time.Now()
	if now.Sub(t.DamagedAt) >= troubleFor {
		t.Damaged = 0
	}
	t.Damaged, t.DamagedAt = t.Damaged+1, now
}

// missed counts blobs whose files are missing, and has Run look for more of them.
func (s *Store) missed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, now := &s.trouble, time.Now()
	if now.Sub(t.MissingAt) >= troubleFor {
		t.Missing = 0
	}
	t.Missing, t.MissingAt = t.Missing+n, now
	s.missing.Call()
}

// stockEvery is how often, at most, the files of all blobs are looked for.
const stockEvery = 10 * time.Minute

// takeStock forgets the blobs whose files are missing, soon after one or a directory was
// found to be: what is not there takes no room, and is not announced.
func (s *Store) takeStock(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.missing:
		}
		s.forgetMissing(ctx)
		select {
		case <-s.missing: // by what was found just now
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(stockEvery):
		}
	}
}

func (s *Store) forgetMissing(ctx context.Context) {
	for b, err := range s.All() {
		if err != nil {
			s.log.Warn("missing blobs are still listed", "err", err)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if _, err := os.Lstat(s.blobPath(b.Digest)); errors.Is(err, fs.ErrNotExist) {
			s.forget(b.Digest)
		}
	}
}

// remaking does what needs a directory of the store. If something has removed that
// directory, it is made again and do gets a second try.
func (s *Store) remaking(dir string, do func() error) error {
	err := do()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, gone := os.Stat(dir)
	if _, e := os.Stat(s.dir); e != nil || !errors.Is(gone, fs.ErrNotExist) {
		return err // without the data directory the disk is away, not emptied
	}
	s.log.Warn("directory of the store is missing, made again; its files are lost", "directory", dir)
	s.missed(0)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := errors.Join(os.MkdirAll(d, 0o755), disk.SyncDir(d)); err != nil {
			return fmt.Errorf("making a directory of the store again: %w", err)
		}
	}
	if err := disk.SyncDir(s.dir); err != nil {
		return fmt.Errorf("making a directory of the store again: %w", err)
	}
	return do()
}

// makeFile does what makes a file in a directory of the store. Where the disk is full,
// of files perhaps, blobs make way and do gets a second try. The error is diskFault's.
func (s *Store) makeFile(dir string, do func() error) error {
	try := func() error {
		if err := s.fault("create"); err != nil {
			return err
		}
		return s.remaking(dir, do)
	}
	err := try()
	if errors.Is(err, syscall.ENOSPC) {
		s.relieve()
		err = try()
	}
	return s.diskFault(err)
}

// newPattern names files that the next start sweeps.
const (
	newPattern = newPrefix + "*"
	newPrefix  = "new-"
)

func (s *Store) createTemp() (file *os.File, err error) {
	err = s.makeFile(s.partialDir(), func() (err error) {
		file, err = os.CreateTemp(s.partialDir(), newPattern)
		return err
	})
	return file, err
}
