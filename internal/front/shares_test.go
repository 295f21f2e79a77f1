package front

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// ring are Shares of which it is noted who is cut.
type ring struct {
	*Shares
	cut []string // guarded by the test's own order
}

// take gives party a place with a name.
func (r *ring) take(name, client string) *Place {
	return r.Take(PartyOf(netip.MustParseAddr(client)), func(busy bool) {
		if busy {
			name += " at work"
		}
		r.cut = append(r.cut, name)
	})
}

func (r *ring) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(r.cut, ", "); got != strings.Join(want, ", ") {
		t.Errorf("cut: %s; want %s", got, strings.Join(want, ", "))
	}
	r.cut = nil
}

func TestWhoGivesWay(t *testing.T) {
	t.Parallel()
	const big, small, other = "10.0.0.1", "10.0.0.2", "10.0.0.3"
	t.Run("the most loses its oldest idle one", func(t *testing.T) {
		r := &ring{Shares: NewShares(4)}
		work := r.take("a", big)
		work.Use(work.of)
		r.take("b", big)
		r.take("c", big)
		r.take("d", small)
		r.expect(t)
		r.take("e", other)
		r.expect(t, "b")
		r.take("f", big)
		r.expect(t, "c")
	})
	t.Run("idle from its last use on", func(t *testing.T) {
		r := &ring{Shares: NewShares(2)}
		a := r.take("a", big)
		r.take("b", big)
		a.Use(a.of)
		a.Rest()
		r.take("c", small)
		r.expect(t, "b")
	})
	t.Run("of those at work the one that does not move", func(t *testing.T) {
		r := &ring{Shares: NewShares(3)}
		var all []*Place
		for _, name := range []string{"a", "b", "c"} {
			p := r.take(name, big)
			p.Use(p.of)
			all = append(all, p)
		}
		all[0].Progress()
		r.take("d", small)
		r.expect(t, "b at work")
	})
	t.Run("idle ones beyond a share before work", func(t *testing.T) {
		r := &ring{Shares: NewShares(8)}
		for range 4 {
			p := r.take("work", big)
			p.Use(p.of)
		}
		for i := range 3 {
			r.take(fmt.Sprint("idle ", i), small)
		}
		r.take("single", other)
		r.take("newcomer", other) // an equal share is 2
		r.expect(t, "idle 0")
		r.take("newcomer", other)
		r.expect(t, "single") // small has 2
	})
	t.Run("no share is lost to one who has more", func(t *testing.T) {
		r := &ring{Shares: NewShares(4)}
		r.take("idle", small)
		for range 3 {
			p := r.take("work", big)
			p.Use(p.of)
		}
		for range 10 {
			p := r.take("more", big)
			p.Use(p.of)
		}
		for _, name := range r.cut {
			if name == "idle" {
				t.Error("the other one's was cut")
			}
		}
	})
	t.Run("a machine's IPv6 addresses are one party", func(t *testing.T) {
		r := &ring{Shares: NewShares(3)}
		r.take("a", "2001:db8::1")
		r.take("b", "10.0.0.1")
		r.take("c", "2001:db8::2")
		r.take("d", "10.0.0.2")
		r.expect(t, "a")
	})
	t.Run("work for another one", func(t *testing.T) {
		r := &ring{Shares: NewShares(4)}
		for i, of := range []string{big, big, big, small} {
			p := r.take(fmt.Sprint(of, i), other) // a proxy's
			p.Use(PartyOf(netip.MustParseAddr(of)))
		}
		r.take("more", other)
		r.expect(t, big+"0 at work")
	})
}

func TestWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &ring{Shares: NewShares(4)}
		var in []string
		ctx, cancel := context.WithCancel(t.Context())
		wait := func(name, client string) (leave func()) {
			got := make(chan *Place, 1)
			go func() {
				p, err := r.Wait(ctx, PartyOf(netip.MustParseAddr(client)), false, func(busy bool) { r.cut = append(r.cut, name) })
				if err == nil {
					in = append(in, name)
				}
				got <- p
			}()
			synctest.Wait()
			return func() { (<-got).Leave(); synctest.Wait() }
		}
		expect := func(want ...string) {
			t.Helper()
			if !slices.Equal(in, want) {
				t.Errorf("in: %v, want %v", in, want)
			}
			in = nil
		}
		a := wait("a", "10.0.0.1")
		for _, name := range []string{"b", "c", "d", "e", "f"} {
			wait(name, "10.0.0.1")
		}
		expect("a", "b", "c", "d")
		g := wait("g", "10.0.0.2")
		wait("h", "10.0.0.2")
		wait("i", "10.0.0.2") // no more than the other one
		wait("j", "10.0.0.3") // fewer than both, who would then have fewer than it has
		expect("g", "h", "j")
		r.expect(t, "a", "b", "c")
		a() // was cut
		g()
		expect("e") // each party has one: the first to come
		cancel()
		synctest.Wait()
		if r.common.taken != 4 || len(r.waiting) != 0 {
			t.Errorf("%d places, %d wait", r.common.taken, len(r.waiting))
		}
	})
}

// Whatever happens, no more places are taken than there are, everybody gets in, and
// nobody with less than an equal share loses one as long as somebody has more.
func TestSharesAlwaysHold(t *testing.T) {
	t.Parallel()
	const limit, parties = 16, 5
	s := NewShares(limit)
	type held struct {
		*Place
		party int
		gone  bool
	}
	var all []*held
	count := func() (of [parties]int, total int) {
		for _, h := range all {
			if !h.gone {
				of[h.party]++
				total++
			}
		}
		return of, total
	}
	party := func(i int) Party { return PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})) }
	dice := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		switch n := dice.IntN(10); {
		case n < 4:
			h := &held{party: dice.IntN(dice.IntN(parties) + 1)}
			before, _ := count()
			h.Place = s.Take(party(h.party), func(bool) { h.gone = true })
			after, total := count()
			for i := range before {
				if after[i] < before[i] && before[i]+btoi(i == h.party) < limit/parties {
					t.Fatalf("party %d with %d of %v lost one to party %d", i, before[i], before, h.party)
				}
			}
			if total >= limit {
				all = deleteGone(all, func(h *held) bool { return h.gone })
			}
			all = append(all, h)
		case len(all) == 0:
		case n < 6:
			i := dice.IntN(len(all))
			all[i].Leave()
			all[i].gone = true
		case n < 8:
			h := all[dice.IntN(len(all))]
			h.Use(party(h.party))
		default:
			all[dice.IntN(len(all))].Rest()
		}
		if _, total := count(); total > limit || total != s.common.taken {
			t.Fatalf("%d places, taken %d, of %d", total, s.common.taken, limit)
		}
	}
	for _, h := range all {
		h.Leave()
		h.Leave()
	}
	if s.common.taken != 0 || len(s.common.parties) != 0 {
		t.Errorf("%d places of %d parties are left", s.common.taken, len(s.common.parties))
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func deleteGone[T any](all []T, gone func(T) bool) (kept []T) {
	for _, one := range all {
		if !gone(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

func TestSharesAtOnce(t *testing.T) {
	t.Parallel()
	s := NewShares(8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			party := PartyOf(netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 3)}))
			for range 500 {
				p := s.Take(party, func(bool) {})
				p.Use(party)
				p.Progress()
				p.Rest()
				p.Leave()
			}
		})
	}
	wg.Wait()
	if s.common.taken != 0 {
		t.Errorf("%d places are left", s.common.taken)
	}
}
