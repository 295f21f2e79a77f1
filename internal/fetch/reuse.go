package fetch

import (
	"time"

	"millpond/internal/digest"
	"millpond/internal/fetch/release"
)

// Reuse counts in a client that reads a file which Get gave a moment ago, as a Public one,
// from a descriptor of its own. It reports false if Get would do more than to open the
// file: hash it, or count its bytes as brought by a download. After true, Reused has to be
// called.
func (f *Fetcher) Reuse(r Request) bool {
	if r.Again && !f.rechecks.isRight(r.Digest) || f.isBrought(r.Digest, r.Size, -1) {
		return false
	}
	return f.store.Hold(r.Digest)
}

// Unchanged is Reuse for a client that is told that it has the Release file which Get gave
// a moment ago, as a Public one, and of which the caller has seen that it is still there:
// it reports whether Get would give that without asking anybody, but for hashing it, and
// how old it is. The request counts as answered.
func (f *Fetcher) Unchanged(r Request, given *File) (age time.Duration, ok bool) {
	if f.isBrought(given.Digest) {
		return 0, false
	}
	age, ok = f.releases.Unchanged(releaseRequest(r), release.File{Digest: given.Digest, Modified: given.Modified})
	if !ok || !f.store.Hold(given.Digest) {
		return 0, false
	}
	f.answered(r, nil)
	return age, true
}

// Reused ends what Reuse or Unchanged began.
func (f *Fetcher) Reused(d digest.Digest) { f.store.Release(d) }

// isBrought reports whether attribute may say something else than that d was held.
func (f *Fetcher) isBrought(d digest.Digest, sizes ...int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.unread.files[d]; ok {
		return true
	}
	for _, size := range sizes {
		if f.flights[flightKey{digest: d, size: size}] != nil {
			return true
		}
	}
	return false
}
