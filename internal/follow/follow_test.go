package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
)

// A suite of the setting is asked about at once and then on schedule, though nobody uses
// it; what the setting names is fetched in the form that apt takes, and the Prefetcher is
// told once for each generation.
func TestSuiteOfTheSetting(t *testing.T) {
	t.Parallel()
	following(t, "http://a.example.org/ stable main amd64 depth=all", func(r *rig) {
		a := r.suite("a", time.Time{})
		r.suites[a].indices = []string{"Packages", "Sources"}
		r.run(time.Minute)
		if got := r.noted(&r.asked); !slices.Equal(got, []string{"a.example.org 0s"}) {
			t.Errorf("asked: %v", got)
		}
		if got := r.noted(&r.kept); !slices.Equal(got, []string{"Packages.xz", "Sources.xz"}) {
			t.Errorf("fetched: %v", got)
		}
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 1 all"}) {
			t.Errorf("told: %v", got)
		}
		s := r.State()
		r.Check(s)
		if len(s) != 1 || !s[0].Setting() || s[0].Depth != All || s[0].Held != 2 || s[0].Total != 2 || s[0].Fault != "" || s[0].Checked.IsZero() || s[0].Date != time.Unix(1, 0) {
			t.Errorf("state: %+v", s)
		}
		if !r.Follows(a) || r.Follows(a.Dir()) {
			t.Error("followed is the suite and nothing else")
		}

		r.publish(a)
		r.run(24 * time.Hour)
		// 96 times, each a fifth of the interval sooner or later.
		if n := len(r.noted(&r.asked)); n < 85 || n > 107 {
			t.Errorf("asked %d times a day", n)
		}
		if got := r.noted(&r.kept); !slices.Equal(got, []string{"Packages.xz", "Sources.xz"}) {
			t.Errorf("fetched of the second generation: %v", got)
		}
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 2 all"}) {
			t.Errorf("told: %v", got)
		}
		if s := r.State(); !s[0].Used.IsZero() {
			t.Errorf("used at %v", s[0].Used)
		}
		r.client(a)
		r.run(time.Second)
		if s := r.State(); s[0].Used.IsZero() || !s[0].Setting() {
			t.Errorf("after a client's request: %+v", s)
		}
	})
}

// A suite is followed from its first use until two weeks after the last one. What came
// into force through a client's request is completed at once, and the mirror is not asked
// so soon again.
func TestSuitesThatClientsUse(t *testing.T) {
	t.Parallel()
	following(t, "", func(r *rig) {
		a := r.suite("a", time.Now(), "Packages.xz", "Translation-en.xz")
		r.suite("b", time.Now().Add(-14*24*time.Hour-time.Hour), "Packages.xz")
		unread := r.suite("c", time.Time{})
		r.suites[unread].here = 1
		r.run(interval - time.Minute)
		if got := r.noted(&r.kept); !slices.Equal(got, []string{"Packages.xz", "Translation-en.xz"}) {
			t.Errorf("fetched: %v", got)
		}
		if s := r.State(); len(s) != 1 || s[0].Setting() || s[0].Depth != Used || s[0].Location != a {
			t.Errorf("followed: %+v", s)
		}
		r.noted(&r.asked)
		r.noted(&r.changed)

		r.publish(a)
		r.client(a)
		r.run(5 * time.Second)
		if got := r.noted(&r.kept); len(got) != 2 {
			t.Errorf("fetched after a client's request: %v", got)
		}
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 2 used"}) {
			t.Errorf("told: %v", got)
		}
		r.run(interval/2 - time.Minute)
		if got := r.noted(&r.asked); len(got) > 0 {
			t.Errorf("asked soon after a client: %v", got)
		}
		r.run(14 * 24 * time.Hour)
		if s := r.State(); len(s) != 0 || r.Follows(a) {
			t.Errorf("followed without use: %+v", s)
		}
		r.noted(&r.asked)
		r.run(time.Hour)
		if got := r.noted(&r.asked); len(got) > 0 {
			t.Errorf("asked without use: %v", got)
		}
	})
}

