package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"millpond/internal/digest"
)

// Info is what is known of a blob.
type Info struct {
	Digest   digest.Digest
	Size     int64
	Modified time.Time    // Last-Modified of the source, or when it was stored; whole seconds
	Used     time.Time    // last Open, or when it was stored
	Pinned   bool         // has at least one owner
	Pins     []string     // owners of its pins, sorted
	Name     string       // of the file, the last part of its path; "" if it is not known
	From     []Provenance // where its bytes came from, as far as that is known; at most 8
	// Private are the places behind a login where the bytes were found, the last
	// 8 of them. It is empty once they were found where no login is needed.
	Private []string
	// Party is whose content it is, where nobody vouches for it, as in Meta.
	Party string
	// Unlisted: a signed Release listed it once, and none does any more (Listed).
	Unlisted bool
}

// Blob is an open, verified blob. It embeds its file, so that http.ServeContent
// can have the kernel send it. Close makes it evictable again.
type Blob struct {
	*os.File
	store *Store
	info  Info
}

// Info returns what was known of the blob when it was opened.
func (b *Blob) Info() Info { return b.info }

// Close ends reading. Only the first call has an effect.
func (b *Blob) Close() error {
	err := b.File.Close()
	if !errors.Is(err, os.ErrClosed) {
		b.store.release(b.info.Digest)
	}
	return err
}

// unhold counts one that holds d open less. Caller holds mu.
func (s *Store) unhold(d digest.Digest) {
	if s.open[d]--; s.open[d] <= 0 {
		delete(s.open, d)
	}
}

// forget drops the row of a blob whose file was deleted from outside.
func (s *Store) forget(d digest.Digest) {
	s.meta.Lock()
	defer s.meta.Unlock()
	if _, err := os.Lstat(s.blobPath(d)); !errors.Is(err, fs.ErrNotExist) {
		return // stored again meanwhile
	}
	_, err := s.drop(d, true)
	if errors.Is(err, fs.ErrNotExist) {
		return // somebody else has noticed
	}
	s.log.Warn("file of a blob missing", "digest", d)
	s.missed(1)
	if err != nil {
		s.log.Warn("missing blob still listed", "digest", d, "err", err)
	}
}

// Stat describes a blob without noting a use. The error wraps fs.ErrNotExist if
// it is not held.
func (s *Store) Stat(d digest.Digest) (Info, error) {
	s.mu.Lock()
	removing := s.removing == d // its row is still there, but Open does not find it
	s.mu.Unlock()
	if removing {
		return Info{}, notHeld(d)
	}
	r, err := s.readRow(d)
	if err != nil {
		return Info{}, err
	}
	return s.freshen(r.info(d)), nil
}

// freshen adds to i a use that is not in the table yet.
func (s *Store) freshen(i Info) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.uses[i.Digest]; used.After(i.Used) {
		i.Used = used
	}
	return i
}

// Put stores the size bytes of r, which are described by m. Of a blob that is
// held it reads nothing, and adds m as Annotate does; a private blob becomes
// public if m is not private. The blob is visible with
// m or not at all. More, fewer or other bytes give ErrMismatch; the quota or
// the disk ErrNoSpace; an error of r comes back wrapped.
func (s *Store) Put(d digest.Digest, size int64, r io.Reader, m Meta) error {
	if _, err := s.arrived(d, m); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := s.For(m.Party).CreateFor(d, size)
	if err != nil {
		return err
	}
	defer p.Discard()
	// One byte more than size shows a reader that has too many.
	n, err := io.Copy(&appender{p, size}, io.LimitReader(r, size+1))
	if err != nil {
		return fmt.Errorf("storing blob %s: %w", d, err)
	}
	if n != size {
		return fmt.Errorf("blob %s: %w: its size is not %d bytes", d, ErrMismatch, size)
	}
	_, err = p.Commit(m)
	return err
}

// appender writes to a Partial from its beginning, up to size, and drops the
// rest.
type appender struct {
	p    *Partial
	size int64
}

