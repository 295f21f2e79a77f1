package ahead

import (
	"sync"
	"time"
)

// memory remembers the last keys for as long as retryAfter.
type memory struct {
	max int

	mu   sync.Mutex // guards what follows
	keys map[any]struct{}
	past []past // in the order of their times
}

type past struct {
	key any
	at  time.Time
}

func newMemory(limit int) *memory { return &memory{max: limit, keys: make(map[any]struct{})} }

// first reports whether key is not remembered, and remembers it. Over the
// bound the oldest key is forgotten.
func (m *memory) first(key any) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for len(m.past) > 0 && (len(m.past) >= m.max || now.Sub(m.past[0].at) >= retryAfter) {
		delete(m.keys, m.past[0].key)
		m.past = m.past[1:]
	}
	if _, ok := m.keys[key]; ok {
		return false
	}
	m.keys[key] = struct{}{}
	m.past = append(m.past, past{key, now})
	return true
}
