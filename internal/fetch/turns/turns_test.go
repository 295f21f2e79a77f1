package turns

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// bounds are those of the tests.
var bounds = Bounds{AtOnce: 2, OthersAtOnce: 1, First: 1024, Others: 256, OfParty: 32}

// worker runs a queue whose jobs wait to be released.
type worker struct {
	*Queue
	wg      sync.WaitGroup
	over    atomic.Bool
	begun   chan string
	release chan struct{}
	done    atomic.Int64
	running atomic.Int64
	most    atomic.Int64
}

func newWorker() *worker {
	w := &worker{begun: make(chan string, 2*(bounds.First+bounds.Others)), release: make(chan struct{})}
	w.Queue = New(bounds, w.wg.Go, w.over.Load)
	return w
}

func (w *worker) add(party string, first bool) bool {
	return w.Add(Job{Party: party, First: first, Done: func() { w.done.Add(1) }, Do: func() {
		w.most.Store(max(w.most.Load(), w.running.Add(1)))
		w.begun <- party
		<-w.release
		w.running.Add(-1)
	}})
}

// One party that asks for very much waits for itself.
func TestPartiesTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorker()
	refused := 0
	for range 1000 {
		if !w.add("evil", false) {
			refused++
		}
	}
	if want := 1000 - 1 - bounds.OfParty; refused != want {
		t.Errorf("%d of one party are refused, want %d", refused, want)
	}
	w.add("other", false)
	w.add("signed", true)
	got := []string{<-w.begun, <-w.begun} // each in a goroutine of its own
	if slices.Sort(got); !slices.Equal(got, []string{"evil", "signed"}) {
		t.Errorf("begun are %q, want one of the others and the first", got)
	}
	select {
	case p := <-w.begun:
		t.Errorf("%q runs too", p)
	default:
	}
	w.release <- struct{}{}
	w.release <- struct{}{}
	// Its second came before the other's first; then they take turns.
	if got := []string{<-w.begun, func() string { w.release <- struct{}{}; return <-w.begun }()}; !slices.Contains(got, "other") {
		t.Errorf("then begin %q, want the other among them", got)
	}
	close(w.release)
	w.wg.Wait()
	if n := w.done.Load(); n != 1002 {
		t.Errorf("%d were told the end, want 1002", n)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorker()
	accepted := map[bool]int{}
	for i := range 2 * bounds.First {
		for _, first := range []bool{false, true} {
			if w.add(fmt.Sprint("host", i), first) {
				accepted[first]++
			}
		}
	}
	if accepted[false] != bounds.Others+1 || accepted[true] != bounds.First+1 {
		t.Errorf("accepted are %d first and %d others", accepted[true], accepted[false])
	}
	close(w.release)
	w.wg.Wait()
	if n := int(w.most.Load()); n > bounds.AtOnce {
		t.Errorf("%d ran at once, want %d", n, bounds.AtOnce)
	}
	if n := int(w.done.Load()); n != 4*bounds.First {
		t.Errorf("%d were told the end, want %d", n, 4*bounds.First)
	}
}

// After the end nothing starts, and all that waits is told.
func TestEnd(t *testing.T) {
	t.Parallel()
	w := newWorker()
	for i := range 100 {
		w.add(fmt.Sprint(i), true)
	}
	w.over.Store(true)
	if w.add("late", true) {
		t.Error("accepted after the end")
	}
	close(w.release)
	w.wg.Wait()
	if n, begun := w.done.Load(), len(w.begun); n != 101 || begun > bounds.AtOnce {
		t.Errorf("%d were told the end, want 101; %d began", n, begun)
	}
}
