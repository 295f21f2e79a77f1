package front

import "time"

// Room is how many places a pool has.
type Room struct {
	// Places is how many there are.
	Places int
	// Most, if it is more, is how many there can be while some are slow (slowRate):
	// half of Places are for work that is not slow, however many are.
	Most int
}

// Limits of what is slow.
const (
	// slowRate is below what any line of today brings on one connection, in bytes a
	// second: at this rate the InRelease of a distribution takes two to three seconds.
	slowRate = 64 << 10
	// slowAfter is how long a place has that rate, or brings nothing, before it is
	// slow. It is more than connecting and the first answer take, so that what is
	// quick is never taken for slow.
	slowAfter = time.Second
)

// pool are places that are shared apart from others. Its Shares' mu guards it.
type pool struct {
	room    Room
	taken   int
	parties map[Party]*share
}

func newPool(room Room) pool {
	room.Most = max(room.Places, room.Most)
	return pool{room: room, parties: make(map[Party]*share)}
}

// limit is how many places there are at now.
func (in *pool) limit(now time.Time) int {
	usual, most := in.room.Places, in.room.Most
	if in.taken < usual || usual == most {
		return usual
	}
	slow := 0
	for _, share := range in.parties {
		for p := range share.busy {
			if p.pace.isSlow(p.moved.Load(), now) {
				slow++
			}
		}
	}
	return min(max(usual, slow+usual/2), most)
}

// pace is how fast bytes come to a place. Its Shares' mu guards it.
type pace struct {
	since time.Time // when it was last measured, or the place was entered
	moved int64     // bytes until then
	slow  bool      // as it was measured then
}

// isSlow reports whether a place is slow that has had moved bytes at now.
func (c *pace) isSlow(moved int64, now time.Time) bool {
	if took := now.Sub(c.since); took >= slowAfter {
		*c = pace{since: now, moved: moved, slow: float64(moved-c.moved) < slowRate*took.Seconds()}
	}
	return c.slow
}

// sizeOf is how many places a party has.
func (in *pool) sizeOf(party Party) int {
	if share := in.parties[party]; share != nil {
		return share.size()
	}
	return 0
}

// loser is the place that a newcomer of party gets when all are taken, nil if there is
// none. mu is held.
func (in *pool) loser(party Party) *Place {
	parties := len(in.parties)
	if in.parties[party] == nil {
		parties++
	}
	equal := in.taken / parties
	var found *Place
	var ofFound struct {
		rested bool // idle, and of a party with more than an equal share
		size   int
	}
	for who, share := range in.parties {
		size := share.size()
		if who == party {
			size++
		}
		rested := share.idle.Len() > 0 && size > equal
		switch {
		case found != nil && ofFound.rested != rested:
			if ofFound.rested {
				continue
			}
		case found != nil && size < ofFound.size:
			continue
		case found != nil && size == ofFound.size && !share.first().before(found):
			continue
		}
		found, ofFound.rested, ofFound.size = share.first(), rested, size
	}
	return found
}

// enter puts in a new place.
func (in *pool) enter(p *Place) {
	p.pool, p.pace = in, pace{since: time.Now(), moved: p.moved.Load()}
	in.add(p)
}

// add enters p with the party that it belongs to.
func (in *pool) add(p *Place) {
	of := in.parties[p.of]
	if of == nil {
		of = &share{busy: make(map[*Place]struct{})}
		in.parties[p.of] = of
	}
	if p.busy {
		of.busy[p] = struct{}{}
	} else {
		p.idle = of.idle.PushBack(p)
	}
	in.taken++
}

// take takes p from the party that it belongs to.
func (in *pool) take(p *Place) {
	of := in.parties[p.of]
	if p.idle != nil {
		of.idle.Remove(p.idle)
		p.idle = nil
	} else {
		delete(of.busy, p)
	}
	if of.size() == 0 {
		delete(in.parties, p.of)
	}
	in.taken--
}
