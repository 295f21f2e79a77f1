package inventory

import (
	"fmt"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// suspectFor is how long a peer is not asked again for a blob that it listed
	// and did not have.
	suspectFor = 10 * time.Minute
	// grace allows for the removal notice still being in transit; more than
	// maxUntrue misses without a notice count as lying. A download may be listed
	// before its first byte can be read, and is requested again after grace.
	grace     = 5 * time.Second
	maxUntrue = 3
)

// Suspicions remember which peer did not have what its inventory lists. The
// zero value is ready; it is safe for concurrent use. Peers are named by the
// text form of their IDs.
type Suspicions struct {
	mu   sync.Mutex     // guards seen; before a Set's
	seen recent[uint64] // prefixes
}

// Refused is called when the peer id, whose inventory is set, answered that it
// does not have d. It returns the fault that this is: a listed blob may have
// been removed while the notice was in transit, but not time and again. A
// download that ended is no fault, nor is the lack of a blob that is not listed.
func (s *Suspicions) Refused(id string, set *Set, d digest.Digest) (f peer.Fault, why string) {
	x, now := prefixOf(d), time.Now()
	listed := set.Holds(d)
	if !listed && !set.Downloads(d) {
		return peer.None, ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	untrue := 0
	for other, at := range s.seen.seen[id] {
		if age := now.Sub(at); age >= grace && age < suspectFor && set.holds(other) {
			untrue++
		}
	}
	s.seen.add(id, x, now, now.Add(-suspectFor))
	switch {
	case !listed:
		return peer.None, ""
	case untrue >= maxUntrue:
		return peer.Lied, fmt.Sprintf("does not have %d blobs that its inventory lists", untrue+1)
	}
	return peer.Failed, "does not have " + d.Short() + ", which its inventory lists"
}

// Holder reports whether id did not have d lately although it lists it.
func (s *Suspicions) Holder(id string, d digest.Digest) bool { return s.within(id, d, suspectFor) }

// Downloader reports whether id did not have d within the last grace although it
// lists d as a download.
func (s *Suspicions) Downloader(id string, d digest.Digest) bool { return s.within(id, d, grace) }

func (s *Suspicions) within(id string, d digest.Digest, limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.within(id, prefixOf(d), limit)
}

// Clear drops the suspicions about blobs that f, a frame from id, lists again.
func (s *Suspicions) Clear(id string, f *Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen.seen[id]) == 0 {
		return
	}
	for _, list := range [][]uint64{f.came, f.went, f.begun} {
		for _, x := range list {
			s.seen.remove(id, x)
		}
	}
}
