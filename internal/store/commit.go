package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"millpond/internal/digest"
	"millpond/internal/disk"
)

// Commit makes a blob of p, which must have all of its bytes: if some are
// missing, or cannot be read back, that is an error and p stays open; so it does
// with ErrMismatch, for the caller to Forget what may be wrong, or to Discard all.
// Else p ends: with ErrNoSpace or ErrDisk nothing is kept of it. When Commit returns nil, the
// blob survives a power cut. If the blob has come in by another way meanwhile, that
// one is kept, with what m adds to it (see Put).
// Readers of p read on whatever the result (see Reader).
func (p *Partial) Commit(m Meta) (Info, error) {
	p.life.Lock()
	defer p.life.Unlock()
	if p.ended {
		return Info{}, fmt.Errorf("committing a blob: %w", fs.ErrClosed)
	}
	sum, err := p.check()
	if err != nil {
		return Info{}, err
	}
	p.mu.Lock()
	p.digest = sum
	p.mu.Unlock()
	if r, err := p.s.arrived(sum, m); err == nil || !errors.Is(err, fs.ErrNotExist) {
		p.blob = err == nil
		return r.info(sum), errors.Join(p.s.diskFault(err), p.discard())
	}
	r, err := p.admit(m)
	if err != nil {
		// After a failed sync it is unknown which bytes are on the disk.
		return Info{}, errors.Join(fmt.Errorf("keeping blob %s: %w", sum, p.s.diskFault(err)), p.discard())
	}
	p.blob = true
	p.s.worked()
	return r.info(sum), nil
}

// Verify returns the digest and the size of p, or what Commit would say is wrong with its
// bytes. Whoever waits for them need not wait until the disk has taken them.
func (p *Partial) Verify() (sum digest.Digest, size int64, err error) {
	p.life.RLock()
	defer p.life.RUnlock()
	if p.ended {
		return sum, 0, fmt.Errorf("verifying a blob: %w", fs.ErrClosed)
	}
	sum, err = p.check()
	return sum, p.Size(), err
}

// check returns the digest of all bytes, which are as they should be. Caller holds life.
func (p *Partial) check() (digest.Digest, error) {
	if err := p.complete(); err != nil {
		return digest.Digest{}, err
	}
	sum, err := p.finishHash()
	if err != nil {
		return digest.Digest{}, err
	}
	p.mu.Lock()
	want := p.digest
	p.mu.Unlock()
	if !want.IsZero() && want != sum {
		return digest.Digest{}, fmt.Errorf("blob %s: %w: they have %s", want, ErrMismatch, sum)
	}
	return sum, nil
}

// complete checks that no byte is missing, and settles the size.
func (p *Partial) complete() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := p.size
	if size < 0 {
		size = p.there.end()
	}
	if there := p.there.total(); there != size {
		return fmt.Errorf("committing a blob: %d of %d bytes are missing", size-there, size)
	}
	p.size = size
	return nil
}

// admit makes the verified file a blob. Caller holds life.
func (p *Partial) admit(m Meta) (row, error) {
	s := p.s
	s.beginSync(p)
	defer s.endSync(p)
	if err := s.fault("sync"); err != nil {
		return row{}, err
	}
	if err := s.fault("chmod"); err != nil {
		return row{}, err
	}
	if err := p.file.Chmod(m.row(0, time.Time{}).mode()); err != nil {
		return row{}, err
	}
	if err := p.file.Sync(); err != nil {
		return row{}, err
	}
	if err := s.moveIn(p.path, p.digest); err != nil {
		return row{}, err
	}
	// While p is registered; later it could be the map of another Partial.
	// If it stays, the sweep at start removes it.
	os.Remove(p.path + mapSuffix)
	r, err := s.list(p, m)
	if err != nil {
		return row{}, err
	}
	return r, p.file.Close()
}

