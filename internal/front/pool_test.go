package front

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// queue are Shares that parties wait for; all runs in a bubble.
type queue struct {
	*Shares
	t   *testing.T
	ctx context.Context
}

func party(i int) Party { return PartyOf(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) }

// ask has a party wait for n places. It returns where they come, and counts those cut.
func (q queue) ask(who, n int, small bool, cut *int) <-chan *Place {
	places := make(chan *Place, n)
	for range n {
		go func() {
			p, err := q.Wait(q.ctx, party(who), small, func(bool) { *cut++ })
			if err == nil {
				places <- p
			}
		}()
		synctest.Wait()
	}
	return places
}

func (q queue) wantTaken(common, reserve int) {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.common.taken != common || q.reserve.taken != reserve {
		q.t.Errorf("%d common places and %d of the reserve are taken, want %d and %d", q.common.taken, q.reserve.taken, common, reserve)
	}
}

// inQueue runs do in a bubble, and then ends all waiting.
func inQueue(t *testing.T, common, reserve Room, do func(q queue, cut *int)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q := queue{NewSharesOf(common, reserve), t, ctx}
		var cut int
		do(q, &cut)
		cancel()
		synctest.Wait()
		if len(q.waiting) != 0 {
			t.Errorf("%d still wait", len(q.waiting))
		}
	})
}

func TestReserve(t *testing.T) {
	inQueue(t, Room{Places: 4}, Room{Places: 2}, func(q queue, cut *int) {
		large := q.ask(1, 9, false, cut)
		q.wantTaken(4, 0)
		small := q.ask(1, 3, true, cut)
		q.wantTaken(4, 2)
		q.ask(2, 3, true, cut) // one of each pool: then it has as many there
		q.wantTaken(4, 2)
		if *cut != 3 {
			t.Errorf("%d were cut for another party's small work, want one of the reserve and two of the common places", *cut)
		}
		(<-small).Leave()
		(<-small).Leave()
		(<-large).Leave()
		(<-large).Leave()
		synctest.Wait()
		q.wantTaken(4, 2) // who waited has them
	})
}

// Large work does not wait behind small work without end: it has its turn at the common
// places, which small work takes, too, while they are free.
func TestLargeWorkHasItsTurn(t *testing.T) {
	inQueue(t, Room{Places: 2}, Room{Places: 1}, func(q queue, cut *int) {
		small := q.ask(1, 3, true, cut)
		large := q.ask(1, 1, false, cut)
		q.ask(1, 5, true, cut)
		q.wantTaken(2, 1)
		(<-small).Leave()
		synctest.Wait()
		if len(large) != 1 {
			t.Error("the large work did not get the place that was free")
		}
	})
}

func TestSlowPlacesMakeRoom(t *testing.T) {
	inQueue(t, Room{Places: 4, Most: 10}, Room{Places: 2, Most: 3}, func(q queue, cut *int) {
		q.ask(1, 20, false, cut)
		q.wantTaken(4, 0)
		for _, want := range []int{6, 8, 10, 10} {
			time.Sleep(slowAfter)
			synctest.Wait()
			q.wantTaken(want, 0)
		}
		small := q.ask(1, 5, true, cut)
		q.wantTaken(10, 2)
		time.Sleep(slowAfter)
		synctest.Wait()
		q.wantTaken(10, 3)
		(<-small).Leave()
		q.ask(2, 1, false, cut)
		if *cut != 1 {
			t.Errorf("%d were cut for another party, want 1", *cut)
		}
	})
}

func TestQuickPlacesMakeNoRoom(t *testing.T) {
	inQueue(t, Room{Places: 4, Most: 10}, Room{}, func(q queue, cut *int) {
		places := q.ask(1, 20, false, cut)
		var all []*Place
		for range 4 {
			all = append(all, <-places)
		}
		for range 5 {
			for _, p := range all[:2] { // half are
				p.Received(2 * slowRate)
			}
			time.Sleep(slowAfter)
			synctest.Wait()
			q.wantTaken(4, 0)
		}
		for range 2 {
			time.Sleep(slowAfter) // now all are slow
			synctest.Wait()
		}
		q.wantTaken(8, 0)
		for range 2 { // and quick again: there is no more room than that
			for _, p := range all {
				p.Received(10 * slowRate)
			}
			for len(places) > 0 {
				all = append(all, <-places)
			}
			time.Sleep(slowAfter)
			synctest.Wait()
		}
		for _, p := range all {
			p.Leave()
		}
		synctest.Wait()
		q.wantTaken(4, 0)
	})
}

func TestRefused(t *testing.T) {
	inQueue(t, Room{Places: 16, Most: 64}, Room{Places: 8, Most: 16}, func(q queue, cut *int) {
		places := q.ask(1, 60, false, cut)
		time.Sleep(slowAfter)
		synctest.Wait()
		q.wantTaken(24, 0)
		for range 4 {
			p := <-places
			p.Refused()
			p.Leave()
			synctest.Wait()
		}
		q.wantTaken(20, 0)
		q.ask(1, 8, true, cut)
		q.wantTaken(15, 5)
		if *cut != 5 {
			t.Errorf("%d were cut for the reserve, want 5", *cut)
		}
		time.Sleep(10 * slowAfter)
		synctest.Wait()
		q.wantTaken(15, 5)
		time.Sleep(ceilingFor)
		synctest.Wait()
		q.wantTaken(51, 8) // all that are left
	})
}

// A refusal of one of a few is about its file.
func TestRefusedAmongFew(t *testing.T) {
	inQueue(t, Room{Places: 16}, Room{Places: 8}, func(q queue, cut *int) {
		places := q.ask(1, 5, false, cut)
		p := <-places
		p.Refused()
		p.Leave()
		q.ask(1, 20, false, cut)
		q.wantTaken(16, 0)
	})
}
