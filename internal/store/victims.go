package store

import (
	"bytes"
	"errors"
	"math"

	"millpond/internal/digest"
)

// never is when what is not there was used.
const never = math.MaxInt64

// victims walks over the blobs that are not pinned, by rank: those whose keys
// begin with prefix.
type victims struct {
	store  *Store
	prefix []byte
	page   [][]byte // keys of the index
	next   []byte   // key of the next page
	done   bool     // there is no next page
	stuck  bool     // a key had to stay, and with it Store.oldest
}

func (s *Store) victims(prefix []byte) *victims {
	return &victims{store: s, prefix: prefix, next: s.oldest[string(prefix)]}
}

// first returns the next blob to evict and its rank, or never.
func (v *victims) first() (digest.Digest, int64) {
	for len(v.page) == 0 && !v.done {
		v.fill()
	}
	if len(v.page) == 0 {
		return digest.Digest{}, never
	}
	return parseUseKey(v.page[0])
}

// pop advances to the next blob.
func (v *victims) pop(gone bool) {
	v.stuck = v.stuck || !gone
	if !v.stuck {
		v.store.oldest[string(v.prefix)] = v.page[0]
	}
	v.page = v.page[1:]
}

// evict removes the first blob of v that is not in use, if there is any, and returns
// its size.
func (v *victims) evict() (freed int64, any bool) {
	for {
		d, used := v.first()
		if used == never {
			return 0, false
		}
		size, err := v.store.drop(d, false)
		v.pop(err == nil)
		if err == nil {
			return size, true
		}
		if errors.Is(err, ErrInUse) {
			continue
		}
		v.store.log.Warn("blob not evicted", "digest", d, "err", v.store.diskFault(err))
		if !errors.Is(err, errNotRemoved) {
			return 0, false // its file is gone, its row is not: so it would be with the next one
		}
	}
}

// fill reads a page of the index.
func (v *victims) fill() {
	s := v.store
	v.done = true
	err := s.table.Scan(v.prefix, v.next, func(k, _ []byte) bool {
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
