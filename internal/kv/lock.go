package kv

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrLocked means that another process has the database open.
var ErrLocked = errors.New("in use by another process")

// lockDir makes dir if need be and takes the exclusive lock on it, the one
// that Badger's own tools look at. The kernel releases the lock when
// the process ends: no stale lock is left behind.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w: stop that process, or use another data directory", dir, ErrLocked)
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}

// unlockDir releases the lock of lockDir. Closing the file is not enough: a
// child that another goroutine is starting has it open until it runs its
// program.
func unlockDir(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
