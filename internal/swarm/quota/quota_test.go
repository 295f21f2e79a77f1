package quota

import (
	"sync"
	"testing"
)

// TestGreedyPartiesLeaveRoom has ever more parties take all that they can get.
func TestGreedyPartiesLeaveRoom(t *testing.T) {
	t.Parallel()
	const slots = 1000
	for _, c := range []struct{ weight, parties, want int64 }{
		{1, 1, 500}, {3, 1, 250}, {1, 2, 333}, {1, 25, 38}, {3, 25, 13}, {1, 200, 4},
	} {
		q := New[int64](slots, c.weight)
		for range slots { // one at a time, in turn
			for p := range c.parties {
				q.Take(p, 1)
			}
		}
		if got := q.Free(); got < c.want || got > c.want+c.parties {
			t.Errorf("weight %d: %d greedy parties leave %d of %d slots, want about %d", c.weight, c.parties, got, slots, c.want)
		}
		if got, want := q.Take(-1, slots), q.Free(); got < want/2 {
			t.Errorf("weight %d: beside %d greedy parties the next one gets %d slots of %d", c.weight, c.parties, got, want)
		}
	}
}

func TestTakeAtOnceIsTakeOneByOne(t *testing.T) {
	t.Parallel()
	at, by := New[string](1001, 1), New[string](1001, 1)
	at.Take("a", 300)
	by.Take("a", 300)
	got := at.Take("b", 1<<40)
	for by.Take("b", 1) == 1 {
	}
	if got != by.Held("b") || got != at.Held("b") || at.Free() != by.Free() {
		t.Errorf("got %d at once, %d one by one", got, by.Held("b"))
	}
}

func TestGive(t *testing.T) {
	t.Parallel()
	q := New[string](100, 1)
	q.Take("a", 50)
	q.Give("a", 20)
	if q.Free() != 70 || q.Held("a") != 30 {
		t.Errorf("%d free, %d held", q.Free(), q.Held("a"))
	}
	q.Give("a", 1000)
	q.Give("nobody", 1)
	if q.Free() != 100 || len(q.held) != 0 {
		t.Errorf("%d free, parties %v", q.Free(), q.held)
	}
}

// TestExcess: what one party took alone is too much once there are others.
func TestExcess(t *testing.T) {
	t.Parallel()
	q := New[string](1000, 1)
	q.Take("a", 1000)
	if got := q.Excess("a"); got != 0 {
		t.Errorf("alone it has %d too many", got)
	}
	q.Take("b", 1000)
	if got := q.Excess("a"); got != 125 { // 500 held, 250 free
		t.Errorf("beside another it has %d too many", got)
	}
	if got := q.Excess("b"); got != 0 {
		t.Errorf("the other has %d too many", got)
	}
	if p, excess, ok := q.Greediest(); p != "a" || excess != 125 || !ok {
		t.Errorf("the greediest is %q with %d too many, %t", p, excess, ok)
	}
	q.Give("a", 125)
	if p, excess, ok := q.Greediest(); excess != 0 || ok {
		t.Errorf("the greediest is %q with %d too many after it gave them back", p, excess)
	}
}

// TestTakingBack: when slots are taken back from the greediest, parties that come one
// after the other end with much the same.
func TestTakingBack(t *testing.T) {
	t.Parallel()
	const slots, parties = 1000, 25
	q := New[int](slots, 1)
	for p := range parties {
		for q.Held(p) < slots/parties/2 {
			if q.Take(p, 1) == 1 {
				continue
			}
			victim, _, ok := q.Greediest()
			if !ok {
				t.Fatalf("no slot for party %d, and nobody has too many", p)
			}
			q.Give(victim, 1)
		}
		q.Take(p, slots) // and now all it can get
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	q := New[int](100, 1)
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			for range 1000 {
				q.Give(p, q.Take(p, 7))
			}
		})
	}
	all.Wait()
	if q.Free() != 100 || len(q.held) != 0 {
		t.Errorf("%d free, parties %v", q.Free(), q.held)
	}
}
