package inventory

import (
	"sync"
	"time"

	"millpond/internal/digest"
)

// missingFor is how long a peer is not asked again for a blob that it did not have. Its
// record in the DHT cannot be withdrawn and may be hours old.
const missingFor = 10 * time.Minute

// Missing remembers which peer did not have which blob, listed or not. The zero
// value is ready; it is safe for concurrent use. Peers are named by the text
// form of their IDs.
type Missing struct {
	mu   sync.Mutex // guards seen
	seen recent[digest.Digest]
}

// Add is called when id answered that it does not have d. It reports whether
// that was known.
func (m *Missing) Add(id string, d digest.Digest) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known = m.seen.within(id, d, missingFor)
	now := time.Now()
	m.seen.add(id, d, now, now.Add(-missingFor))
	return known
}

// Remove is called when id sent d after all.
func (m *Missing) Remove(id string, d digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.remove(id, d)
}

// Has reports whether id did not have d lately.
func (m *Missing) Has(id string, d digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.within(id, d, missingFor)
}
