package store

import (
	"math"
	"time"

	"millpond/internal/digest"
)

// Blobs are evicted in the order of the bytes that they save for each byte that they
// take, with age. A blob of n bytes saves n bytes at each request, so that is the number
// of its requests; each counts half as much after halfLife. Two such sums keep their order
// while both decay, so the rank is one that does not change with time:
//
//	rank = last use + halfLife × log2(sum at the last use)
//
// It is a time, and a blob that was used once has that of its use. The second summand is
// the blob's worth, which is kept in half days: the index of a row without it, and of
// one of a version that counted half a day for each return, is right as it is, and an older
// version reads this one's.
//
// The rule is that of LRFU (Lee et al., IEEE Transactions on Computers 50, 2001), which
// lies between LRU, with a short half-life, and LFU, with a long one. GreedyDual-Size-
// Frequency weighs requests by the cost of a byte too, and that is the same for all
// here; what it forgets depends on what was evicted, and not on time.
const (
	// halfLife was chosen with the trace (e2e/trace), where a longer one adds hardly a hit,
	// and a week costs up to four in a hundred: popular packages are so for months, and what
	// is superseded goes first in any case.
	halfLife = 30 * 24 * time.Hour
	// apart is how long after a use the next one counts as a further request: a client asks
	// for parts of a file, and one client alone does not make a file worth much.
	apart = time.Hour
	// worthStep is the unit of a worth in a row.
	worthStep = 12 * time.Hour
	// stepsEach is how many of them one halving takes.
	stepsEach = float64(halfLife / worthStep)
)

// rank orders blobs for eviction.
func (r row) rank() int64 { return max(r.used, 0) + int64(r.worth)*int64(worthStep) }

// use notes a use.
func (r row) use(at int64) row {
	if gap := at - r.used; gap >= int64(apart) {
		r.worth = worthAfter(r.worth, time.Duration(gap))
	}
	r.used = max(r.used, at)
	return r
}

// worthAfter returns the worth of a blob that is used a time after its last use, when it
// had worth before. It is 127 days at most, which some twenty requests reach: in the trace
// it makes no difference how many more there are.
func worthAfter(before uint8, gap time.Duration) uint8 {
	requests := math.Exp2(float64(before)/stepsEach-float64(gap)/float64(halfLife)) + 1
	return uint8(min(math.Round(stepsEach*math.Log2(requests)), math.MaxUint8))
}

const (
	// lastCopyFor is how long after its last use a blob that no neighbour has is worth
	// more. A suite that no client has used for as long is not followed either.
	lastCopyFor = 14 * 24 * time.Hour
	// lastCopyWorth is what it is worth then at least: as if it had been requested four
	// times.
	lastCopyWorth = uint8(2 * halfLife / worthStep)
	// maxAsked bounds the blobs that Options.LastCopy is asked about before one is evicted.
	maxAsked = 64
)

// postpone makes d, which is next to be evicted, worth more if it is the last copy of
// something that was requested recently, and reports whether it did. Caller holds meta.
func (s *Store) postpone(d digest.Digest, rank int64) bool {
	recent := s.now().Add(-lastCopyFor).UnixNano()
	if rank < recent || !s.lastCopy(d) { // a blob was not used after its rank
		return false
	}
	old, err := s.listedRow(d)
	if err != nil || old.used < recent || old.worth >= lastCopyWorth {
		return false
	}
	fresh := old
	fresh.worth = lastCopyWorth
	if err := s.apply(change{d, &old, &fresh}); err != nil {
		s.log.Warn("last copy of a blob not kept longer", "digest", d, "err", err)
		return false
	}
	return true
}
