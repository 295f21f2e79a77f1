package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"millpond/internal/kv"
)

// ErrDisk means that the disk, or the database on it, did not do what it was asked to,
// for another reason than lack of room.
var ErrDisk = errors.New("the disk of the store failed")

// Unkept reports whether err says that a file cannot be kept, for lack of room or since
// the disk fails. It can be passed on all the same.
func Unkept(err error) bool { return errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDisk) }

// The free space that a store leaves is a hundredth of the disk, but so much at least
// that the database beside it goes on while the store makes room, and at most 1 GiB.
const (
	LeastFree = 2 * kv.Margin
	mostFree  = 1 << 30
	// LeastFiles is how many more files the disk must have room for.
	LeastFiles = 4 * kv.MarginFiles
)

// measureEvery is how long a measurement of the free space serves writes.
const measureEvery = time.Second

// room is the last measurement of the free space.
type room struct {
	mu   sync.Mutex // guards both; no other lock is taken under it but by space
	at   time.Time
	left int64 // bytes free when measured, less those written since
}

// mayWrite refuses a write of n bytes that the disk has no room for. Room was
// reserved, but other programs may have filled the disk since, and the database needs
// some: half of minFree is left for it. While four times that is
// free, one measurement a second is enough: others would have to write the
// rest, 1.5 GB on a large disk, within it.
func (s *Store) mayWrite(n int) error {
	if err := s.fault("write"); err != nil {
		return err
	}
	r := &s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left-int64(n) < 2*s.minFree || time.Since(r.at) >= measureEvery {
		d, err := s.space()
		if err != nil {
			return err
		}
		r.left, r.at = d.Free, time.Now()
	}
	if r.left-int64(n) < s.minFree/2 {
		return fmt.Errorf("%w: %d bytes are left on the disk", ErrNoSpace, r.left)
	}
	r.left -= int64(n)
	return nil
}

// diskFault adds to an error of the disk, or of the database, what it means: ErrNoSpace
// if the disk, or a quota of it, is full, else ErrDisk. Err tells of it until a write
// succeeds.
func (s *Store) diskFault(err error) error {
	switch {
	case err == nil || Unkept(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	default:
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
	return err
}

// Err returns why files are not kept at present, or nil: the disk is full, is stuck, or
// refused the last write.
func (s *Store) Err() error {
	d, err := s.space()
	switch {
	case err != nil:
		return err
	case d.ReadOnly:
		return fmt.Errorf("%w: %w", ErrDisk, syscall.EROFS)
	case d.Free < s.minFree/2:
		return fmt.Errorf("%w: %d MiB are free on the disk, and the box leaves %d", ErrNoSpace, d.Free>>20, s.minFree>>21)
	case d.Files < kv.MarginFiles:
		return fmt.Errorf("%w: the disk has room for %d more files, and the box leaves %d", ErrNoSpace, d.Files, kv.MarginFiles)
	}
	if err := s.stuck(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// tryDisk writes a file if the last write failed, so that Err says when the disk is
// well again.
func (s *Store) tryDisk() {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed == nil {
		return
	}
	if err := s.writeProbe(); err == nil {
		s.worked()
	}
}

// worked notes that the disk took a file.
func (s *Store) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = nil
}

// writeProbe writes a file as Commit does, and removes it.
func (s *Store) writeProbe() error {
	f, err := os.CreateTemp(s.partialDir(), newPattern)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	for _, op := range []string{"create", "write", "sync", "chmod", "name", "syncdir"} {
		if err := s.fault(op); err != nil {
			return err
		}
	}
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return errors.Join(f.Chmod(publicMode), f.Sync(), s.table.Put(probeKey, nil))
}

// shortFiles returns how many bytes must be freed so that the disk has room for
// LeastFiles more files, as far as the blobs' mean size says. Caller holds mu.
func (s *Store) shortFiles(files int64) int64 {
	if files >= LeastFiles {
		return 0
	}
	c := &s.count
	return (LeastFiles - files) * max((c.bytes+c.idle)/max(c.blobs+int64(len(s.idle)), 1), 1)
}
