package inventory

import "time"

// maxRecent bounds what is remembered about all peers: about 700 KB.
const maxRecent = 4096

// recent remembers when something about a peer was last seen. The zero value is ready.
type recent[K comparable] struct {
	seen map[string]map[K]time.Time
	n    int
}

// add records that k was seen of the peer id. To make room it drops what was seen
// before since, and if that is not enough, everything about the peer of which it has
// the most.
func (r *recent[K]) add(id string, k K, now, since time.Time) {
	if r.n >= maxRecent {
		r.expire(since)
	}
	if r.n >= maxRecent {
		most := id
		for other, seen := range r.seen {
			if len(seen) > len(r.seen[most]) {
				most = other
			}
		}
		r.n -= len(r.seen[most])
		delete(r.seen, most)
	}
	if r.seen == nil {
		r.seen = make(map[string]map[K]time.Time)
	}
	if r.seen[id] == nil {
		r.seen[id] = make(map[K]time.Time)
	}
	before := len(r.seen[id])
	r.seen[id][k] = now
	r.n += len(r.seen[id]) - before
}

func (r *recent[K]) expire(since time.Time) {
	for id, seen := range r.seen {
		for k, at := range seen {
			if !at.After(since) {
				r.remove(id, k)
			}
		}
	}
}

func (r *recent[K]) remove(id string, k K) {
	seen := r.seen[id]
	if _, ok := seen[k]; !ok {
		return
	}
	r.n--
	if delete(seen, k); len(seen) == 0 {
		delete(r.seen, id)
	}
}

// within reports whether k was seen of id less than limit ago.
func (r *recent[K]) within(id string, k K, limit time.Duration) bool {
	at, ok := r.seen[id][k]
	return ok && time.Since(at) < limit
}
