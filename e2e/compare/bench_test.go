package compare

import (
	"flag"
	"testing"
	"time"
)

var options struct {
	rounds int
	each   time.Duration
	out    string
}

func init() {
	flag.IntVar(&options.rounds, "rounds", 3, "how often each subject has its turn")
	flag.DurationVar(&options.each, "each", 4*time.Second, "how long a turn is that has no end of its own")
	flag.StringVar(&options.out, "out", "", "the directory that benchmarks.md and its picture are written to (a temporary one)")
}

// works are run in this order; -run TestBench/NAME runs one, and writes its tables alone.
var works = []struct {
	name string
	run  func(*testing.T, *results)
}{}

// TestBench runs the works. With -short each has one round and small counts, and only what
// the tables consist of is checked.
func TestBench(t *testing.T) {
	r := &results{rounds: options.rounds, each: options.each, short: testing.Short()}
	if r.short {
		r.rounds, r.each = 1, time.Second
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) { w.run(t, r) })
	}
}
