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

	"golang.org/x/time/rate"

	"millpond/internal/digest"
)

const (
	// scrubPass is how long one pass over all blobs takes: long enough to cost
	// the disk nearly nothing, short enough to find rot before a peer does.
	scrubPass = 30 * 24 * time.Hour
	// scrubRate bounds its reading in bytes a second.
	scrubRate = 16 << 20
	// scrubIdle is how long it waits when there is nothing to verify.
	scrubIdle = time.Hour
)

// scrub verifies one blob after the other, without end, where the last process
// stopped. After each it waits for the blob's share of scrubPass.
func (s *Store) scrub(ctx context.Context, limit *rate.Limiter) {
	wait := time.NewTimer(scrubIdle) // not at once: the disk is busy after a start
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
			wait.Reset(s.scrubNext(ctx, limit))
		}
	}
}

// scrubNext verifies the next blob and returns how long to wait then.
func (s *Store) scrubNext(ctx context.Context, limit *rate.Limiter) time.Duration {
	last, err := s.table.Get(scrubKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("the check of held files cannot go on", "err", err)
		return scrubIdle
	}
	var from []byte
	if len(last) > 0 {
		from = append(append([]byte{'b'}, last...), 0) // just after last
	}
	page, _, err := s.page(from)
	if err == nil && len(page) == 0 {
		page, _, err = s.page(nil) // from the beginning again
	}
	if err != nil || len(page) == 0 {
		return scrubIdle
	}
	next := page[0]
	err = s.verify(ctx, next.Digest, limit)
	switch {
	case ctx.Err() != nil:
		return scrubIdle
	case err != nil && !errors.Is(err, ErrMismatch) && !errors.Is(err, fs.ErrNotExist):
		s.log.Warn("held file not readable", "digest", next.Digest, "err", err)
	}
	if err := s.table.Put(scrubKey, next.Digest[:]); err != nil {
		s.log.Warn("the check of held files cannot go on", "err", err)
		return scrubIdle
	}
	share := float64(next.Size) / float64(max(s.Usage().Bytes, next.Size, 1))
	return max(time.Duration(share*float64(scrubPass)), time.Second)
}

// Verify hashes a blob anew. A bad one, and one that the disk cannot read although it
// takes writes, is removed and gives ErrMismatch; a disk that does neither, ErrDisk. The
// error wraps fs.ErrNotExist if the blob is not held.
func (s *Store) Verify(ctx context.Context, d digest.Digest) error {
	return s.verify(ctx, d, nil)
}

func (s *Store) verify(ctx context.Context, d digest.Digest, limit *rate.Limiter) error {
	b, err := s.hold(d)
	if err != nil {
		return err
	}
	defer b.Close()
	return s.check(ctx, b, limit)
}

// check hashes an open blob, and removes it with ErrMismatch if it is damaged.
func (s *Store) check(ctx context.Context, b *Blob, limit *rate.Limiter) error {
	d := b.info.Digest
	err := s.fault("hash")
	var got digest.Digest
	if err == nil {
		got, err = hashAll(ctx, b, limit)
	}
	switch {
	case errors.Is(err, syscall.EIO):
		if e := s.writeProbe(); e != nil {
			// It is the disk that is away or dying, and it may come back.
			s.lose(d)
			return fmt.Errorf("verifying blob %s: %w", d, s.diskFault(err))
		}
		return s.dropDamaged(b, fmt.Errorf("blob %s: %w: %w", d, ErrMismatch, err))
	case err != nil:
		return fmt.Errorf("verifying blob %s: %w", d, err)
	case got != d:
		return s.dropDamaged(b, fmt.Errorf("blob %s: %w: its file has %s", d, ErrMismatch, got))
	}
	s.verified(d)
	return nil
}

// dropDamaged removes an open blob of which why says what is wrong, tells Options.Damaged,
// and returns why. If it was replaced meanwhile, the new one stays.
func (s *Store) dropDamaged(b *Blob, why error) error {
	lost := b.info
	if r, err := s.row(lost.Digest); err == nil {
		lost = r.info(lost.Digest) // with the pins of meanwhile
	}
	replaced, err := s.removeDamaged(b, why)
	if !replaced {
		s.onDamage(lost)
	}
	return err
}

func (s *Store) removeDamaged(b *Blob, why error) (replaced bool, err error) {
	s.meta.Lock()
	defer s.meta.Unlock()
	d := b.info.Digest
	mine, err := b.Stat()
	there, gone := os.Lstat(s.blobPath(d))
	if err == nil && gone == nil && !os.SameFile(mine, there) {
		return true, why
	}
	s.log.Error("damaged blob removed", "digest", d, "bytes", b.info.Size, "err", why)
	s.damaged()
	if _, err := s.drop(d, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.lose(d) // it stays, and is not served
		return false, errors.Join(why, err)
	}
	return false, why
}

// hashChunk is how much is read and hashed at a time.
const hashChunk = 256 << 10

// hashAll returns the digest of what r has, read no faster than limit.
func hashAll(ctx context.Context, r io.Reader, limit *rate.Limiter) (digest.Digest, error) {
	h := digest.NewHasher()
	buf := make([]byte, hashChunk)
	for {
		if err := ctx.Err(); err != nil {
			return digest.Digest{}, err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return h.Digest(), nil
		}
		if err != nil {
			return digest.Digest{}, err
		}
		if limit != nil {
			if err := limit.WaitN(ctx, n); err != nil {
				return digest.Digest{}, err
			}
		}
	}
}
