package fetch

import (
	"slices"

	"millpond/internal/catalog"
	"millpond/internal/digest"
)

// expects reports whether the unknown file e may have the digest d.
func expects(e catalog.Entry, d digest.Digest) bool {
	return len(e.OneOf) == 0 || slices.Contains(e.OneOf, d)
}

// checkable reports whether the digest of the whole file shows that its bytes
// are right.
func (fl *flight) checkable() bool { return !fl.key.digest.IsZero() || len(fl.entry.OneOf) > 0 }

// matches reports whether a whole file with the digest sum is what was asked for.
func (fl *flight) matches(sum digest.Digest) bool {
	if fl.key.digest.IsZero() {
		return expects(fl.entry, sum)
	}
	return sum == fl.key.digest
}
