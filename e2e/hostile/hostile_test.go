package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/e2e/internal/dishonest"
)

// Sizes of files: most packages, a large one, and one of the largest.
const (
	small  = 70e3
	medium = 20e6
	large  = 200e6
)

// plan is a scenario: honest boxes whose clients download files while there are
// dishonest ones.
type plan struct {
	honest    int
	dishonest []dishonest.Kind
	as        kind
	files     []int // sizes of what the packages contain
	takers    int   // how many boxes get each file of the size large; 0: all
	load      bool  // the machine is overloaded
	wave      bool  // each client gets all files, without waiting for the others
}

// scenario is a plan with a name: that of its subtest.
type scenario struct {
	name string
	plan plan
	long bool // left out with -short
}

func times(n int, size int) []int { return slices.Repeat([]int{size}, n) }

func several(n int, k dishonest.Kind) []dishonest.Kind { return slices.Repeat([]dishonest.Kind{k}, n) }

// few are the scenarios of a few dishonest boxes, local ones.
func few() []scenario {
	// Large ones first: who lies is found out sooner by a small one.
	files := slices.Concat(times(4, medium), times(4, small))
	if testing.Short() {
		files = slices.Concat(times(2, medium), times(2, small))
	}
	site := func(honest int, d ...dishonest.Kind) plan {
		return plan{honest: honest, dishonest: d, as: local, files: files}
	}
	return []scenario{
		{"liar", site(5, dishonest.Wrong), false},
		{"squatter", site(5, dishonest.Squatter), false},
		{"staller", site(5, dishonest.Staller), false},
		{"liars", site(7, dishonest.Wrong, dishonest.Forged, dishonest.Wrong), true},
		{"agree", site(7, several(3, dishonest.Forged)...), true},
		{"squatters", site(7, several(3, dishonest.Squatter)...), true},
		{"stallers", site(7, several(3, dishonest.Staller)...), true},
	}
}

// mixed are swarms of 20 with 6 dishonest boxes, of each kind in turn and of all, as
// strangers, local boxes and members: mixed-member-slow, mixed-local-all.
func mixed() (all []scenario) {
	kinds := []dishonest.Kind{dishonest.Wrong, dishonest.Forged, dishonest.False, dishonest.Staller, dishonest.NinetyNine, dishonest.Slow, dishonest.Squatter}
	for _, as := range []kind{stranger, local, member} {
		p := plan{honest: 14, as: as, files: slices.Concat(times(2, medium), times(1, large), times(4, small)), takers: 4}
		for _, k := range kinds {
			p.dishonest = several(6, k)
			all = append(all, scenario{name: fmt.Sprintf("mixed-%s-%s", as, k), plan: p})
		}
		p.dishonest = slices.DeleteFunc(slices.Clone(kinds), func(k dishonest.Kind) bool { return k == dishonest.False }) // the mildest
		all = append(all, scenario{name: fmt.Sprintf("mixed-%s-all", as), plan: p})
	}
	return all
}

// TestHostile has all scenarios, each a subtest that can be run alone.
func TestHostile(t *testing.T) {
	r := newRig(t)
	for _, c := range few() {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				skip(t)
			}
			r.compare(t, c.plan)
		})
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T)
	}{{"quiet20", r.quiet(twenty)}, {"load", r.quiet(overloaded(twenty))}, {"room", r.room}, {"apt", r.apt}, {"crowd", r.crowd}} {
		t.Run(c.name, func(t *testing.T) {
			skip(t)
			c.run(t)
		})
	}
	for _, c := range mixed() {
		t.Run(c.name, func(t *testing.T) {
			skip(t)
			r.compare(t, c.plan)
		})
	}
	r.print()
}

// skip leaves out a scenario that takes long.
func skip(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}

// rig holds what scenarios share.
type rig struct {
	t         *testing.T // of all of them
	late      *lateness
	baselines map[string]*baseline
	rows      []string
}

// baseline is what a swarm with dishonest boxes is compared with.
type baseline struct {
	archive *archive
	alone   map[int]time.Duration // that a box without a swarm needs, by archive.sizes
	without *figures              // of the same swarm without the dishonest boxes
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, late: newLateness(t), baselines: make(map[string]*baseline)}
}

// print prints the table of all scenarios.
func (r *rig) print() { r.t.Logf("\n%s\n%s", head(), strings.Join(r.rows, "\n")) }

// note prints the row of a scenario, and keeps it for the table.
func (r *rig) note(t *testing.T, p plan, with, without *figures) {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	line := row(name, p, with, without)
	r.rows = append(r.rows, line)
	t.Logf("\n%s\n%s", head(), line)
	t.Logf("slowest over the mirror alone: %s", with.where)
}

// baseline measures what p is compared with, once for all plans that differ in their
// dishonest boxes alone.
func (r *rig) baseline(t *testing.T, p plan) *baseline {
	t.Helper()
	p.dishonest = nil
	name := fmt.Sprint(p)
	if b := r.baselines[name]; b != nil {
		return b
	}
	b := &baseline{archive: newArchive(r.t, p.files)}
	b.alone = mirrorAlone(t, b.archive)
	b.without = r.run(t, "without", b, p)
	if b.without == nil {
		t.FailNow()
	}
	judgeHonest(t, b.without)
	r.baselines[name] = b
	return b
}

// compare runs a plan with and without its dishonest boxes, prints the row and judges
// it.
func (r *rig) compare(t *testing.T, p plan) {
	t.Helper()
	b := r.baseline(t, p)
	with := r.run(t, "with", b, p)
	if with == nil {
		return // it has failed
	}
	r.note(t, p, with, b.without)
	judge(t, with, b.without)
}

// mirrorAlone is how long a box without a swarm takes for a file of each size.
func mirrorAlone(t *testing.T, a *archive) map[int]time.Duration {
	t.Helper()
	alone := make(map[int]time.Duration)
	t.Run("alone", func(t *testing.T) {
		s := newSite(t, a)
		s.add(1, "MILLPOND_SWARM=false")
		s.update()
		for i, f := range a.files {
			if alone[a.sizes[i]] > 0 {
				continue
			}
			begun := time.Now()
			if _, err := s.get(t.Context(), 0, f.Path); err != nil {
				t.Fatal(err)
			}
			alone[a.sizes[i]] = time.Since(begun)
		}
		t.Log(alone)
	})
	return alone
}

// run runs a plan and returns its figures; nil if there was no swarm.
func (r *rig) run(t *testing.T, name string, b *baseline, p plan) (f *figures) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if p.load {
			burn(t)
		}
		s := newSite(t, b.archive)
		s.add(p.honest, settings(p.as)...)
		s.join(p.as, p.dishonest)
		s.update()
		f = s.measure(r.late, b, func(tl *tally) { s.downloads(tl, p) })
	})
	return f
}

// downloads has the clients download the files of a plan: each second one all at once,
// the others one of them first, and the rest once it has it; in a wave, all in order.
func (s *site) downloads(tl *tally, p plan) {
	if p.wave {
		s.wave(tl)
		return
	}
	for i, size := range p.files {
		n := 0
		if size == large {
			n = p.takers
		}
		takers := s.takers(i, n)
		if i%2 == 0 {
			s.together(tl, takers, i)
			continue
		}
		s.download(tl, takers[0], i)
		tl.copying = max(tl.copying, s.together(tl, takers[1:], i))
	}
}
