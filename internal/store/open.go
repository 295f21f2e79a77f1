package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"millpond/internal/digest"
)

// Open opens a blob for reading and notes its use. The error wraps
// fs.ErrNotExist if the blob is not held. One whose file has another size than it
// should is removed, and is not held.
func (s *Store) Open(d digest.Digest) (*Blob, error) {
	b, err := s.hold(d)
	if err == nil {
		s.note(d)
	}
	return b, err
}

// OpenVerified is Open for a small file: it is hashed first, which for a megabyte takes
// a few milliseconds. One that is damaged is removed, and is not held.
func (s *Store) OpenVerified(ctx context.Context, d digest.Digest) (*Blob, error) {
	b, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	if err = s.check(ctx, b, nil); err == nil {
		_, err = b.Seek(0, io.SeekStart)
	}
	if err != nil {
		b.Close()
		if errors.Is(err, ErrMismatch) {
			return nil, notHeld(d)
		}
		return nil, err
	}
	return b, nil
}

// hold opens a blob without noting a use.
func (s *Store) hold(d digest.Digest) (*Blob, error) {
	s.mu.Lock()
	if s.removing == d {
		s.mu.Unlock()
		return nil, notHeld(d)
	}
	s.open[d]++ // first: from here on it is not evicted
	s.mu.Unlock()
	b, err := s.openFile(d)
	if err != nil {
		s.release(d)
	}
	return b, err
}

// Hold is Open for who has the file of the blob open already, and sees to it that the file
// is still there and as long as it should be. It reports whether the blob can be read; then
// Release has to be called.
func (s *Store) Hold(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, lost := s.lost[d]; s.removing == d || lost && time.Since(at) < lostFor {
		return false
	}
	s.open[d]++
	s.noteUse(d)
	return true
}

// Release ends a Hold.
func (s *Store) Release(d digest.Digest) { s.release(d) }

// openFile opens the file of a blob that the caller has counted as open.
func (s *Store) openFile(d digest.Digest) (*Blob, error) {
	r, err := s.readRow(d)
	if err != nil {
		return nil, err
	}
	f, err := s.openBlob(d, r.size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.forget(d)
		return nil, notHeld(d)
	case err != nil:
		if errors.Is(err, syscall.EIO) {
			s.lose(d)
		}
		return nil, fmt.Errorf("opening a blob: %w", s.diskFault(err))
	}
	b := &Blob{File: f, store: s, info: r.info(d)}
	if file, err := f.Stat(); err != nil || file.Size() != r.size {
		defer f.Close()
		if err != nil {
			return nil, fmt.Errorf("opening a blob: %w", err)
		}
		if err := s.dropDamaged(b, fmt.Errorf("blob %s: %w: its file has %d bytes", d, ErrMismatch, file.Size())); !errors.Is(err, ErrMismatch) {
			return nil, err
		}
		return nil, notHeld(d)
	}
	return b, nil
}

// openBlob opens the file of a blob of size bytes, and reads its first and its last byte:
// a disk that fails opens files all the same.
func (s *Store) openBlob(d digest.Digest, size int64) (*os.File, error) {
	f, err := os.Open(s.blobPath(d))
	if err != nil {
		return nil, err
	}
	err = s.fault("read")
	one := make([]byte, 1)
	for _, at := range []int64{0, size - 1} {
		if err == nil && size > 0 {
			_, err = f.ReadAt(one, at)
		}
		if errors.Is(err, io.EOF) {
			err = nil // it is too short, which the caller notices
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

const (
	// maxLost bounds the blobs known to be unreadable. Of more, all are forgotten, and
	// found again.
	maxLost = 4096
	// lostFor is how long an unreadable blob is not read again. A disk that was away may
	// be back by then; one with a bad sector takes half a minute to say so each time.
	lostFor = 10 * time.Minute
)

// lose notes that a blob cannot be read: it counts as not held for lostFor, or until its
// bytes come in again.
func (s *Store) lose(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lost) >= maxLost {
		clear(s.lost)
	}
	s.lost[d] = time.Now()
}

func (s *Store) isLost(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, lost := s.lost[d]
	return lost && time.Since(at) < lostFor
}

// found notes that a blob's bytes have come in again, or that it is gone. Caller holds
// mu.
func (s *Store) found(d digest.Digest) { delete(s.lost, d) }

func (s *Store) release(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unhold(d)
}
