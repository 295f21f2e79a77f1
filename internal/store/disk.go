package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"
)

// Disk is a file system.
type Disk struct {
	Total, Free int64  // bytes; Free counts what an ordinary user may write
	Type        uint32 // its number in statfs(2)
	// How many files it may have, and how many more it has room for; both 0 where there
	// is no limit.
	Inodes, FreeInodes int64
}

// DiskOf returns the file system that dir is on.
func DiskOf(dir string) (Disk, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Disk{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return disk(&st), nil
}

// disk converts the fields, whose width and sign differ between machines.
func disk(st *syscall.Statfs_t) Disk {
	block := int64(st.Bsize)
	return Disk{Total: int64(st.Blocks) * block, Free: int64(st.Bavail) * block, Type: uint32(st.Type),
		Inodes: int64(st.Files), FreeInodes: int64(st.Ffree)}
}

// measureEvery is how long a measurement of the free space serves writes.
const measureEvery = time.Second

// room is the last measurement of the free space.
type room struct {
	mu   sync.Mutex // guards both; no other lock is taken under it but by free
	at   time.Time
	left int64 // bytes free when measured, less those written since
}

// mayWrite refuses a write of n bytes that the disk has no room for. Room was
// reserved, but other programs may have filled the disk since, and kv does not
// survive a full one: half of minFree is left for it. While four times that is
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
		free, err := s.free()
		if err != nil {
			return err
		}
		r.left, r.at = free, time.Now()
	}
	if r.left-int64(n) < s.minFree/2 {
		return fmt.Errorf("%w: %d bytes are left on the disk", ErrNoSpace, r.left)
	}
	r.left -= int64(n)
	return nil
}

// noSpace adds ErrNoSpace to an error of a disk or disk quota that is full.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
