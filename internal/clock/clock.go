// Package clock says how long ago something was that is kept on disk, on machines whose
// clock is set: by hand, by a time server after a start without one, by the host of a
// virtual machine.
//
// A time.Time has the time that passes beside the one that the clock shows, but loses it
// where it is written down. So a Reading is kept with it, by which the process that wrote
// it knows what has passed. Another process has what its clock said when it began, and
// what has passed since; a time that was in the future then says nothing. That a clock
// was right in one process and wrong in an earlier one, by less than what passed in
// between, nobody can see: who must not take something for younger than it is asks Own.
package clock

import (
	"crypto/rand"
	"time"
)

// Reading is the time that had passed in a process. The zero Reading is that of an
// unknown one.
type Reading struct {
	Process string
	Passed  time.Duration // since it began
}

// Own reports whether this process took r. Of an earlier one the clock may have been
// ahead, so that what it kept is older than Since says.
func (r Reading) Own() bool { return r.Process == own.name }

// process is one run of the program.
type process struct {
	name   string
	began  time.Time
	showed time.Time // by the clock, when it began
}

var own = begin()

func begin() process {
	now := time.Now()
	return process{rand.Text(), now, now.Round(0)}
}

// Read returns the Reading that belongs to time.Now().
func Read() Reading { return own.read() }

func (p process) read() Reading { return Reading{p.name, time.Since(p.began)} }

// Recall returns a time that an earlier process kept, read when this one begins, as one
// from and to which time.Since and time.Until measure by what passes, however the clock
// is set from now on. One in the future may be by a clock that was ahead.
func Recall(at time.Time) time.Time {
	now := time.Now()
	return now.Add(at.Sub(now.Round(0)))
}

// Since returns how long ago at was, of which r was kept: least is what has passed for
// sure, and most what may have, where the clock and the time that passed differ. So
// something still holds if most is below its limit, and has lasted if least reaches it.
// ok is false if at says nothing, since it is in the future, or zero.
func Since(at time.Time, r Reading) (least, most time.Duration, ok bool) { return own.since(at, r) }

func (p process) since(at time.Time, r Reading) (least, most time.Duration, ok bool) {
	if at.IsZero() {
		return 0, 0, false
	}
	at = at.Round(0) // a time that was not written down yet is no better
	elapsed := time.Since(p.began)
	if r.Process == p.name {
		elapsed -= r.Passed
	} else {
		before := p.showed.Sub(at)
		if before < 0 {
			return 0, 0, false
		}
		elapsed += before
	}
	shown := time.Now().Round(0).Sub(at)
	if shown < 0 {
		return 0, 0, false
	}
	return min(shown, elapsed), max(shown, elapsed), true
}