// The Prefetcher is told of no suite of which indices alone are wanted.
func TestIndicesAlone(t *testing.T) {
	t.Parallel()
	following(t, "http://a.example.org/ stable main amd64 depth=indices", func(r *rig) {
		a := r.suite("a", time.Time{})
		r.suites[a].indices = []string{"Packages"}
		r.run(time.Hour)
		if got := r.noted(&r.changed); len(got) > 0 || len(r.noted(&r.kept)) != 1 {
			t.Errorf("told: %v", got)
		}
	})
}

// A mirror that fails is asked less and less often, and does not keep others waiting; one
// success and the schedule is as before.
func TestBackOff(t *testing.T) {
	t.Parallel()
	following(t, "http://a.example.org/ stable main amd64; http://b.example.org/ stable main amd64", func(r *rig) {
		r.suite("a", time.Time{})
		r.suite("b", time.Time{})
		away := true
		r.refresh = func(dir catalog.Location) error {
			if away && dir.Host == "a.example.org" {
				return errors.New("does not answer")
			}
			return nil
		}
		count := func(of string) (n int) {
			for _, s := range r.noted(&r.asked) {
				if strings.HasPrefix(s, of) {
					n++
				}
			}
			return n
		}
		r.run(24 * time.Hour)
		// After 2, 4, 8 … 128 minutes, and then each four hours.
		if n := count("a."); n < 9 || n > 16 {
			t.Errorf("a mirror that fails is asked %d times a day", n)
		}
		var fault string
		for _, s := range r.State() {
			if s.Location.Host == "a.example.org" {
				fault = s.Fault
			}
		}
		if !strings.Contains(fault, "does not answer") {
			t.Errorf("the fault is %q", fault)
		}
		r.mu.Lock()
		away = false
		r.mu.Unlock()
		r.run(5 * time.Hour)
		count("")
		r.run(24 * time.Hour)
		if n := count("a."); n < 80 {
			t.Errorf("a mirror that is back is asked %d times a day", n)
		}
		if s := r.State(); s[0].Fault != "" {
			t.Errorf("the fault stays: %q", s[0].Fault)
		}
	})
}

// One mirror is asked for one suite at a time, and slow mirrors do not hold up others.
func TestTurns(t *testing.T) {
	t.Parallel()
	var setting strings.Builder
	for i := range maxRunning + 2 {
		fmt.Fprintf(&setting, "http://m%d.example.org/ stable main amd64\n", i)
	}
	following(t, setting.String(), func(r *rig) {
		for i := range maxRunning + 2 {
			d := r.suite(fmt.Sprintf("m%d", i), time.Time{})
			r.suites[d].indices = []string{"Packages"}
		}
		running, most := 0, 0
		r.keep = func(ctx context.Context, e catalog.Entry) error {
			r.mu.Lock()
			running++
			most = max(most, running)
			r.mu.Unlock()
			time.Sleep(time.Hour) // longer than a turn may take
			r.mu.Lock()
			running--
			r.mu.Unlock()
			return context.Cause(ctx)
		}
		r.run(time.Minute)
		if most != maxRunning {
			t.Errorf("%d mirrors were asked at once, want %d", most, maxRunning)
		}
	})
}