// moveIn gives the file at from the name of the blob d. After an error there is no such
// file.
func (s *Store) moveIn(from string, d digest.Digest) error {
	path, dir := s.blobPath(d), s.fanOut(d[0])
	if err := s.makeFanOut(d[0]); err != nil {
		return err
	}
	if err := s.fault("name"); err != nil {
		return err
	}
	if err := s.makeFile(dir, func() error { return os.Rename(from, path) }); err != nil {
		return err
	}
	err := s.fault("syncdir")
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// makeFanOut makes a fan-out directory with its first blob. Several callers may do so at
// once: for each of them it survives a power cut when this returns.
func (s *Store) makeFanOut(b byte) error {
	if s.durable[b].Load() {
		return nil
	}
	dir := s.fanOut(b)
	err := s.makeFile(filepath.Dir(dir), func() error {
		if err := os.Mkdir(dir, 0o755); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := disk.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	s.durable[b].Store(true)
	return nil
}

// list enters the file of p, which has its final name, into the table, and
// ends p: the room that it had reserved becomes the blob's. If another Partial
// was a little faster, its row stands, with what m adds.
func (s *Store) list(p *Partial, m Meta) (row, error) {
	s.meta.Lock()
	defer s.meta.Unlock()
	// The other's row may have been removed since, and the file with it.
	if _, err := os.Lstat(s.blobPath(p.digest)); err != nil {
		return row{}, err
	}
	if old, err := s.listedRow(p.digest); err == nil {
		fresh, err := s.merge(p.digest, old, old.again(m), m)
		if err != nil {
			return row{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.found(p.digest)
		p.leave()
		p.lend()
		return fresh, nil
	}
	r := m.row(p.size, s.now())
	if err := s.apply(change{p.digest, nil, &r}); err != nil {
		os.Remove(s.blobPath(p.digest))
		return row{}, err
	}
	s.dropIdle(p.digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found(p.digest) // it may have been lost while it was removed
	p.leave()
	p.lend()
	s.count.add(r, 1)
	s.emit(Event{Digest: p.digest, Size: r.size, Held: true, Private: r.isPrivate()})
	return r, nil
}

// leave removes p from the store's counts and maps. Caller holds life and Store.mu.
func (p *Partial) leave() {
	p.ended = true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.count.partial -= p.reserved
	p.s.count.shares.reserve(p.bucket, -p.reserved)
	p.s.count.unwritten -= p.reserved - p.there.total()
	if p.keep {
		delete(p.s.partials, p.digest)
	} else {
		delete(p.s.unnamed, p)
	}
}

// lend makes the readers of p's file, which is a blob's from here on, keep that from
// eviction. Caller holds Store.mu and meta.
func (p *Partial) lend() {
	p.listed = true
	if p.readers > 0 {
		p.s.open[p.digest] += p.readers
	}
}

// Discard ends p and removes its bytes. After Commit, Close or
// Discard it does nothing.
func (p *Partial) Discard() error {
	p.life.Lock()
	defer p.life.Unlock()
	if p.ended {
		return nil
	}
	return p.discard()
}

// discard is Discard for callers that hold life.
func (p *Partial) discard() error {
	err := errors.Join(removePartial(p.path), p.file.Close())
	p.s.mu.Lock()
	p.leave()
	p.s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("discarding a blob: %w", err)
	}
	return nil
}

// Close ends p and keeps its bytes for a later Partial of its digest, but
// discards what came from Create. After Commit or Discard it does nothing.
func (p *Partial) Close() error {
	p.life.Lock()
	defer p.life.Unlock()
	if p.ended {
		return nil
	}
	p.mu.Lock()
	m := p.blockMap()
	p.mu.Unlock()
	kept := m.there.blocks(m.size)
	if !p.keep || len(kept) == 0 {
		return p.discard()
	}
	err := errors.Join(writeMap(p.path, m), p.file.Close())
	if err != nil {
		err = fmt.Errorf("closing a partial blob: %w", err)
	}
	p.s.mu.Lock()
	p.leave()
	p.s.addIdle(p.digest, idle{bytes: kept.total(), used: time.Now(), bucket: p.bucket})
	many := len(p.s.idle) > maxIdle
	p.s.mu.Unlock()
	if many {
		p.s.sweepIdle(time.Now().Add(-maxIdleAge))
	}
	return err
}
