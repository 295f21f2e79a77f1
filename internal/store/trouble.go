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
	Unkept    error // why the last file that was to be kept was not; nil if it was
	NoInodes  bool  // the disk has room for few more files
}

// Trouble returns what is wrong now.
func (s *Store) Trouble() Trouble {
	short, err := s.inodeShortage()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trouble
	if time.Since(t.DamagedAt) >= troubleFor {
		t.Damaged = 0
	}
	if time.Since(t.MissingAt) >= troubleFor {
		t.Missing = 0
	}
	t.NoInodes = err == nil && short > 0
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

// lost counts blobs whose files are missing, and has Run look for more of them.
func (s *Store) lost(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, now := &s.trouble, time.Now()
	if now.Sub(t.MissingAt) >= troubleFor {
		t.Missing = 0
	}
	t.Missing, t.MissingAt = t.Missing+n, now
	s.missing.Call()
}

// kept notes whether the disk took a file. That the quota has no room is no trouble of
// the disk.
func (s *Store) kept(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble.Unkept = err
	return err
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
	s.lost(0)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := errors.Join(os.MkdirAll(d, 0o755), syncDir(d)); err != nil {
			return fmt.Errorf("making a directory of the store again: %w", err)
		}
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("making a directory of the store again: %w", err)
	}
	return do()
}

// maxMinInodes bounds how many inodes are left free, of a hundredth of them: as many as
// the files that 256 clients download at once need, and the database.
const maxMinInodes = 2048

// inodeShortage returns how many inodes are to be freed.
func (s *Store) inodeShortage() (int64, error) {
	total, free, err := s.inodes()
	return min(total/100, maxMinInodes) - free, err
}

// relieveInodes evicts blobs when the disk has room for few more files, whatever has
// taken the room.
func (s *Store) relieveInodes() {
	short, err := s.inodeShortage()
	if err != nil {
		s.log.Warn("free inodes unknown", "err", err)
		return
	}
	if short <= 0 {
		return
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	files := 0
	for ; int64(files) < short && s.evict(1, 0, signed) > 0; files++ {
	}
	if files > 0 {
		s.log.Warn("inodes of the disk nearly used up, blobs evicted", "blobs", files, "wanted", short)
	}
}

// withInode does what makes a file. Where the disk has room for no more files, some make
// way and do gets a second try.
func (s *Store) withInode(do func() error) error {
	err := do()
	if short, e := s.inodeShortage(); e == nil && short > 0 && errors.Is(err, syscall.ENOSPC) {
		s.relieveInodes()
		return do()
	}
	return err
}

// makeFile does what makes a file in a directory of the store. It wraps ErrNoSpace if
// the disk has no room.
func (s *Store) makeFile(dir string, do func() error) error {
	err := s.withInode(func() error { return s.remaking(dir, do) })
	if err != nil {
		return s.kept(noSpace(err))
	}
	return nil
}
