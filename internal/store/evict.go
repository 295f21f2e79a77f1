package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"millpond/internal/digest"
)

// idle is a partial file that is not open.
type idle struct {
	bytes int64 // written, according to its map
	used  time.Time
}

const (
	// staleIdle: a partial file idle for longer is removed before any
	// blob; a younger one is likely to be resumed, and is removed in order of
	// last use like a blob.
	staleIdle = 24 * time.Hour
	// maxIdleAge is the age at which an idle partial file is removed even if there is
	// room.
	maxIdleAge = 7 * 24 * time.Hour
	// maxIdle bounds how many are kept; the oldest are removed first.
	maxIdle = 1000
)

// shortage returns how many bytes must be freed before n more can be reserved, of
// which disk are not on disk yet. Caller holds mu.
func (s *Store) shortage(n, disk, free int64) int64 {
	c := &s.count
	return max(c.bytes+c.partial+n-s.quota, c.unwritten+disk+s.minFree-free)
}

// reserve sets n bytes aside for a partial, present of which are on disk
// already. It evicts what it must, but nothing if all would not be enough.
func (s *Store) reserve(n, present int64) error {
	free, err := s.free()
	if err != nil {
		return err
	}
	if s.tryReserve(n, present, free) {
		return nil
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	for !s.tryReserve(n, present, free) {
		s.mu.Lock()
		short := s.shortage(n, n-present, free)
		evictable := s.count.bytes - s.count.pinned + s.count.idle
		s.mu.Unlock()
		if short > evictable {
			return fmt.Errorf("%w: %d bytes wanted, %d too many", ErrNoSpace, n, short-evictable)
		}
		freed := s.evict(short)
		if freed == 0 {
			return fmt.Errorf("%w: %d bytes wanted, all else is in use", ErrNoSpace, n)
		}
		// Not measured again: file systems may free space only later, and
		// measuring would then evict everything.
		free += freed
	}
	return nil
}

func (s *Store) tryReserve(n, present, free int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shortage(n, n-present, free) > 0 {
		return false
	}
	s.count.partial += n
	s.count.unwritten += n - present
	return true
}

// unreserve takes back what reserve gave.
func (s *Store) unreserve(n, present int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.partial -= n
	s.count.unwritten -= n - present
}

// relieve evicts when the disk is nearly full, whatever fills it.
func (s *Store) relieve() {
	free, err := s.free()
	if err != nil {
		s.log.Warn("free space unknown", "err", err)
		return
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	s.mu.Lock()
	short := s.shortage(0, 0, free)
	s.mu.Unlock()
	if short <= 0 {
		return
	}
	freed := s.evict(short)
	s.log.Warn("disk nearly full, blobs evicted", "bytes", freed, "wanted", short)
}

// evict removes what has not been used for longest until want bytes are free
// or nothing is left, and returns how many it freed. Caller holds meta.
func (s *Store) evict(want int64) (freed int64) {
	if err := s.flushUses(); err != nil {
		s.log.Warn("last uses of blobs not written", "err", err)
	}
	blobs := victims{store: s, next: s.oldest}
	for freed < want {
		d, used := blobs.first()
		name, part, any := s.oldestIdle()
		stale := time.Since(part.used) > staleIdle
		switch {
		case any && (stale || part.used.UnixNano() < used):
			freed += part.bytes
			s.dropIdle(name)
		case used < math.MaxInt64:
			size, err := s.drop(d, false)
			if err != nil && !errors.Is(err, errInUse) {
				s.log.Warn("blob not evicted", "digest", d, "err", err)
			}
			freed += size
			blobs.pop(err == nil)
		default:
			return freed
		}
	}
	return freed
}

// victims walks over the blobs that are not pinned, by last use.
type victims struct {
	store *Store
	page  [][]byte // keys of the index
	next  []byte   // key of the next page
	done  bool     // there is no next page
	stuck bool     // a key had to stay, and with it Store.oldest
}

// first returns the next blob to evict and its last use, or math.MaxInt64.
func (v *victims) first() (digest.Digest, int64) {
	for len(v.page) == 0 && !v.done {
		v.fill()
	}
	if len(v.page) == 0 {
		return digest.Digest{}, math.MaxInt64
	}
	return parseUseKey(v.page[0])
}

// pop advances to the next blob.
func (v *victims) pop(gone bool) {
	v.stuck = v.stuck || !gone
	if !v.stuck {
		v.store.oldest = v.page[0]
	}
	v.page = v.page[1:]
}

// fill reads a page of the index.
func (v *victims) fill() {
	s := v.store
	v.done = true
	err := s.table.Scan([]byte{'u'}, v.next, func(k, _ []byte) bool {
		if len(v.page) == pageSize {
			v.next, v.done = bytes.Clone(k), false
			return false
		}
		v.page = append(v.page, bytes.Clone(k))
		return true
	})
	if err != nil {
		s.log.Warn("order of eviction not readable", "err", err)
	}
}

// oldestIdle returns the partial file that has been idle for longest.
func (s *Store) oldestIdle() (d digest.Digest, oldest idle, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, i := range s.idle {
		if !any || i.used.Before(oldest.used) {
			d, oldest, any = name, i, true
		}
	}
	return d, oldest, any
}

// dropIdle removes an idle partial file. Caller holds meta, which keeps
// Partial from resuming it meanwhile.
func (s *Store) dropIdle(d digest.Digest) {
	if _, ok := s.takeIdle(d); !ok {
		return
	}
	if err := removePartial(s.partialPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("partial file not removed", "digest", d, "err", err)
	}
}

// takeIdle removes a partial file from the idle ones.
func (s *Store) takeIdle(d digest.Digest) (i idle, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok = s.idle[d]; ok {
		delete(s.idle, d)
		s.count.partial -= i.bytes
		s.count.idle -= i.bytes
	}
	return i, ok
}

// addIdle counts a partial file as idle. Caller holds mu.
func (s *Store) addIdle(d digest.Digest, i idle) {
	s.idle[d] = i
	s.count.partial += i.bytes
	s.count.idle += i.bytes
}

// sweepIdle removes partial files that have been idle since before then, and
// those that are too many.
func (s *Store) sweepIdle(before time.Time) {
	s.meta.Lock()
	defer s.meta.Unlock()
	for {
		d, oldest, any := s.oldestIdle()
		s.mu.Lock()
		many := len(s.idle) > maxIdle
		s.mu.Unlock()
		if !any || !many && !oldest.used.Before(before) {
			return
		}
		s.dropIdle(d)
	}
}
