package load

import (
	"slices"
	"sync"
	"testing"
	"time"

	"millpond/e2e/internal/box"
)

// watch reads a box's vitals at intervals.
type watch struct {
	t    *testing.T
	box  *box.Box
	stop chan struct{}
	done sync.WaitGroup

	mu  sync.Mutex // guards all
	all []vitals   // since the last half
}

func newWatch(t *testing.T, b *box.Box, every time.Duration) *watch {
	w := &watch{t: t, box: b, stop: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
			v := vitalsOf(t, b)
			w.mu.Lock()
			w.all = append(w.all, v)
			w.mu.Unlock()
		}
	})
	return w
}

func (w *watch) end() {
	close(w.stop)
	w.done.Wait()
}

// half returns what was read since the last half.
func (w *watch) half() []vitals {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

// check compares the medians of two halves.
func (w *watch) check(first, second []vitals) {
	w.t.Helper()
	if len(first) < 20 || len(second) < 20 {
		w.t.Fatalf("the box was looked at %d and %d times", len(first), len(second))
	}
	for _, c := range []struct {
		what string
		unit int64
		of   func(*vitals) *int64
	}{
		{"anonymous memory, kB", 1 << 10, func(v *vitals) *int64 { return &v.anonymous }},
		{"goroutines", 1, func(v *vitals) *int64 { return &v.goroutines }},
		{"descriptors", 1, func(v *vitals) *int64 { return &v.descriptors }},
	} {
		a, b := spread(first, c.of), spread(second, c.of)
		limit := a[1] + int64(allowance*float64(a[1])) + *c.of(&slack)
		w.t.Logf("%-21s least, median, most: first half %d, %d, %d; second half %d, %d, %d; median at most %d",
			c.what, a[0]/c.unit, a[1]/c.unit, a[2]/c.unit, b[0]/c.unit, b[1]/c.unit, b[2]/c.unit, limit/c.unit)
		if b[1] > limit {
			w.t.Errorf("%s: the median has grown from %d to %d", c.what, a[1]/c.unit, b[1]/c.unit)
		}
	}
	last := second[len(second)-1]
	w.t.Logf("most memory ever resident %s; %.0f %% of a processor", mb(last.peak),
		100*(last.cpu-first[0].cpu).Seconds()/last.at.Sub(first[0].at).Seconds())
}

// spread returns the least value, the median and the greatest.
func spread(all []vitals, of func(*vitals) *int64) [3]int64 {
	var values []int64
	for _, v := range all {
		values = append(values, *of(&v))
	}
	slices.Sort(values)
	return [3]int64{values[0], values[len(values)/2], values[len(values)-1]}
}
