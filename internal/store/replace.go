package store

import (
	"errors"
	"fmt"
	"slices"

	"millpond/internal/digest"
)

// PartialReplacing is Partial for the new version of files that are held. It takes free
// room, and where that is too little, the room of those of old that it needs, the first
// ones first. Nothing else is evicted for it, nor any of old that is pinned or open, nor
// one at all if they have too little together: then the error is ErrNoSpace.
func (h Share) PartialReplacing(d digest.Digest, size int64, old []digest.Digest) (*Partial, error) {
	return h.s.partial(d, size, bucketOf(h.party), allowance{freeOnly: true, old: old})
}

// CreateReplacing is CreateFor with the room that PartialReplacing takes.
func (h Share) CreateReplacing(d digest.Digest, size int64, old []digest.Digest) (*Partial, error) {
	return h.s.createFor(d, size, bucketOf(h.party), allowance{freeOnly: true, old: old})
}

// allowance says which room a Partial may take: all that eviction makes, or what is free
// and what the blobs in old have.
type allowance struct {
	freeOnly bool
	old      []digest.Digest
}

// take reserves n bytes for p, present of which are on the disk already.
func (p *Partial) take(n, present int64) error {
	err := p.s.reserve(n, present, p.bucket, p.may.freeOnly)
	if len(p.may.old) == 0 || !errors.Is(err, ErrNoSpace) {
		return err
	}
	return p.s.reserveReplacing(n, present, p.bucket, p.may.old)
}

// reserveReplacing is reserve with the room that blobs have which may go for it. It takes
// what is free up to the low mark, and beyond that as much as goes, so that no other blob
// is evicted for it later.
func (s *Store) reserveReplacing(n, present int64, bucket int, old []digest.Digest) error {
	free, err := s.roomFor()
	if err != nil {
		return err
	}
	s.meta.Lock()
	defer s.meta.Unlock()
	s.mu.Lock()
	short := s.shortage(n, n-present, free)
	_, end := s.marks(free)
	s.mu.Unlock()
	want := max(short, min(short+end, n))
	left, has := s.removable(old)
	if want > has {
		return fmt.Errorf("%w: %d bytes wanted, and those that may be replaced have %d too few", ErrNoSpace, n, want-has)
	}
	for gone := int64(0); !s.tryReserve(n, present, free, bucket, gone < want); {
		if len(left) == 0 {
			return fmt.Errorf("%w: %d bytes wanted, and what may be replaced is in use", ErrNoSpace, n)
		}
		freed, err := s.drop(left[0], false)
		left = left[1:]
		switch {
		case err == nil:
			free += freed // not measured again, as in reserve
			gone += freed
		case !errors.Is(err, ErrInUse):
			return s.diskFault(err)
		}
	}
	return nil
}

// removable returns those of some blobs that are held and neither pinned nor open, and
// how many bytes of the quota they take. Caller holds meta.
func (s *Store) removable(blobs []digest.Digest) (all []digest.Digest, bytes int64) {
	for _, d := range blobs {
		r, err := s.listedRow(d)
		s.mu.Lock()
		open := s.open[d] > 0
		s.mu.Unlock()
		if err == nil && !r.pinned() && !open && !slices.Contains(all, d) {
			all, bytes = append(all, d), bytes+r.takes()
		}
	}
	return all, bytes
}
