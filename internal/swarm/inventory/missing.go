package inventory

import (
	"sync"
	"time"

	"millpond/internal/digest"
)

const (
	// missingFor is how long a peer is not asked again for a blob that it did not
	// have. Its record in the DHT cannot be withdrawn and may be hours old.
	missingFor = 10 * time.Minute
	maxMissing = 4096 // about 700 KB
)

// Missing remembers which peer did not have which blob, listed or not. The zero
// value is ready; it is safe for concurrent use. Peers are named by the text
// form of their IDs.
type Missing struct {
	mu   sync.Mutex // guards seen
	seen map[absence]time.Time
}

type absence struct {
	id string
	d  digest.Digest
}

// Add is called when id answered that it does not have d. It reports whether
// that was known.
func (m *Missing) Add(id string, d digest.Digest) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = make(map[absence]time.Time)
	}
	known = m.has(id, d)
	if len(m.seen) >= maxMissing {
		for a, at := range m.seen {
			if time.Since(at) >= missingFor {
				delete(m.seen, a)
			}
		}
	}
	if len(m.seen) >= maxMissing {
		clear(m.seen) // costs one refused request for each entry
	}
	m.seen[absence{id, d}] = time.Now()
	return known
}

// Remove is called when id sent d after all.
func (m *Missing) Remove(id string, d digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, absence{id, d})
}

// Has reports whether id did not have d lately.
func (m *Missing) Has(id string, d digest.Digest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(id, d)
}

func (m *Missing) has(id string, d digest.Digest) bool {
	at, ok := m.seen[absence{id, d}]
	return ok && time.Since(at) < missingFor
}
