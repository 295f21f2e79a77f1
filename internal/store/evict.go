package store

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"millpond/internal/digest"
)

// idle is a partial file that is not open.
type idle struct {
	bytes  int64 // written, according to its map
	used   time.Time
	bucket int // of the party, or signed; it is forgotten at a restart
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
	return max(s.overQuota()+n, s.count.unwritten+disk+s.minFree-free)
}

// overQuota returns how many bytes there are beyond the quota. Caller holds mu.
func (s *Store) overQuota() int64 {
	c := &s.count
	return c.bytes + c.shares.extra + c.partial + c.beside - s.quota
}

// reserve sets n bytes aside for a partial of a party, present of which are on disk
// already. It evicts what it must, but nothing if all would not be enough, or if the
// partial is to have free room only: up to the low mark, since what is evicted to reach
// that is for clients.
func (s *Store) reserve(n, present int64, bucket int, freeOnly bool) error {
	free, err := s.roomFor()
	if err != nil {
		return err
	}
	if s.tryReserve(n, present, free, bucket, freeOnly) {
		return nil
	}
	if freeOnly {
		return fmt.Errorf("%w: %d bytes wanted of what is free", ErrNoSpace, n)
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	for !s.tryReserve(n, present, free, bucket, false) {
		s.mu.Lock()
		short := s.shortage(n, n-present, free)
		evictable := s.count.bytes + s.count.shares.extra - s.count.pinned + s.count.idle
		open := s.count.shares.open + n
		if bucket != signed {
			evictable = min(evictable, s.count.shares.total+s.count.unlisted)
		}
		s.mu.Unlock()
		if bucket != signed && open > s.share() {
			return fmt.Errorf("%w: %d bytes wanted, and what is neither signed nor complete has %d of %d", ErrNoSpace, n, open-n, s.share())
		}
		if short > evictable {
			return fmt.Errorf("%w: %d bytes wanted, %d too many", ErrNoSpace, n, short-evictable)
		}
		freed := s.evict(short, n, bucket)
		if freed == 0 {
			return fmt.Errorf("%w: %d bytes wanted, all else is in use", ErrNoSpace, n)
		}
		// Not measured again: file systems may free space only later, and
		// measuring would then evict everything.
		free += freed
	}
	return nil
}

// roomFor returns how many bytes are free. Where the disk has room for too few files, it is
// as many bytes too few as blobs take for the files that are missing.
func (s *Store) roomFor() (int64, error) {
	d, err := s.space()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if short := s.shortFiles(d.Files); short > 0 {
		return min(d.Free, s.count.unwritten+s.minFree-short), nil
	}
	return d.Free, nil
}

func (s *Store) tryReserve(n, present, free int64, bucket int, freeOnly bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	short := s.shortage(n, n-present, free)
	begin, end := s.marks(free)
	if short > 0 || freeOnly && short > -end || bucket != signed && s.count.shares.open+n > s.share() {
		return false
	}
	s.count.partial += n
	s.count.unwritten += n - present
	s.count.shares.reserve(bucket, n)
	if s.overQuota() > -begin { // the disk is measured every few seconds only: what was freed may not show at once
		select {
		case s.evictSoon <- struct{}{}:
		default:
		}
	}
	return true
}

// unreserve takes back what reserve gave.
func (s *Store) unreserve(n, present int64, bucket int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.partial -= n
	s.count.unwritten -= n - present
	s.count.shares.reserve(bucket, -n)
}

// evict makes room for n more bytes of a party until want bytes are free or nothing is
// left, and returns how many it freed. Caller holds meta.
func (s *Store) evict(want, n int64, bucket int) (freed int64) {
	if bucket == signed {
		freed = s.evictByRank(want)
		return freed + s.evictUnsigned(want-freed, signed) // if all else is pinned or open
	}
	freed = s.begin(want)
	s.claim(bucket, n)
	defer s.claim(bucket, -n)
	freed += s.evictUnsigned(want-freed, bucket)
	if s.overShare() <= 0 {
		freed += s.evictUnlisted(want - freed)
	}
	return freed
}

// evictByRank evicts until want bytes are free, but of what nobody vouches for only what
// is beyond its share. Caller holds meta.
func (s *Store) evictByRank(want int64) (freed int64) {
	freed = s.begin(want)
	freed += s.evictUnsigned(min(want-freed, s.overShare()), signed)
	freed += s.evictUnlisted(want - freed)
	return freed + s.evictListed(want-freed)
}

// begin brings the ranks up to date, and frees what goes before any blob.
func (s *Store) begin(want int64) (freed int64) {
	if err := s.flushUses(); err != nil {
		s.log.Warn("last uses of blobs not written", "err", err)
	}
	freed = s.takeSpare()
	return freed + s.dropUnsignedIdle(want-freed)
}

// takeSpare has others free what they can spare.
func (s *Store) takeSpare() (freed int64) {
	freed, err := s.spare()
	if err != nil {
		s.log.Warn("what is kept beside the store was not removed for lack of room", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.beside -= freed
	return freed
}

// claim counts what a party is about to reserve as its own.
func (s *Store) claim(bucket int, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.shares.add(bucket, n)
}

// evictUnlisted removes what no signed Release lists any more.
func (s *Store) evictUnlisted(want int64) (freed int64) {
	for blobs := s.victims(unlistedPrefix); freed < want; {
		size, any := blobs.evict()
		if !any {
			break
		}
		freed += size
	}
	return freed
}

// evictListed removes what is of the least use, of what a signed Release lists. Of
// the next blobs, last copies are put off (postpone).
func (s *Store) evictListed(want int64) (freed int64) {
	blobs := s.victims(listedPrefix)
	for asked := 0; freed < want; {
		d, rank := blobs.first()
		name, part, any := s.oldestIdle(func(idle) bool { return true })
		stale := time.Since(part.used) > staleIdle
		switch {
		case any && (stale || part.used.UnixNano() < rank):
			freed += part.bytes
			s.dropIdle(name)
		case rank < never && asked < maxAsked && s.postpone(d, rank):
			asked++
			blobs.pop(true)
		case rank < never:
			size, _ := blobs.evict()
			freed += size
			asked = 0
		default:
			return freed
		}
	}
	return freed
}

// oldestIdle returns the partial file that has been idle for longest, of those that
// are wanted.
func (s *Store) oldestIdle(wanted func(idle) bool) (d digest.Digest, oldest idle, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, i := range s.idle {
		if wanted(i) && (!any || i.used.Before(oldest.used)) {
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
		s.count.shares.add(i.bucket, -i.bytes)
	}
	return i, ok
}

// addIdle counts a partial file as idle. Caller holds mu.
func (s *Store) addIdle(d digest.Digest, i idle) {
	s.idle[d] = i
	s.count.partial += i.bytes
	s.count.idle += i.bytes
	s.count.shares.add(i.bucket, i.bytes)
}

// sweepIdle removes partial files that have been idle since before then, and
// those that are too many.
func (s *Store) sweepIdle(before time.Time) {
	s.meta.Lock()
	defer s.meta.Unlock()
	for {
		d, oldest, any := s.oldestIdle(func(idle) bool { return true })
		s.mu.Lock()
		many := len(s.idle) > maxIdle
		s.mu.Unlock()
		if !any || !many && !oldest.used.Before(before) {
			return
		}
		s.dropIdle(d)
	}
}
