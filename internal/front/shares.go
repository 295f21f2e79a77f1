package front

import (
	"container/list"
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Party is a client as far as sharing goes: an IPv4 address, or an IPv6 /64, since a
// machine has all of that. The zero Party is all whose address is not known. Many
// clients can be one party, behind a NAT for instance, so that no party has a limit
// of its own.
type Party = netip.Prefix

// PartyOf is the party that a client belongs to.
func PartyOf(client netip.Addr) Party {
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	party, _ := client.Prefix(bits) // the zero Prefix for no address
	return party
}

// Shares divide a number of places (for connections, say) among parties. As long as
// places are free, everybody gets as many as they want. Once all are taken, whoever
// comes gets the place of another one, which is cut:
//
//   - that of the party with the most places, of those that have idle ones and more
//     than an equal share: its oldest idle one;
//   - if none of these has an idle one, that of the party with the most: the one of
//     which the last progress is the longest ago.
//
// So a party that has less than its share loses nothing to one that has more, and
// work is cut only where a party has nothing else. Shares are safe for concurrent use.
type Shares struct {
	limit int
	clock atomic.Int64 // orders what happens to places

	mu      sync.Mutex // guards all below, and the fields of places that say so
	taken   int
	parties map[Party]*share
	waiting []*waiter // the first to come first
}

// waiter is one who waits for a place.
type waiter struct {
	*Place
	ready chan struct{} // closed when it has one
}

// share are the places of a party, at least one.
type share struct {
	idle list.List // of *Place, the oldest first
	busy map[*Place]struct{}
}

func (s *share) size() int { return s.idle.Len() + len(s.busy) }

// NewShares returns Shares of limit places, at least one.
func NewShares(limit int) *Shares {
	return &Shares{limit: max(limit, 1), parties: make(map[Party]*share)}
}

// Place is one place. It is idle at first.
type Place struct {
	shares *Shares
	cut    func(busy bool)
	last   atomic.Int64 // when it last made progress, by the clock

	home Party // guarded by shares.mu, like all below: whose it is while idle
	of   Party // whose it is now
	busy bool
	idle *list.Element // in its share; nil while busy
	left bool          // it was cut, or given back
}

// Take gives party a place. When another one needs it, cut is called, once, by who
// needs it, and must not block. Leave has to be called in any case.
func (s *Shares) Take(party Party, cut func(busy bool)) *Place {
	p := s.place(party, cut)
	s.mu.Lock()
	var out *Place
	if s.taken >= s.limit {
		out = s.loser(party)
		s.remove(out)
	}
	s.add(p)
	s.mu.Unlock()
	if out != nil {
		out.cut(out.busy) // which does not change any more
	}
	return p
}

// Wait is Take for work that can wait. Its place is busy. A party gets the place of
// another one only if it has fewer, then as well; otherwise it waits until one is free,
// and of those who wait the party with the fewest comes first. The error is ctx's cause.
func (s *Shares) Wait(ctx context.Context, party Party, cut func(busy bool)) (*Place, error) {
	w := &waiter{s.place(party, cut), make(chan struct{})}
	w.busy = true
	s.mu.Lock()
	if s.taken >= s.limit {
		if out := s.loser(party); s.sizeOf(out.of) > s.sizeOf(party)+1 {
			s.remove(out)
			s.add(w.Place)
			s.mu.Unlock()
			out.cut(out.busy)
			return w.Place, nil
		}
	}
	s.waiting = append(s.waiting, w)
	s.next()
	s.mu.Unlock()
	select {
	case <-w.ready:
		return w.Place, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.waiting = slices.DeleteFunc(s.waiting, func(o *waiter) bool { return o == w })
	s.mu.Unlock()
	select {
	case <-w.ready: // meanwhile
		w.Leave()
	default:
	}
	return nil, context.Cause(ctx)
}

// next gives free places to those who wait. mu is held.
func (s *Shares) next() {
	for s.taken < s.limit && len(s.waiting) > 0 {
		first := 0
		for i, w := range s.waiting {
			if s.sizeOf(w.of) < s.sizeOf(s.waiting[first].of) {
				first = i
			}
		}
		w := s.waiting[first]
		s.waiting = slices.Delete(s.waiting, first, first+1)
		s.add(w.Place)
		close(w.ready)
	}
}

// sizeOf is how many places a party has. mu is held.
func (s *Shares) sizeOf(party Party) int {
	if in := s.parties[party]; in != nil {
		return in.size()
	}
	return 0
}

// place returns a place of party that is not entered.
func (s *Shares) place(party Party, cut func(busy bool)) *Place {
	p := &Place{shares: s, cut: cut, home: party, of: party}
	p.Progress()
	return p
}

// loser is the place that a newcomer of party gets. mu is held, and all are taken.
func (s *Shares) loser(party Party) *Place {
	parties := len(s.parties)
	if s.parties[party] == nil {
		parties++
	}
	equal := s.limit / parties
	var found *Place
	var ofFound struct {
		rested bool // idle, and of a party with more than an equal share
		size   int
	}
	for who, share := range s.parties {
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

// first is the place that a share loses first. Its Shares' mu is held.
func (s *share) first() *Place {
	if e := s.idle.Front(); e != nil {
		return e.Value.(*Place)
	}
	var first *Place
	for p := range s.busy {
		if first == nil || p.last.Load() < first.last.Load() {
			first = p
		}
	}
	return first
}

// before reports whether p is cut rather than o, if their parties have as many. mu
// is held.
func (p *Place) before(o *Place) bool {
	if (p.idle == nil) != (o.idle == nil) {
		return p.idle != nil
	}
	return p.last.Load() < o.last.Load()
}

// add enters p with the party that it belongs to. mu is held.
func (s *Shares) add(p *Place) {
	in := s.parties[p.of]
	if in == nil {
		in = &share{busy: make(map[*Place]struct{})}
		s.parties[p.of] = in
	}
	if p.busy {
		in.busy[p] = struct{}{}
	} else {
		p.idle = in.idle.PushBack(p)
	}
	s.taken++
}

// take takes p from the party that it belongs to. mu is held.
func (s *Shares) take(p *Place) {
	in := s.parties[p.of]
	if p.idle != nil {
		in.idle.Remove(p.idle)
		p.idle = nil
	} else {
		delete(in.busy, p)
	}
	if in.size() == 0 {
		delete(s.parties, p.of)
	}
	s.taken--
}

// remove takes p out for good. mu is held.
func (s *Shares) remove(p *Place) {
	s.take(p)
	p.left = true
}

// change moves p to where it belongs after do.
func (p *Place) change(do func()) {
	s := p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.left {
		return
	}
	s.take(p)
	do()
	p.Progress()
	s.add(p)
}

// Progress notes that something came of a busy place.
func (p *Place) Progress() { p.last.Store(p.shares.clock.Add(1)) }

// Use makes the place busy, for party, which may be another than the place was taken
// for, until Rest.
func (p *Place) Use(party Party) { p.change(func() { p.of, p.busy = party, true }) }

// Rest makes the place idle.
func (p *Place) Rest() { p.change(func() { p.of, p.busy = p.home, false }) }

// belong says whose an idle place is.
func (p *Place) belong(party Party) { p.change(func() { p.home, p.of = party, party }) }

// Leave gives the place back. Further calls, and those after a cut, do nothing.
func (p *Place) Leave() {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if !p.left {
		p.shares.remove(p)
		p.shares.next()
	}
}
