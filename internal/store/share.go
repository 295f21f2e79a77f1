package store

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"millpond/internal/digest"
)

// Content that nobody vouches for, unknown or unsigned, has a share of the quota: when
// what is signed needs the room, whatever is beyond the share goes first, and the share
// stays. Such content makes room for itself among its own kind, of the party that
// has most, its own if that is it; and within its share, in place of what no Release
// lists any more. It uses what is free beyond its share too, but not
// for what is still arriving, which cannot be evicted. A party is one of package party.
const (
	// unsignedShare is the part of the quota. Most of what a site installs is signed:
	// what is not comes from its own archives, and has few versions.
	unsignedShare = 8
	// leastWeight is what a file counts at least there: its blocks and inode, and its
	// rows in the database.
	leastWeight = 16 << 10
	// buckets bounds what is counted: parties are told apart as far as their names'
	// hashes fall into different ones.
	buckets = 1024
)

// signed stands for the bucket of content that somebody vouches for.
const signed = 0

func bucketOf(party string) int {
	if party == "" {
		return signed
	}
	return signed + 1 + int(xxhash.Sum64String(party)%buckets)
}

// shares are the bytes that content without a voucher takes, unfinished files as they
// are reserved.
type shares struct {
	of    [1 + buckets]int64
	total int64
	open  int64 // of unfinished files
	extra int64 // what small files take beyond their size
}

func (h *shares) add(bucket int, n int64) {
	if bucket != signed {
		h.of[bucket] += n
		h.total += n
	}
}

// reserve counts n bytes of an unfinished file.
func (h *shares) reserve(bucket int, n int64) {
	h.add(bucket, n)
	if bucket != signed {
		h.open += n
	}
}

// largest returns the bucket with the most bytes of those that are not spent, or
// signed: own, if no other has more than it.
func (h *shares) largest(own int, spent map[int]bool) int {
	most, bytes := signed, int64(0)
	if own != signed {
		bytes = h.of[own]
		if !spent[own] {
			most = own
		}
	}
	for b, n := range h.of {
		if n > bytes && !spent[b] {
			most, bytes = b, n
		}
	}
	return most
}

// takes is how many bytes of the quota a blob takes.
func (r row) takes() int64 {
	if r.party == "" {
		return r.size
	}
	return max(r.size, leastWeight)
}

// share is how many bytes of the quota are for content that nobody vouches for.
func (s *Store) share() int64 { return s.quota / unsignedShare }

// overShare returns how many bytes such content has beyond its share.
func (s *Store) overShare() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count.shares.total - s.share()
}

// dropUnsignedIdle removes what such content left for a later attempt until want bytes
// are free.
func (s *Store) dropUnsignedIdle(want int64) (freed int64) {
	for freed < want {
		d, i, any := s.oldestIdle(func(i idle) bool { return i.bucket != signed })
		if !any {
			break
		}
		freed += i.bytes
		s.dropIdle(d)
	}
	return freed
}

// bucketPrefix begins the keys of a bucket's blobs in the order of eviction.
func bucketPrefix(bucket int) []byte {
	return binary.BigEndian.AppendUint16([]byte{'w'}, uint16(bucket))
}

// evictUnsigned removes content that nobody vouches for until want bytes are free: of
// the party that has most, but for the bucket own of others only while they have more.
func (s *Store) evictUnsigned(want int64, own int) (freed int64) {
	parts, spent := make(map[int]*victims), make(map[int]bool)
	for freed < want {
		s.mu.Lock()
		b := s.count.shares.largest(own, spent)
		s.mu.Unlock()
		if b == signed {
			break
		}
		if parts[b] == nil {
			parts[b] = s.victims(bucketPrefix(b))
		}
		size, any := parts[b].evict()
		spent[b] = !any
		freed += size
	}
	return freed
}

// Share is the part of a Store that is for one party's content without a voucher.
type Share struct {
	s     *Store
	party string
}

// For returns where to put content that nobody vouches for, of a party as package
// party names it; with "" it is for content that a signed Release lists.
func (s *Store) For(party string) Share { return Share{s, party} }

// Partial is Store.Partial. What it leaves for a later attempt is evicted before
// anything else.
func (h Share) Partial(d digest.Digest, size int64) (*Partial, error) {
	return h.s.partial(d, size, bucketOf(h.party), allowance{})
}

// Create is Store.Create.
func (h Share) Create(size int64) (*Partial, error) { return h.CreateFor(digest.Digest{}, size) }

// CreateFor is Store.CreateFor.
func (h Share) CreateFor(d digest.Digest, size int64) (*Partial, error) {
	return h.s.createFor(d, size, bucketOf(h.party), allowance{})
}
