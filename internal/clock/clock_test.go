package clock

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a moment as it comes back from the disk.
type kept struct {
	At      time.Time
	Reading Reading
}

func (k kept) throughJSON(t *testing.T) (back kept) {
	t.Helper()
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// What happened is as long ago as time has passed, whatever the clock was set to before
// or after. Tests cannot set the clock, but what it showed: a clock that is ahead now was
// behind then.
func TestSince(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name        string
		set         time.Duration // the clock, after the moment
		passed      time.Duration // until it is looked at
		restart     bool          // before the clock is set
		least, most time.Duration
		ok          bool
	}{
		{"kept", 0, time.Minute, false, time.Minute, time.Minute, true},
		{"set forward", day, time.Minute, false, time.Minute, day + time.Minute, true},
		{"set back", -day, time.Minute, false, 0, 0, false},
		{"set back by less than passed", -time.Minute, time.Hour, false, time.Hour - time.Minute, time.Hour, true},
		{"restart", 0, time.Minute, true, time.Minute, time.Minute, true},
		{"restart, set forward", day, time.Minute, true, day + time.Minute, day + time.Minute, true},
		{"restart, set back", -day, time.Minute, true, 0, 0, false},
		{"restart, set back and waited for", -day, day + time.Minute, true, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := begin()
				time.Sleep(time.Second)
				moment := kept{time.Now().Add(-tt.set), p.read()}.throughJSON(t)
				if tt.restart {
					p = begin()
				}
				time.Sleep(tt.passed)
				least, most, ok := p.since(moment.At, moment.Reading)
				if ok != tt.ok || least != tt.least || most != tt.most {
					t.Errorf("%v to %v, %v; want %v to %v, %v", least, most, ok, tt.least, tt.most, tt.ok)
				}
			})
		})
	}
}

// What another process read tells nothing for sure, and neither does what nobody read.
func TestOwn(t *testing.T) {
	t.Parallel()
	if !Read().Own() || begin().read().Own() || (Reading{}).Own() {
		t.Error("not only what this process read is its own")
	}
}

// The clock is set back by 50 minutes an hour after a restart: it shows that 10 minutes
// have passed since.
func TestSetAfterRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, p := begin(), begin()
		time.Sleep(time.Hour)
		p.showed = time.Now().Add(-10 * time.Minute)
		least, most, ok := p.since(p.showed, before.read())
		if !ok || least != 10*time.Minute || most != time.Hour {
			t.Errorf("%v to %v, %v; want 10m to 1h", least, most, ok)
		}
	})
}
