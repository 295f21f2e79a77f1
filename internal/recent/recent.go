// Package recent keeps what was looked up lately, where looking it up again costs more.
//
// A Map is bounded. When it is full it forgets the half that was not used for the longest
// time. Whoever changes what is looked up calls Delete after the change; a value that was
// read before it is not kept then, whichever of the two comes first.
package recent

import "sync"

// Map is safe for concurrent use. New makes one.
type Map[K comparable, V any] struct {
	half int // of the most that it holds

	mu      sync.Mutex
	young   map[K]V // used since old was replaced; guarded by mu
	old     map[K]V // guarded by mu
	deletes uint64  // guarded by mu
}

// New returns a Map that holds limit values at most.
func New[K comparable, V any](limit int) *Map[K, V] {
	return &Map[K, V]{half: max(limit/2, 1), young: make(map[K]V)}
}

// Get returns what is kept under k or, if there is nothing, what lookUp returns. That is kept
// unless it is an error, or something was deleted meanwhile.
func (m *Map[K, V]) Get(k K, lookUp func() (V, error)) (V, error) {
	v, deletes, ok := m.kept(k)
	if ok {
		return v, nil
	}
	v, err := lookUp()
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deletes == deletes {
		m.put(k, v)
	}
	return v, nil
}

// kept returns what is kept under k, and how often something was deleted until then.
func (m *Map[K, V]) kept(k K) (v V, deletes uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok = m.young[k]; ok {
		return v, m.deletes, true
	}
	if v, ok = m.old[k]; ok {
		delete(m.old, k)
		m.put(k, v)
	}
	return v, m.deletes, ok
}

// put keeps v as used now. Caller holds mu.
func (m *Map[K, V]) put(k K, v V) {
	if len(m.young) == m.half {
		m.young, m.old = make(map[K]V), m.young
	}
	m.young[k] = v
}

// Delete forgets what is kept under k, and what Get is looking up now.
func (m *Map[K, V]) Delete(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deletes++
	delete(m.young, k)
	delete(m.old, k)
}
