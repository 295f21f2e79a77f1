package inventory

import (
	"fmt"
	"slices"
	"sync"

	"millpond/internal/digest"
)

// maxEntries bounds the entries kept of one peer: 16 MB. Further blobs are found
// through the DHT.
const maxEntries = 2 << 20

// EntryBytes is what an entry takes: 8, and its part of the changes since the last
// merge. An entry is a blob or a download in progress.
const EntryBytes = 12

// Room is one peer's share of the entries that all peers' Sets may have. Take may get
// fewer than it wants.
type Room interface {
	Take(want int64) (got int64)
	Give(n int64)
}

// Set is the inventory received from one peer. One goroutine may Take, any may do the
// rest.
type Set struct {
	share Room

	next    uint64   // number of the change that must come next
	listing []uint64 // what was read of an unfinished listing
	listed  bool     // a listing is being read

	mu        sync.Mutex // guards the fields below
	held      prefixSet
	room      int64 // entries that the peer may still have
	entries   int64 // members of held
	downloads map[uint64]struct{}
}

// NewSet returns an empty Set within share. It must be closed.
func NewSet(share Room) *Set {
	return &Set{share: share, room: maxEntries, downloads: make(map[uint64]struct{})}
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
		if _, ok := s.downloads[x]; !ok && len(s.downloads) < maxDownloads && s.reserve(1) == 1 {
			s.downloads[x] = struct{}{}
		}
	}
	for _, x := range f.ended {
		if _, ok := s.downloads[x]; ok {
			delete(s.downloads, x)
			s.release(1)
		}
	}
	return nil
}

// takeListing gathers a listing. The one before counts until it is complete, or until
// its room is needed.
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
	got := s.reserve(len(f.listed))
	if got < len(f.listed) { // there is no room for two listings of one peer
		s.forget()
		got += s.reserve(len(f.listed) - got)
	}
	s.listing = append(s.listing, f.listed[:got]...)
	if f.last {
		s.forget()
		s.held, s.entries = prefixSet{sorted: s.listing}, int64(len(s.listing))
		s.endDownloads()
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

// reserve reserves up to want entries and returns how many it got. The caller holds
// s.mu.
func (s *Set) reserve(want int) int {
	got := s.share.Take(min(int64(want), s.room))
	s.room -= got
	return int(got)
}

func (s *Set) release(entries int64) {
	s.room += entries
	s.share.Give(entries)
}

// Close empties the Set and gives its entries back.
func (s *Set) Close() {
	s.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	s.endDownloads()
}

// Shed drops up to n of the blobs that the peer holds, which are then found through the
// DHT, and returns how many.
func (s *Set) Shed(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.held.list()
	n = min(n, int64(len(list)))
	s.held, s.entries = prefixSet{sorted: slices.Clone(list[n:])}, s.entries-n
	s.release(n)
	return n
}

// forget drops what the peer holds. The caller holds s.mu.
func (s *Set) forget() {
	s.release(s.entries)
	s.held, s.entries = prefixSet{}, 0
}

// endDownloads forgets the downloads in progress. The caller holds s.mu.
func (s *Set) endDownloads() {
	s.release(int64(len(s.downloads)))
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
