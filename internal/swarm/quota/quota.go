// Package quota divides the swarm's slots (connections, streams, entries, records) among
// peers or their networks, so that none can take what others need. It keeps some free at
// all times, since not all of them can be taken back at once; where they can, as clients'
// connections, front.Shares gives out all.
//
// The rule: a party may take slots until it holds weight times as many as are free.
// Alone it gets weight/(weight+1) of them; n parties that take in turn all that they
// can get leave 1/(n×weight+1) to the next one. No party has to be known in advance, and
// one that wants little never notices the others. (Choudhury and Hahne, "Dynamic queue
// length thresholds", 1998.)
//
// A party that came before the others may hold more than it could take now. Whoever
// finds too few slots takes them back from the party that has the most (Greediest), if
// what the slots stand for can be taken back.
package quota

import "sync"

// Quota is safe for concurrent use. The parties it remembers are those that hold
// slots.
type Quota[P comparable] struct {
	weight int64

	mu   sync.Mutex // guards the fields below
	free int64
	held map[P]int64
}

// New returns a Quota of as many slots, all free.
func New[P comparable](slots, weight int64) *Quota[P] {
	return &Quota[P]{weight: weight, free: slots, held: make(map[P]int64)}
}

// Take gives p up to want slots and returns how many.
func (q *Quota[P]) Take(p P, want int64) (got int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	got = min(want, q.room(p))
	if got <= 0 {
		return 0
	}
	q.free -= got
	q.held[p] += got
	return got
}

// room is how many slots p can take: with them it holds weight×free. The caller holds
// q.mu.
func (q *Quota[P]) room(p P) int64 { return max(0, (q.weight*q.free-q.held[p])/(q.weight+1)) }

// Room is how many slots p can take now.
func (q *Quota[P]) Room(p P) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room(p)
}

// Add gives p n slots, free or not: it held them before the Quota knew of it.
func (q *Quota[P]) Add(p P, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free -= n
	q.held[p] += n
}

// Give takes n slots back from p.
func (q *Quota[P]) Give(p P, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, q.held[p])
	q.free += n
	if q.held[p] -= n; q.held[p] == 0 {
		delete(q.held, p)
	}
}

// Excess is how many slots more p holds than it could if it took them now.
func (q *Quota[P]) Excess(p P) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.excess(p)
}

func (q *Quota[P]) excess(p P) int64 {
	held := q.held[p]
	return max(0, held-q.weight*(q.free+held)/(q.weight+1))
}

// Greediest is the party that holds the most, and its Excess; false if that is none.
func (q *Quota[P]) Greediest() (p P, excess int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := int64(0)
	for party, held := range q.held {
		if held > most {
			p, most = party, held
		}
	}
	excess = q.excess(p)
	return p, excess, excess > 0
}

// Held is the number of slots that p holds.
func (q *Quota[P]) Held(p P) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held[p]
}

// Free is the number of slots that nobody holds.
func (q *Quota[P]) Free() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free
}
