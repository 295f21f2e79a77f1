package hostile

import (
	"testing"
	"time"
)

// Figures that the scenarios are held to.
const (
	// moreCopies is how much more the mirror may send than to the same swarm without
	// the dishonest boxes.
	moreCopies = 1.05
	// mostCopies is how often the mirror may send each byte to a swarm without them.
	mostCopies = 1.05
	// mostCost is how much longer than at the mirror alone a download may take.
	mostCost = time.Second
)

// judge holds a run with dishonest boxes to what they may cost.
func judge(t *testing.T, with, without *figures) {
	t.Helper()
	judgeHonest(t, with)
	if float64(with.sent) > moreCopies*float64(without.sent) {
		t.Errorf("the mirror sent %.1f MB, without dishonest boxes %.1f MB", float64(with.sent)/1e6, float64(without.sent)/1e6)
	}
	judgeTime(t, with, max(without.excess, 2*without.copying))
}

// judgeTime holds a run to the time of the mirror alone. What a busy machine costs is
// allowed for: noise is how much longer the same swarm took without faults, or how long
// it took to copy a file of that size from one box to all others, twice: so many wrong
// files are copied before the mirror is asked, and boxes have a processor each in
// earnest. That a download is late all the same is printed.
func judgeTime(t *testing.T, f *figures, noise time.Duration) {
	t.Helper()
	noise = max(noise, f.lag, 0)
	switch {
	case f.excess > mostCost+noise:
		t.Errorf("a download took %.2f s longer than at the mirror alone, of which the machine is to blame for %.2f s: %s",
			f.excess.Seconds(), noise.Seconds(), f.where)
	case f.excess > mostCost:
		t.Logf("MISSED within the noise of the machine, %.2f s: a download took %.2f s longer than at the mirror alone: %s",
			noise.Seconds(), f.excess.Seconds(), f.where)
	}
}

// judgeHonest holds any run to what must not happen at all.
func judgeHonest(t *testing.T, f *figures) {
	t.Helper()
	for _, n := range f.notes {
		t.Log(n)
	}
	if f.failed+f.wrong > 0 {
		t.Errorf("%d downloads failed, %d files were wrong", f.failed, f.wrong)
	}
	if f.excluded+f.banned > 0 {
		t.Errorf("honest boxes: %d times excluded, %d times banned", f.excluded, f.banned)
	}
}

// judgeCopies holds a swarm without dishonest boxes to what the mirror may send.
func judgeCopies(t *testing.T, f *figures) {
	t.Helper()
	judgeHonest(t, f)
	if f.copies() > mostCopies {
		t.Errorf("the mirror sent each byte %.3f times", f.copies())
	}
}
