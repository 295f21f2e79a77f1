package store

import (
	"errors"
	"slices"

	"millpond/internal/digest"
)

// A pin has an owner, and only the owner releases it: a blob is exempt from
// eviction as long as it has any. Rows written by older versions record only
// whether a blob was pinned; that counts as ByAdmin, since an administrator's pin
// must not be lost, and a superfluous one can be removed by hand.

// ByAdmin is the owner of the pins that an administrator sets by hand.
const ByAdmin = "admin"

// maxPins bounds the owners of one blob: the mirrors whose suite has the same
// Release file, mostly. A row then has at most 16 KB.
const maxPins = 64

// ErrTooManyPins means that a blob has the maximum number of owners.
var ErrTooManyPins = errors.New("the blob has 64 pins already")

// Pin keeps a blob from eviction until the same owner calls Unpin. An owner is
// any text that is not empty. A second Pin by the same owner changes nothing. The error
// wraps fs.ErrNotExist if the blob is not held, and ErrTooManyPins.
func (s *Store) Pin(d digest.Digest, owner string) error {
	return s.Annotate(d, Meta{Pin: owner})
}

// Unpin removes the pin of one owner, if there is one; other owners' pins
// stay. The error wraps fs.ErrNotExist if the blob is not held.
func (s *Store) Unpin(d digest.Digest, owner string) error {
	s.meta.Lock()
	defer s.meta.Unlock()
	old, err := s.row(d)
	if err != nil {
		return err
	}
	fresh := old
	fresh.pins, _ = cutPin(old.pins, pinOwner(owner))
	_, err = s.replace(d, old, fresh)
	return err
}

// pinOwner shortens the name of an owner to what a row has room for. Long URLs
// that begin alike stay apart.
func pinOwner(owner string) string {
	if len(owner) <= maxName {
		return owner
	}
	sum := digest.Of([]byte(owner)).String()
	return owner[:maxName-len(sum)] + sum
}

// addPin returns a copy of pins with owner in it.
func addPin(pins []string, owner string) []string {
	i, found := slices.BinarySearch(pins, owner)
	if found {
		return pins
	}
	return slices.Insert(slices.Clone(pins), i, owner)
}

// cutPin returns a copy of pins without owner, and whether pins had it.
func cutPin(pins []string, owner string) (rest []string, found bool) {
	i, found := slices.BinarySearch(pins, owner)
	if !found {
		return pins, false
	}
	return slices.Delete(slices.Clone(pins), i, i+1), true
}