// An index that the mirror does not have in one form is fetched in another; what it has
// in none keeps the Prefetcher waiting for a few turns alone.
func TestWhatCannotBeFetched(t *testing.T) {
	t.Parallel()
	following(t, "http://a.example.org/ stable main amd64; http://b.example.org/ stable main amd64", func(r *rig) {
		for _, name := range []string{"a", "b"} {
			d := r.suite(name, time.Time{})
			r.suites[d].indices = []string{"Packages"}
		}
		r.keep = func(_ context.Context, e catalog.Entry) error {
			if e.Location.Host == "a.example.org" || strings.HasSuffix(e.Location.Path, ".xz") {
				return &mirror.StatusError{URL: e.Location.String(), Code: 404}
			}
			return nil
		}
		r.run(time.Minute)
		if got := r.noted(&r.kept); !slices.Equal(got, []string{"Packages.gz"}) {
			t.Errorf("fetched: %v", got)
		}
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"b.example.org 1 used"}) {
			t.Errorf("told: %v", got)
		}
		if s := r.State()[0]; s.Held != 0 || s.Total != 1 || !strings.Contains(s.Fault, "404") {
			t.Errorf("state: %+v", s)
		}
		r.run(time.Hour)
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 1 used"}) {
			t.Errorf("told later: %v", got)
		}
	})
}

// A mirror that lacks a file of a Release is asked for the next Release as often as any
// other, and when it has the file at last, the Prefetcher is told once more.
func TestLateIndex(t *testing.T) {
	t.Parallel()
	following(t, "http://a.example.org/ stable main amd64", func(r *rig) {
		d := r.suite("a", time.Time{})
		r.suites[d].indices = []string{"Packages"}
		lacking := true
		r.keep = func(_ context.Context, e catalog.Entry) error {
			if lacking {
				return &mirror.StatusError{URL: e.Location.String(), Code: 404}
			}
			return nil
		}
		r.run(24 * time.Hour)
		if n := len(r.noted(&r.asked)); n < 80 || n > 120 {
			t.Errorf("a mirror that lacks an index is asked %d times a day for its Release, want once in %v", n, interval)
		}
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 1 used"}) {
			t.Errorf("told without the index: %v", got)
		}
		lacking = false // nothing runs now
		r.run(24 * time.Hour)
		if got := r.noted(&r.changed); !slices.Equal(got, []string{"a.example.org 1 used"}) {
			t.Errorf("told when the index had come: %v", got)
		}
		if s := r.State()[0]; s.Held != 1 || s.Total != 1 || s.Fault != "" {
			t.Errorf("state: %+v", s)
		}
	})
}

// Over the bound, suites of the setting stay, and of the others those used last.
func TestFollowedAreBounded(t *testing.T) {
	t.Parallel()
	following(t, "http://own.example.org/ stable main amd64", func(r *rig) {
		r.suite("own", time.Time{})
		for i := range maxFollowed + 10 {
			r.suite(fmt.Sprintf("s%d", i), time.Now().Add(-time.Duration(i)*time.Second))
		}
		r.sync(r.Suites(), time.Now())
		s := r.State()
		if len(s) != maxFollowed || !s[0].Setting() {
			t.Fatalf("%d are followed", len(s))
		}
		for i := range maxFollowed + 10 {
			d := dir(t, fmt.Sprintf("http://s%d.example.org/dists/stable", i))
			if r.Follows(d) != (i < maxFollowed-1) {
				t.Errorf("the suite used %d s ago: %v", i, r.Follows(d))
			}
		}
	})
}

// Update is for any suite, and says why it was not brought up to date.
func TestUpdate(t *testing.T) {
	t.Parallel()
	following(t, "", func(r *rig) {
		a := r.suite("a", time.Time{}, "Packages.xz")
		if err := r.Update(t.Context(), a); err != nil || len(r.noted(&r.kept)) != 1 {
			t.Error(err)
		}
		r.keep = func(context.Context, catalog.Entry) error { return errors.New("refused") }
		r.publish(a)
		if err := r.Update(t.Context(), a); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Error(err)
		}
		r.offline = true
		if err := r.Update(t.Context(), a); !errors.Is(err, mirror.ErrOffline) {
			t.Error(err)
		}
		r.noted(&r.asked)
		r.run(time.Hour)
		if got := r.noted(&r.asked); len(got) > 0 || r.Follows(a) {
			t.Errorf("offline: %v", got)
		}
	})
}
