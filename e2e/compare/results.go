// Package compare measures the built box beside what an administrator would use in its
// place, and beside the limits of what it is made of: nginx's proxy_cache, apt-cacher-ng,
// squid, and a bare net/http server. `make bench` runs all works and writes
// docs/benchmarks.md. All is on loopback but the mirror of this machine's own apt, of which
// apt's commands fetch real packages.
//
// Figures of a shared machine mean little by themselves. The subjects take turns, so that
// what else runs hits them all; compare within one run.
//
// A work is a function in a file of its own that takes *results and stands in the table of
// bench_test.go. It notes each round's figures, and says what is expected of their medians.
package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// millpond is the subject whose medians targets are about.
const millpond = "millpond"

// best as a target's against is the competitor with the best median.
const best = "the best competitor"

// competitors are the subjects that an administrator could use in the box's place.
var competitors = []string{"nginx", "apt-cacher-ng", "squid"}

// figures are what one round came to, by measure. Those that the tables know are in
// measures; others stand behind them under their own names.
type figures map[string]float64

// measures are the known ones in the order of the tables' columns, with their headings.
var measures = []struct{ name, heading string }{
	{"rate", "requests/s"},
	{"p50", "p50, ms"},
	{"p99", "p99, ms"},
	{"cpu", "CPU, µs/request"},
	{"first byte ms", "first byte, ms"},
	{"seconds", "seconds"},
	{"MB/s", "MB/s"},
	{"copies", "copies"},
	{"cpu s", "CPU, s"},
	{"checks", "mirror asked"},
	{"MB", "memory, MB"},
	{"refused", "refused"}, // answers of a status over 399
	{"broken", "broken"},   // connections
	{"ended", "ended"},     // the subject, by itself
}

// target is what millpond's median of a measure should be: at least, or at most, limit times
// the median of the subject against, plus that. Without against the limit is absolute.
type target struct {
	work, measure, against string
	limit                  float64
	atLeast                bool
	what                   string // in words, in the table of targets
	plus                   float64
}

// results are all figures of a run.
type results struct {
	rounds int           // how often each subject has its turn; the medians count
	each   time.Duration // how long a turn is that has no end of its own
	short  bool          // small counts: the table is to be complete, not right

	works   []*noted // in the order in which they were noted
	targets []target
	panels  []panel
}

// noted are the figures of one work.
type noted struct {
	name     string
	how      string // what is done, in a sentence or two
	subjects []string
	rounds   map[string][]figures // by subject
}

// note adds one round's figures. A work "cached 3 kB: 32 connections" has its rows in the
// table of "cached 3 kB".
func (r *results) note(work, subject string, f figures) {
	w := r.work(work)
	if !slices.Contains(w.subjects, subject) {
		w.subjects = append(w.subjects, subject)
	}
	w.rounds[subject] = append(w.rounds[subject], maps.Clone(f))
}

// describe says what is done in a work; of works in one table, the first says it for all.
func (r *results) describe(work, how string) { r.work(work).how = how }

// expect adds a target.
func (r *results) expect(t target) { r.targets = append(r.targets, t) }

func (r *results) work(name string) *noted {
	for _, w := range r.works {
		if w.name == name {
			return w
		}
	}
	w := &noted{name: name, rounds: make(map[string][]figures)}
	r.works = append(r.works, w)
	return w
}

// median is that of all rounds in which the subject has the measure.
func (r *results) median(work, subject, measure string) (float64, bool) {
	var all []float64
	for _, f := range r.work(work).rounds[subject] {
		if v, ok := f[measure]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}

// verdict is how a target turned out.
type verdict struct {
	target
	subject string  // that it was measured against; "" if the limit is absolute
	reached float64 // millpond's median, divided by the subject's
	allowed float64 // the limit, with plus in the same unit
	met     bool
}

// judge compares a target with the medians.
func (r *results) judge(t target) (verdict, error) {
	own, ok := r.median(t.work, millpond, t.measure)
	if !ok {
		return verdict{}, fmt.Errorf("the work %q has no %q of %s", t.work, t.measure, millpond)
	}
	v := verdict{target: t, subject: t.against, reached: own, allowed: t.limit + t.plus}
	if t.against == best {
		v.subject = r.best(t)
	}
	if t.against != "" {
		other, ok := r.median(t.work, v.subject, t.measure)
		if !ok || other == 0 {
			return verdict{}, fmt.Errorf("the work %q has no %q of %s to compare with", t.work, t.measure, v.subject)
		}
		v.reached, v.allowed = own/other, t.limit+t.plus/other
	}
	if math.IsNaN(v.reached) {
		return verdict{}, fmt.Errorf("the work %q: %q of %s is no number", t.work, t.measure, millpond)
	}
	v.met = t.atLeast && v.reached >= v.allowed || !t.atLeast && v.reached <= v.allowed
	return v, nil
}

// best is the competitor with the highest median, if that is what the target wants, or the
// lowest.
func (r *results) best(t target) (name string) {
	var least float64
	for _, c := range competitors {
		m, ok := r.median(t.work, c, t.measure)
		if t.atLeast {
			m = -m
		}
		if ok && (name == "" || m < least) {
			name, least = c, m
		}
	}
	return name
}
