// Package faults holds the tests of what befalls a box in its years in a cupboard: kills
// at any instant, disks that fail or fill, files that rot, databases that are damaged.
// Each runs the built program.
//
// With -v, each prints a row of figures. -short is for continuous integration: fewer
// rounds and smaller stores.
package faults

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	killRounds = flag.Int("kill-rounds", 200, "rounds of TestKills; 12 with -short")
	rotRounds  = flag.Int("rot-rounds", 40, "rounds of TestRot; 6 with -short")
	damaged    = flag.Int("damaged-databases", 100, "cases of TestDamagedDatabase; 6 with -short")
	seed       = flag.Uint64("fault-seed", 0, "what the random choices begin with; 0 for another one each time")
)

// rounds returns how many rounds a test has.
func rounds(long *int, short int) int {
	if testing.Short() {
		return short
	}
	return *long
}

// chance returns a source of random choices, and prints what repeats them.
func chance(t *testing.T) *rand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("the choices are those of -fault-seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// between returns a random duration.
func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}
