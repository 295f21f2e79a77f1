package fetch

import (
	"sync"
	"time"
)

// A box that another one at the site picks as the owner of a file asks the mirror
// for it, though none of its clients may ever want it. By rendezvous hashing that is
// an equal share of all files for each box, so that what one asks for stays below
// what its own clients want: 4 GB is the upgrade of a desktop from one release of a
// distribution to the next.
const (
	// peerBudget is how many bytes a day are fetched for one peer: two such upgrades.
	// Past it the peer asks the mirror itself.
	peerBudget = 8 << 30
	// peersBudget is that for all peers together, whatever peer IDs they make up.
	peersBudget = 4 * peerBudget
	// maxBudgets bounds the peers that are told apart.
	maxBudgets = 1024
)

// budget bounds what is fetched for peers. What is unused comes back evenly over a
// day.
type budget struct {
	each, all int64 // bytes

	mu    sync.Mutex // guards what follows
	total spent
	peers map[string]spent
}

func newBudget(each, all int64) *budget {
	return &budget{each: each, all: all, peers: make(map[string]spent)}
}

// spent is what is gone of a budget as of a moment.
type spent struct {
	bytes int64
	at    time.Time
}

// now returns s as it is now, of a budget of so many bytes a day.
func (s spent) now(of int64) spent {
	now := time.Now()
	back := float64(of) * (now.Sub(s.at).Seconds() / (24 * time.Hour).Seconds())
	if s.at.IsZero() || back >= float64(s.bytes) {
		return spent{0, now}
	}
	return spent{s.bytes - int64(back), now}
}

// take takes n bytes for a peer, and reports whether they were left.
func (b *budget) take(peer string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, total := b.peers[peer].now(b.each), b.total.now(b.all)
	if own.bytes+n > b.each || total.bytes+n > b.all {
		return false
	}
	own.bytes, total.bytes = own.bytes+n, total.bytes+n
	if _, known := b.peers[peer]; !known && len(b.peers) >= maxBudgets {
		b.forget()
	}
	b.peers[peer], b.total = own, total
	return true
}

// giveBack undoes take for n bytes that were not fetched.
func (b *budget) giveBack(peer string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total.bytes = max(b.total.bytes-n, 0)
	if own, ok := b.peers[peer]; ok {
		own.bytes = max(own.bytes-n, 0)
		b.peers[peer] = own
	}
}

// forget makes room for another peer: it forgets the one that has spent least.
// b.mu is held.
func (b *budget) forget() {
	least := ""
	for id, s := range b.peers {
		if least == "" || s.now(b.each).bytes < b.peers[least].now(b.each).bytes {
			least = id
		}
	}
	delete(b.peers, least)
}

// settle gives the peer that the flight was begun for the budget back that it did
// not need. Past the disk, all of it was for that peer.
func (fl *flight) settle() {
	fl.mu.Lock()
	unkept := fl.passthrough != nil
	fl.mu.Unlock()
	if unused := fl.entry.Size - fl.received.Load(); fl.payer != "" && !unkept && unused > 0 {
		fl.f.budget.giveBack(fl.payer, unused)
	}
}

// forPeer reports whether a peer alone wants the flight's file, as far as is known.
func (fl *flight) forPeer() bool { return fl.payer != "" && !fl.wanted.Load() }
