package store

import (
	"errors"
	"slices"

	"millpond/internal/digest"
)

// A pin has an owner, and only the owner releases it: a blob is exempt from
// eviction as long as it has any. Rows of older boxes know only whether a blob
// was pinned; that counts as ByAdmin, since a pin that an administrator set
// must not be lost, and one too many can be taken off by hand.

// ByAdmin is the owner of the pins that an administrator sets by hand.
const ByAdmin = "admin"

// maxPins bounds the owners of one blob: the mirrors whose suite has the same
// Release file, mostly. A row then has at most 16 KB.
const maxPins = 64

// ErrTooManyPins tells that a blob is pinned by as many owners as it can be.
var ErrTooManyPins = errors.New("the blob has 64 pins already")

// Pin keeps a blob from eviction until the same owner calls Unpin. Owners are
// named by any text that is not empty. Pinning twice is pinning once. The error
// wraps fs.ErrNotExist if the blob is not held, and ErrTooManyPins.
func (s *Store) Pin(d digest.Digest, owner string) error {
	return s.Annotate(d, Meta{Pin: owner})
}

// Unpin takes back the pin of one owner, if there is one; those of others
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

// addPin returns pins with owner among them, and leaves pins as it is.
func addPin(pins []string, owner string) []string {
	i, found := slices.BinarySearch(pins, owner)
	if found {
		return pins
	}
	return slices.Insert(slices.Clone(pins), i, owner)
}

// cutPin returns pins without owner and whether it was there, and leaves pins
// as it is.
func cutPin(pins []string, owner string) (rest []string, found bool) {
	i, found := slices.BinarySearch(pins, owner)
	if !found {
		return pins, false
	}
	return slices.Delete(slices.Clone(pins), i, i+1), true
}
