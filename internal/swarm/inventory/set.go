package inventory

import (
	"fmt"
	"sync"
	"sync/atomic"

	"millpond/internal/digest"
)

const (
	// maxEntries bounds the entries kept of one peer: 16 MB. Further blobs are
	// found through the DHT.
	maxEntries = 2 << 20
	entrySize  = 8 // bytes
)

// Budget is the memory that the Sets of all peers share.
type Budget struct{ entries atomic.Int64 }

// NewBudget allows for as many entries as fit in bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.entries.Store(bytes / entrySize)
	return b
}

// Free is the number of entries that still fit.
func (b *Budget) Free() int64 { return b.entries.Load() }

// Set is the inventory received from one peer. One goroutine may write it, any
// may read it.
type Set struct {
	budget *Budget

	next    uint64   // number of the change that must come next
	listing []uint64 // what was read of an unfinished listing
	listed  bool     // a listing is being read

	mu        sync.Mutex // guards the fields below
	held      prefixSet
	room      int64 // entries that the peer may still have
	entries   int64 // members of held
	downloads map[uint64]struct{}
}

// NewSet returns an empty Set within budget. It must be closed.
func NewSet(budget *Budget) *Set {
	return &Set{budget: budget, room: maxEntries, downloads: make(map[uint64]struct{})}
}

// Take applies a frame. The error wraps ErrFrame: the peer broke the protocol.
func (s *Set) Take(f *Frame) error {
	if f.listing {
		return s.takeListing(f)
	}
	if s.listed || f.from != s.next {
		return fmt.Errorf("%w: changes from %d, want them from %d", ErrFrame, f.from, s.next)
	}
	s.next = f.to
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range f.came {
		if !s.held.has(x) && s.reserve(1) == 1 {
			s.held.set(x, true)
			s.entries++
		}
	}
	for _, x := range f.went {
		if s.held.set(x, false) {
			s.entries--
			s.release(1)
		}
	}
	for _, x := range f.begun {
		if len(s.downloads) < maxDownloads {
			s.downloads[x] = struct{}{}
		}
	}
	for _, x := range f.ended {
		delete(s.downloads, x)
	}
	return nil
}

// takeListing gathers a listing; the one before counts until it is complete.
func (s *Set) takeListing(f *Frame) error {
	if f.first {
		s.drop()
		s.listed, s.next = true, f.number
	}
	last := uint64(0)
	if len(s.listing) > 0 {
		last = s.listing[len(s.listing)-1]
	}
	if !s.listed || f.number != s.next || (len(s.listing) > 0 && len(f.listed) > 0 && f.listed[0] <= last) {
		return fmt.Errorf("%w: a listing out of order", ErrFrame)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing = append(s.listing, f.listed[:s.reserve(len(f.listed))]...)
	if f.last {
		s.release(s.entries)
		s.held, s.entries = prefixSet{sorted: s.listing}, int64(len(s.listing))
		clear(s.downloads)
		s.listing, s.listed = nil, false
	}
	return nil
}

// drop discards an unfinished listing.
func (s *Set) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(int64(len(s.listing)))
	s.listing, s.listed = nil, false
}

// reserve reserves up to want entries of the budget and returns how many it got.
// The caller holds s.mu.
func (s *Set) reserve(want int) int {
	got := min(int64(want), s.room)
	if left := s.budget.entries.Add(-got); left < 0 {
		back := min(-left, got)
		s.budget.entries.Add(back)
		got -= back
	}
	s.room -= got
	return int(got)
}

func (s *Set) release(entries int64) {
	s.room += entries
	s.budget.entries.Add(entries)
}

// Close empties the Set and releases its share of the budget.
func (s *Set) Close() {
	s.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(s.entries)
	s.held, s.entries = prefixSet{}, 0
	clear(s.downloads)
}

// Holds reports whether the peer lists d.
func (s *Set) Holds(d digest.Digest) bool { return s.holds(prefixOf(d)) }

func (s *Set) holds(x uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held.has(x)
}

// Downloads reports whether the peer lists d as a download in progress.
func (s *Set) Downloads(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.downloads[prefixOf(d)]
	return ok
}

// Count is the number of blobs listed.
func (s *Set) Count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries
}
