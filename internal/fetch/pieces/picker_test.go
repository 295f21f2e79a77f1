package pieces

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
)

// pickerRun has sources with random pieces answer random requests in random turns.
type pickerRun struct {
	n      int
	all    []*source
	cursor int
	p      *picker
	open   []*request
	asked  []int // by piece: how often it was asked for
}

func newPickerRun(r *rand.Rand) *pickerRun {
	run := &pickerRun{n: 1 + r.IntN(40)}
	run.asked = make([]int, run.n)
	for k := range 1 + r.IntN(MaxSources) {
		s := &source{verified: k == 0} // somebody has them all
		if s.have = make([]byte, (run.n+7)/8); !s.verified {
			for i := range s.have {
				s.have[i] = byte(r.Uint32())
			}
		}
		run.all = append(run.all, s)
	}
	there := make([]bool, run.n)
	for i := range there {
		there[i] = r.IntN(4) == 0
	}
	run.p = newPicker(run.n, func(i int) bool { return there[i] }, func() int { return run.cursor })
	for i := range there {
		if there[i] {
			run.asked[i] = -1
		}
	}
	return run
}

// check says what is wrong about picking o, or nothing.
func (run *pickerRun) check(o *request, left int) string {
	i := o.piece
	switch {
	case run.asked[i] < 0:
		return "a piece that is there was asked for"
	case !o.source.has(i):
		return "a source was asked for what it has not"
	}
	mine := slices.DeleteFunc(slices.Clone(run.p.requests[i]), func(other *request) bool { return other == o })
	if len(mine) > 1 || len(mine) == 1 && (left > endgame || mine[0].source == o.source) {
		return "a piece was asked for twice before the endgame, or of one source"
	}
	if len(mine) == 0 && i >= run.cursor {
		end := min(run.cursor+window, run.n)
		for k := run.cursor; k < min(i, end); k++ {
			if run.p.free(k) && o.source.has(k) {
				return "not in order in the window"
			}
		}
	}
	if len(mine) == 0 && (i < run.cursor || i >= run.cursor+window) {
		holders := func(i int) (n int) {
			for _, s := range run.all {
				if s.has(i) {
					n++
				}
			}
			return n
		}
		for k := range run.n {
			if k != i && run.p.free(k) && o.source.has(k) && holders(k) < holders(i) {
				return "not the rarest"
			}
		}
	}
	return ""
}

func TestPickerProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		run := newPickerRun(r)
		for steps := 0; !run.p.finished(); steps++ {
			if steps > 100_000 {
				t.Fatalf("seed %d: never ends", seed)
			}
			run.cursor = min(run.n, run.cursor+r.IntN(8)/7)
			if s := run.all[r.IntN(len(run.all))]; r.IntN(2) == 0 {
				left := run.p.left
				o, _ := run.p.pick(context.Background(), s, run.all)
				if o == nil {
					continue
				}
				run.asked[o.piece]++
				if fault := run.check(o, left); fault != "" {
					t.Fatalf("seed %d: piece %d of %d, cursor %d: %s", seed, o.piece, run.n, run.cursor, fault)
				}
				run.open = append(run.open, o)
				continue
			}
			if len(run.open) == 0 {
				continue
			}
			k := r.IntN(len(run.open))
			o := run.open[k]
			run.open = slices.Delete(run.open, k, k+1)
			late := run.p.done[o.piece]
			if late != (o.ctx.Err() != nil) {
				t.Fatalf("seed %d: the piece is there %v, its request over: %v", seed, late, o.ctx.Err())
			}
			if r.IntN(5) > 0 { // else the source failed
				if run.p.got(o.piece, o.source) == late {
					t.Fatalf("seed %d: piece %d was got twice", seed, o.piece)
				}
			}
			_ = run.p.end(o) // whether it was lost depends on the clock
		}
		for _, o := range run.open {
			if o.ctx.Err() == nil {
				t.Fatalf("seed %d: a request is open after the end", seed)
			}
			_ = run.p.end(o) // whether it was lost depends on the clock
		}
		if !run.p.idle() {
			t.Fatalf("seed %d: requests are left", seed)
		}
	}
}

// The last pieces go to sources that have nothing to do before those that have.
func TestPickerLeavesTheLastToIdleSources(t *testing.T) {
	t.Parallel()
	for n := 2; n < 8; n++ {
		var all []*source
		for range n {
			all = append(all, &source{verified: true})
		}
		p := newPicker(n+1, func(int) bool { return false }, func() int { return 0 })
		for _, s := range all {
			var open int
			for range perSource {
				if o, _ := p.pick(t.Context(), s, all); o != nil {
					open++
				}
			}
			if open == 0 {
				t.Errorf("%d sources of %d pieces: one got nothing", n, n+1)
			}
		}
	}
}
