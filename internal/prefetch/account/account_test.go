package account

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/clock"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an Account that is opened again on what it left.
type rig struct {
	*Account
	t     *testing.T
	table *kv.Table
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db, err := kv.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, table: db.Table("prefetch")}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	a, err := Open(r.table, 1000, slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.Account = a
}

func (r *rig) restart() {
	r.t.Helper()
	if err := r.Flush(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func d(name string) digest.Digest { return digest.Of([]byte(name)) }

// check has the figures survive a restart, and compares them. What was taken is used,
// wasted or not decided yet, in all and of each wave together.
func (r *rig) check(what string, want Cost) {
	r.t.Helper()
	for range 2 {
		f := r.Figures()
		if f.Total != want {
			r.t.Errorf("%s: %+v, want %+v", what, f.Total, want)
		}
		c := f.Total
		if taken := c.FromPeers + c.FromMirrors; taken != c.UsedBytes+c.WastedBytes+f.Open || c.Files != c.UsedFiles+c.WastedFiles+f.OpenFiles {
			r.t.Errorf("%s: %+v do not add up: %d bytes of %d files are open", what, c, f.Open, f.OpenFiles)
		}
		var waves Cost
		for _, w := range f.Waves {
			waves.add(w.Cost)
		}
		if waves != f.Total {
			r.t.Errorf("%s: the waves have %+v together", what, waves)
		}
		r.restart()
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wave := r.Begin(false, []string{"http://archive.example.org/debian/dists/stable"})
	r.Took(wave, d("a"), 100, 30, 70, true)
	r.Took(wave, d("b"), 100, 0, 40, false)
	r.Took(wave, d("held"), 100, 0, 0, true)
	r.Took(wave, d("nothing"), 100, 0, 0, false)
	r.check("fetched", Cost{Files: 1, FromPeers: 30, FromMirrors: 110})

	r.Served(d("a"), 60, true)
	r.check("in part", Cost{Files: 1, FromPeers: 30, FromMirrors: 110})
	r.Served(d("a"), 40, true)
	used := Cost{Files: 1, FromPeers: 30, FromMirrors: 110, UsedFiles: 1, UsedBytes: 100}
	r.check("in whole", used)
	r.Served(d("a"), 100, true)
	r.Served(d("other"), 100, true)
	r.check("once only", used)

	next := r.Begin(true, nil)
	r.Took(next, d("b"), 100, 0, 65, true) // 5 bytes twice
	r.check("in a second attempt", Cost{Files: 2, FromPeers: 30, FromMirrors: 175, UsedFiles: 1, UsedBytes: 100})
	r.Served(d("b"), 100, true)
	used = Cost{Files: 2, FromPeers: 30, FromMirrors: 175, UsedFiles: 2, UsedBytes: 205}
	r.check("for what was taken", used)

	r.Took(next, d("c"), 10, 0, 10, true)
	r.Served(d("c"), 10, false) // it was evicted, and fetched again
	r.Served(d("c"), 10, true)
	r.Took(next, d("d"), 10, 0, 4, false)
	r.Asked(d("d"))
	r.Took(next, d("e"), 10, 0, 10, true)
	r.Took(next, d("f"), 10, 0, 10, true)
	r.Sweep(func(x digest.Digest) bool { return x != d("e") })
	want := used
	want.add(Cost{Files: 3, FromMirrors: 34, WastedFiles: 2, WastedBytes: 24})
	r.check("wasted", want)
	if f := r.Figures(); f.OpenFiles != 1 || f.Open != 10 || f.Waves[0].ID != next || !f.Waves[0].Manual || f.Waves[1].Suites[0] == "" {
		t.Errorf("%+v", f)
	}
}

// Whoever comes after two weeks could have been served by the mirror as well.
func TestPatience(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wave := r.Begin(false, nil)
	for name, ago := range map[string]time.Duration{"young": Patience - time.Hour, "old": Patience + time.Hour, "part": Patience + time.Hour} {
		r.Took(wave, d(name), 10, 0, 10, name != "part")
		r.Account.open[d(name)].At = time.Now().Add(-ago)
	}
	r.restart()
	r.Sweep(func(digest.Digest) bool { return true })
	r.Served(d("old"), 10, true)
	r.check("after two weeks", Cost{Files: 2, FromMirrors: 30, WastedFiles: 1, WastedBytes: 20})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.most = 5
	for i := range 3 * maxWaves {
		wave := r.Begin(false, make([]string, 100))
		r.Took(wave, digest.Of([]byte{byte(i)}), 1, 0, 1, true)
	}
	f := r.Figures()
	if len(f.Waves) != maxWaves || f.Waves[0].ID != 3*maxWaves || len(f.Waves[0].Suites) != maxSuites || f.OpenFiles != 5 || f.Total.WastedFiles != 3*maxWaves-5 {
		t.Errorf("%d waves, %d files open, %+v in all", len(f.Waves), f.OpenFiles, f.Total)
	}
	r.restart()
	if again := r.Figures(); again.OpenFiles != 5 || again.Total != f.Total {
		t.Errorf("after a restart %+v, before %+v", again, f)
	}
	rows := 0
	if err := r.table.Scan([]byte{filePrefix}, nil, func(_, _ []byte) bool { rows++; return true }); err != nil || rows != 5 {
		t.Errorf("%d rows of files (%v)", rows, err)
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, key := range []string{sumsKey, budgetKey, fileKey(d("a")), "f"} {
		if err := r.table.Put([]byte(key), []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	r.open()
	if f := r.Figures(); f.Since.IsZero() || f.OpenFiles != 0 || r.Left() != 1000 {
		t.Errorf("%+v", f)
	}
}

// A day's budget is not there anew after a start, nor when the clock is set.
func TestBudget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spend := func(n int64) {
		t.Helper()
		if err := r.Spend(n); err != nil {
			t.Fatal(err)
		}
	}
	left := func(what string, want int64) {
		t.Helper()
		for range 2 {
			if got := r.Left(); got != want {
				t.Errorf("%s: %d bytes left, want %d", what, got, want)
			}
			r.open() // as after a kill: nothing is flushed
		}
	}
	left("at first", 1000)
	spend(600)
	spend(-100)
	left("spent 500", 500)
	spend(700)
	left("spent too much", 0)
	if f := r.Figures(); f.Spent != 1200 || f.Limit != 1000 || time.Until(f.DayEnds) < day-time.Hour || time.Until(f.DayEnds) > day {
		t.Errorf("%+v", f)
	}
	for _, tt := range []struct {
		ago  time.Duration
		by   clock.Reading
		want int64
	}{
		{day - time.Hour, clock.Reading{}, 400},
		{day + time.Hour, clock.Reading{}, 1400},
		{3*day + time.Hour, clock.Reading{}, 3400},
		{30 * day, clock.Reading{}, saveFor * 1000},
		{-time.Hour, clock.Reading{}, 400},
		{day + time.Hour, clock.Read(), 400}, // the clock was set forward: nothing has passed
	} {
		if err := kv.PutJSON(r.table, budgetKey, budget{Began: time.Now().Add(-tt.ago), Reading: tt.by, Bytes: 600}); err != nil {
			t.Fatal(err)
		}
		r.open()
		left(tt.ago.String()+" ago", tt.want)
		if left := tt.want; left > 1000 { // what is saved is spent after the day's
			spend(left - 100)
			r.open()
			if f := r.Figures(); r.Left() != 100 || f.Saved != left-1000 || f.Spent != left-100 {
				t.Errorf("%v ago, all but 100 spent: %d bytes left, %+v", tt.ago, r.Left(), f)
			}
		}
	}
}
