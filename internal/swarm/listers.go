package swarm

import (
	"net/netip"
	"sync/atomic"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/swarm/quota"
)

// lister is who has a share of the entries: each member, and of other boxes, which can
// have any number of identities, each network.
type lister struct {
	member p2p.ID
	at     netip.Prefix
}

func (v *inventories) lister(id p2p.ID) lister {
	if v.swarm.private() {
		return lister{member: id}
	}
	return lister{at: v.swarm.network(id)}
}

// room is a neighbour's part of its lister's entries.
type room struct {
	all  *quota.Quota[lister]
	of   lister
	held atomic.Int64 // those in a listing that has not ended included
}

func (r *room) Take(want int64) int64 {
	got := r.all.Take(r.of, want)
	r.held.Add(got)
	return got
}

func (r *room) Give(n int64) {
	r.all.Give(r.of, n)
	r.held.Add(-n)
}

// makeRoom has others lose entries until the neighbour of mine can have n more: first
// the lister that has the most loses what it has too many of; if that is the own one,
// its neighbours that have more than this one lose half of the difference.
func (v *inventories) makeRoom(mine *room, n int64) {
	for v.entries.Room(mine.of) < n {
		from, excess, ok := v.entries.Greediest()
		if !ok {
			from = mine.of
		}
		most := v.largest(from)
		if most == nil || most.room == mine {
			return // it is leaving, or has the most itself
		}
		if from == mine.of {
			if excess = (most.room.held.Load() - mine.held.Load()) / 2; excess < n {
				return // they have about the same
			}
		}
		if most.Shed(excess) == 0 { // it is all in a listing that has not ended
			_ = most.reset() // the stream is abandoned either way
			return
		}
	}
}

// largest returns the neighbour of a lister that has the most entries; nil if there is
// none.
func (v *inventories) largest(of lister) (most *told) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.told {
		if t.room.of == of && (most == nil || t.room.held.Load() > most.room.held.Load()) {
			most = t
		}
	}
	return most
}