func (a *appender) Write(b []byte) (int, error) {
	off := a.p.Available(0)
	keep := min(int64(len(b)), a.size-off)
	if _, err := a.p.WriteAt(b[:keep], off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Remove removes a blob, even a pinned or open one; its readers keep the
// file. The error wraps fs.ErrNotExist if it is not held.
func (s *Store) Remove(d digest.Digest) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	_, err := s.drop(d, true)
	return err
}

// Purge is Remove of a blob that nobody pins (ErrPinned) or reads (ErrInUse). It returns
// how many bytes of the quota that frees.
func (s *Store) Purge(d digest.Digest) (freed int64, err error) {
	s.meta.Lock()
	defer s.meta.Unlock()
	r, err := s.listedRow(d)
	if err != nil {
		return 0, err
	}
	if r.pinned() {
		return 0, ErrPinned
	}
	return s.drop(d, false)
}

var (
	// ErrInUse means that a blob is open.
	ErrInUse = errors.New("blob is in use")
	// ErrPinned means that a blob is pinned.
	ErrPinned = errors.New("blob is pinned")
	// errNotRemoved means that the file of a blob stays.
	errNotRemoved = errors.New("removing a blob")
)

// drop removes a blob, an open one only if evenOpen, and returns how many bytes of the
// quota that frees.
// Caller holds meta.
func (s *Store) drop(d digest.Digest, evenOpen bool) (int64, error) {
	r, err := s.listedRow(d)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.open[d] > 0 && !evenOpen {
		s.mu.Unlock()
		return 0, ErrInUse
	}
	s.removing = d // it cannot be opened from here on
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.removing = digest.Digest{}
		s.mu.Unlock()
	}()
	// The file first: a file without a row would be taken in at the next
	// Open, and this one may be bad.
	if err := s.removeBlob(d); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotRemoved, err)
	}
	if err := s.applyWith(s.table.Free, change{d, &r, nil}); err != nil {
		return 0, fmt.Errorf("removing blob %s: %w", d, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found(d)
	s.count.add(r, -1)
	s.emit(Event{Digest: d, Size: r.size})
	return r.takes(), nil
}

// removeBlob removes the file of a blob, if there is one.
func (s *Store) removeBlob(d digest.Digest) error {
	if err := s.fault("remove"); err != nil {
		return err
	}
	if err := os.Remove(s.blobPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// add counts a blob as added (sign 1) or removed (-1).
func (c *counters) add(r row, sign int64) {
	c.blobs += sign
	c.bytes += sign * r.size
	if r.pinned() {
		c.pinned += sign * r.size
	}
	if r.unlisted && !r.pinned() {
		c.unlisted += sign * r.size
	}
	if r.party != "" {
		c.shares.add(bucketOf(r.party), sign*r.takes())
		c.shares.extra += sign * (r.takes() - r.size)
	}
}

// All yields every blob held, in digest order. Blobs added or removed meanwhile
// may be missing. An error is the last thing it yields.
func (s *Store) All() iter.Seq2[Info, error] { return s.From(digest.Digest{}) }

// From is All from digest d on.
func (s *Store) From(d digest.Digest) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		from := blobKey(d)
		for {
			page, next, err := s.page(from)
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, i := range page {
				if !yield(s.freshen(i), nil) {
					return
				}
			}
			if from = next; from == nil {
				return
			}
		}
	}
}

// pageSize bounds what a listing holds in memory. Between pages it holds no
// transaction, so that a slow reader costs the database nothing.
const pageSize = 256

// page returns blobs from the key from on, and the key of the next page, nil
// at the end.
func (s *Store) page(from []byte) (page []Info, next []byte, err error) {
	scanErr := s.table.Scan([]byte{'b'}, from, func(k, v []byte) bool {
		if len(page) == pageSize {
			next = append([]byte(nil), k...)
			return false
		}
		var r row
		if r, err = decodeRow(v); err != nil {
			return false
		}
		page = append(page, r.info(digest.Digest(k[1:])))
		return true
	})
	if err == nil {
		err = scanErr
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listing blobs: %w", err)
	}
	return page, next, nil
}
