package front

import (
	"container/list"
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
// work is cut only where a party has nothing else. Some places may be a reserve for
// work that is known to be small; they are shared in the same way, apart from the
// others. Shares are safe for concurrent use.
type Shares struct {
	clock atomic.Int64 // orders what happens to places

	mu      sync.Mutex // guards all below, and the fields of pools and places that say so
	common  pool       // for all
	reserve pool       // for small work
	ceiling ceiling
	waiting []*waiter // the first to come first
}

// waiter is one who waits for a place.
type waiter struct {
	*Place
	small bool          // it may have one of the reserve
	ready chan struct{} // closed when it has one
}

// share are the places of a party in a pool, at least one.
type share struct {
	idle list.List // of *Place, the oldest first
	busy map[*Place]struct{}
}

func (s *share) size() int { return s.idle.Len() + len(s.busy) }

// NewShares returns Shares of limit places, at least one, without a reserve.
func NewShares(limit int) *Shares { return NewSharesOf(Room{Places: limit}, Room{}) }

// NewSharesOf returns Shares of at least one common place, and a reserve.
func NewSharesOf(common, reserve Room) *Shares {
	common.Places = max(common.Places, 1)
	return &Shares{common: newPool(common), reserve: newPool(reserve)}
}

// Place is one place. It is idle at first.
type Place struct {
	shares *Shares
	cut    func(busy bool)
	last   atomic.Int64 // when it last made progress, by the clock
	moved  atomic.Int64 // bytes

	pool *pool // guarded by shares.mu, like all below: that it is in
	home Party // whose it is while idle
	of   Party // whose it is now
	busy bool
	idle *list.Element // in its share; nil while busy
	left bool          // it was cut, or given back
	pace pace
}

// Take gives party a common place. When another one needs it, cut is called, once, by
// who needs it, and must not block. Leave has to be called in any case.
func (s *Shares) Take(party Party, cut func(busy bool)) *Place {
	p := s.place(party, cut)
	s.mu.Lock()
	var out *Place
	if s.common.taken >= s.limit(&s.common, time.Now()) {
		out = s.common.loser(party)
		out.remove()
	}
	s.common.enter(p)
	s.mu.Unlock()
	if out != nil {
		out.cut(out.busy) // which does not change any more
	}
	return p
}

// Wait is Take for work that can wait, and that may have a place of the reserve if it
// is small. Its place is busy. A party gets the place of another one only if it has
// fewer of the same pool, then as well, or for small work, if the place is the
// reserve's (Refused); otherwise it waits until one is free, and of
// those who wait the party with the fewest comes first. The error is ctx's cause.
func (s *Shares) Wait(ctx context.Context, party Party, small bool, cut func(busy bool)) (*Place, error) {
	w := &waiter{s.place(party, cut), small, make(chan struct{})}
	w.busy = true
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.next()
	out := s.displace(w)
	s.mu.Unlock()
	if out != nil {
		out.cut(out.busy)
	}
	look := time.NewTicker(slowAfter)
	defer look.Stop()
	for {
		select {
		case <-w.ready:
			return w.Place, nil
		case <-look.C: // there are more places when some have become slow
			s.mu.Lock()
			s.next()
			s.mu.Unlock()
		case <-ctx.Done():
			return s.giveUp(ctx, w)
		}
	}
}

// displace gives w the place of a party that has more than its own, which is returned,
// if it is still waiting and there is one. mu is held.
func (s *Shares) displace(w *waiter) (out *Place) {
	if !slices.Contains(s.waiting, w) {
		return nil
	}
	if w.small && s.isTaken(time.Now()) {
		out := s.common.loser(w.of)
		out.remove()
		s.admit(w, &s.reserve)
		return out
	}
	for _, in := range s.poolsFor(w) {
		out := in.loser(w.of)
		if out == nil || in.sizeOf(out.of) <= in.sizeOf(w.of)+1 {
			continue
		}
		out.remove()
		s.admit(w, in)
		return out
	}
	return nil
}

// giveUp ends the wait of w.
func (s *Shares) giveUp(ctx context.Context, w *waiter) (*Place, error) {
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
	if len(s.waiting) == 0 {
		return
	}
	now := time.Now()
	for _, in := range []*pool{&s.common, &s.reserve} {
		for limit := s.limit(in, now); in.taken < limit; {
			w := s.firstFor(in)
			if w == nil {
				break
			}
			s.admit(w, in)
		}
	}
}

// firstFor returns who gets the next place of a pool, nil if nobody waits for one. mu
// is held.
func (s *Shares) firstFor(in *pool) (first *waiter) {
	for _, w := range s.waiting {
		if !w.small && in == &s.reserve {
			continue
		}
		if first == nil || in.sizeOf(w.of) < in.sizeOf(first.of) {
			first = w
		}
	}
	return first
}

// poolsFor returns where w may have a place. Small work keeps to its reserve where that
// has one to give. mu is held.
func (s *Shares) poolsFor(w *waiter) []*pool {
	if w.small {
		return []*pool{&s.reserve, &s.common}
	}
	return []*pool{&s.common}
}

// admit gives w a place of a pool. mu is held.
func (s *Shares) admit(w *waiter, in *pool) {
	s.waiting = slices.DeleteFunc(s.waiting, func(o *waiter) bool { return o == w })
	in.enter(w.Place)
	close(w.ready)
}

// place returns a place of party that is not entered.
func (s *Shares) place(party Party, cut func(busy bool)) *Place {
	p := &Place{shares: s, cut: cut, home: party, of: party}
	p.Progress()
	return p
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

// change moves p to where it belongs after do.
func (p *Place) change(do func()) {
	s := p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.left {
		return
	}
	in := p.pool
	in.take(p)
	do()
	p.Progress()
	in.add(p)
}

// remove takes p out for good. The Shares' mu is held.
func (p *Place) remove() {
	p.pool.take(p)
	p.left = true
}

// Progress notes that something came of a busy place.
func (p *Place) Progress() { p.last.Store(p.shares.clock.Add(1)) }

// Received is Progress of n bytes, by which it counts as slow or not.
func (p *Place) Received(n int64) {
	p.moved.Add(n)
	p.Progress()
}

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
		p.remove()
		p.shares.next()
	}
}
