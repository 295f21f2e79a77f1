package store

import "errors"

// A client should not have to wait until there is room for what it requests: when less
// is free than the high mark says, housekeeping evicts until as much is free as the low
// mark says. What is not worth evicting anything for may fill the store up to the low
// mark only: else it would take the place of what clients use, in turns with eviction.
const (
	// lowMark is the part of what can be evicted that is to be free: little enough to cost
	// hardly a hit. Eviction begins at half of it.
	lowMark = 50
	// maxLowMark bounds it: half of it is what arrives at a gigabit a second in four
	// seconds, and eviction begins at once.
	maxLowMark = 1 << 30
	// minLowMark: a smaller store has no marks, as one file is more than they would be.
	minLowMark = 16 << 20
	// evictStep is how many bytes are evicted at a time: what a client requests is
	// committed in between.
	evictStep = 32 << 20
)

// marks returns how few bytes are free when eviction begins, and how many are free when
// it ends, of what the quota allows or, if that is less, a disk with free bytes. Caller
// holds mu.
func (s *Store) marks(free int64) (begin, end int64) {
	c := &s.count
	room := min(s.quota-c.beside, c.bytes+free-s.minFree) - c.pinned
	end = min(room/lowMark, maxLowMark)
	if end < minLowMark {
		return 0, 0
	}
	return end / 2, end
}

// relieve evicts when the disk or the quota is nearly full, whatever fills it.
func (s *Store) relieve() {
	short, end, err := s.pressure()
	if err != nil {
		s.log.Warn("free space on the disk not readable", "err", err)
		return
	}
	if short > 0 {
		s.meta.Lock()
		freed := s.evict(short, 0, signed)
		s.meta.Unlock()
		if freed > 0 {
			s.log.Warn("disk or quota nearly full, blobs evicted", "bytes", freed, "wanted", short)
		}
		short -= freed
	}
	if short > -end/2 {
		s.evictTo(short + end)
	}
}

// pressure returns how many bytes are missing now, or, if that is negative, free, and
// how many are to be free.
func (s *Store) pressure() (short, end int64, err error) {
	free, err := s.roomFor()
	beside, e := s.measure()
	if err = errors.Join(err, e); err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.beside = beside
	_, end = s.marks(free)
	return s.shortage(0, 0, free), end, nil
}

// evictTo evicts want bytes in steps.
func (s *Store) evictTo(want int64) {
	all := int64(0)
	for all < want {
		s.meta.Lock()
		freed := s.evictByRank(min(want-all, evictStep))
		s.meta.Unlock()
		if freed == 0 {
			break // all else is pinned or open
		}
		all += freed
	}
	s.log.Debug("blobs evicted ahead of requests", "bytes", all, "wanted", want)
}
