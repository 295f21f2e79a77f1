package prefetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"millpond/internal/catalog"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

// What is fetched for one suite, given what is held and where that is listed.
func TestWanted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		suite  string              // that is prefetched
		listed map[string][]string // by suite
		held   []string
		want   []string
	}{
		{"a new version of what is held", "stable", map[string][]string{"stable": {"a_2_all.deb"}}, []string{"a_1_all.deb"}, []string{"a_2_all.deb"}},
		{"of a package that nobody has", "stable", map[string][]string{"stable": {"b_2_all.deb"}}, []string{"a_1_all.deb"}, nil},
		{"the version that is held", "stable", map[string][]string{"stable": {"a_2_all.deb"}}, []string{"a_2_all.deb"}, nil},
		{"the new one is held, too", "stable", map[string][]string{"stable": {"a_2_all.deb"}}, []string{"a_1_all.deb", "a_2_all.deb"}, nil},
		{"for another architecture", "stable", map[string][]string{"stable": {"a_2_arm64.deb", "a_2_amd64.deb"}}, []string{"a_1_amd64.deb"}, []string{"a_2_amd64.deb"}},
		{"of a package with a longer name", "stable", map[string][]string{"stable": {"gcc-12_2_all.deb"}}, []string{"gcc-12-base_1_all.deb"}, nil},
		{"an installer's package", "stable", map[string][]string{"stable": {"a_2_all.udeb", "a_2_all.deb"}}, []string{"a_1_all.udeb"}, []string{"a_2_all.udeb"}},
		{"an older version", "stable", map[string][]string{"stable": {"a_1_all.deb"}}, []string{"a_2_all.deb"}, nil},
		{"by number, not by letter", "stable", map[string][]string{"stable": {"a_1.10_all.deb"}}, []string{"a_1.9_all.deb"}, []string{"a_1.10_all.deb"}},
		{"the newest of several listed", "stable", map[string][]string{"stable": {"a_2_all.deb", "a_4_all.deb", "a_3_all.deb"}}, []string{"a_1_all.deb"}, []string{"a_4_all.deb"}},
		{"a name that is no package's", "stable", map[string][]string{"stable": {"a_2.tar.xz", "a.deb", "_1_all.deb"}}, []string{"a_1.tar.xz", "a_1_all.deb"}, nil},

		{"an update over the release", "stable-security", map[string][]string{"stable": {"a_1_all.deb"}, "stable-security": {"a_2_all.deb"}},
			[]string{"a_1_all.deb"}, []string{"a_2_all.deb"}},
		{"the release under its update", "stable", map[string][]string{"stable": {"a_1_all.deb"}, "stable-security": {"a_2_all.deb"}},
			[]string{"a_0_all.deb", "a_2_all.deb"}, nil},
		{"another release's", "testing", map[string][]string{"stable": {"a_1_all.deb"}, "testing": {"a_2_all.deb"}}, []string{"a_1_all.deb"}, nil},
		{"of clients of both releases", "stable", map[string][]string{"stable": {"a_2_all.deb"}, "testing": {"a_4_all.deb"}},
			[]string{"a_1_all.deb", "a_4_all.deb"}, []string{"a_2_all.deb"}},
		{"a backport of what nobody backported", "stable-backports", map[string][]string{"stable": {"a_1_all.deb"}, "stable-backports": {"a_2_all.deb"}},
			[]string{"a_1_all.deb"}, nil},
	}
	for _, tt := range tests {
		r := newRig(t)
		for name, files := range tt.listed {
			r.list(r.suite(name), files...)
		}
		for _, f := range tt.held {
			r.hold(f, 1)
		}
		state, got := r.run(t, "http://deb.example.org/debian/dists/"+tt.suite)
		slices.Sort(got)
		if n := int64(len(tt.want)); !slices.Equal(got, tt.want) || state.Files != n || state.FilesDone != n || state.BytesDone != 10*n || state.Error != "" {
			t.Errorf("%s: fetched %v, want %v: %+v", tt.name, got, tt.want, state)
		}
	}
}

// Packages of all suites come, those used last first, two at a time.
func TestOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := r.suite("one"), r.suite("two")
	r.list(one, "a_2_all.deb", "c_2_all.deb")
	r.list(two, "b_2_all.deb", "d_2_all.deb")
	for i, name := range []string{"d", "b", "a", "c"} {
		r.hold(name+"_1_all.deb", int64(4-i))
	}
	var running, most atomic.Int64
	pair := make(chan struct{})
	r.keep = func(context.Context, catalog.Entry) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		select { // each ends with another one
		case pair <- struct{}{}:
		case <-pair:
		}
		return nil
	}
	state, got := r.run(t, "")
	if len(got) == 4 {
		slices.Sort(got[:2])
		slices.Sort(got[2:])
	}
	want := []string{"b_2_all.deb", "d_2_all.deb", "a_2_all.deb", "c_2_all.deb"}
	if !slices.Equal(got, want) || state.FilesDone != 4 || most.Load() > parallel {
		t.Errorf("fetched %v, %d at a time, want %v", got, most.Load(), want)
	}
}

// Nothing is fetched onto a disk that others have filled, nor what the store has no room
// for after all.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		r := newRig(t)
		dir := r.suite("stable")
		r.list(dir, "p_2_all.deb", "q_2_all.deb")
		r.hold("p_1_all.deb", 1)
		r.hold("q_1_all.deb", 1)
		r.full = full
		r.keep = func(context.Context, catalog.Entry) error { return fmt.Errorf("keeping: %w", store.ErrNoSpace) }
		s, got := r.run(t, "")
		if (len(got) == 0) != full || s.FilesDone != 0 || s.NoRoom != 2 || s.FilesFailed != 0 || s.Error != "" {
			t.Errorf("full %v: tried %v: %+v", full, got, s)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("the mirror fell into the pond")
	tests := []struct {
		name   string
		fails  func(file string) bool
		done   int64
		failed int64
		told   bool
	}{
		{"one", func(f string) bool { return f == "p07_2_all.deb" }, 29, 1, false},
		{"every other", func(f string) bool { return f[2]%2 == 0 }, 15, 15, false},
		{"all", func(string) bool { return true }, 0, maxFailures + parallel - 1, true},
	}
	for _, tt := range tests {
		r := newRig(t)
		dir := r.suite("stable")
		for i := range 30 {
			r.list(dir, fmt.Sprintf("p%02d_2_all.deb", i))
			r.hold(fmt.Sprintf("p%02d_1_all.deb", i), int64(i))
		}
		r.keep = func(_ context.Context, e catalog.Entry) error {
			if tt.fails(e.Location.Name()) {
				return broken
			}
			return nil
		}
		s, _ := r.run(t, "")
		if s.FilesDone != tt.done || s.FilesFailed > tt.failed || s.FilesFailed < min(tt.failed, maxFailures) || strings.Contains(s.Error, broken.Error()) != tt.told {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

// A suite whose mirror is away does not keep others from being prefetched.
func TestSuitesThatCannotBeChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 5 {
		r.list(r.suite(fmt.Sprintf("away%d", i)), "b_2_all.deb")
	}
	r.list(r.suite("stable"), "a_2_all.deb")
	r.hold("a_1_all.deb", 1)
	r.hold("b_1_all.deb", 1)
	r.update = func(dir catalog.Location) error {
		if strings.Contains(dir.Path, "away") {
			return errors.New("does not answer")
		}
		return nil
	}
	s, got := r.run(t, "")
	if !slices.Equal(got, []string{"a_2_all.deb"}) || strings.Count(s.Error, "does not answer") != 3 || !strings.HasSuffix(s.Error, "and 2 more") {
		t.Errorf("fetched %v: %q", got, s.Error)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if s, err := r.Start("http://other.example.org/x"); !errors.Is(err, ErrUnknownSuite) || !strings.Contains(err.Error(), "none so far") || s != (State{}) {
		t.Errorf("no suite known: %v, %+v", err, s)
	}
	for i := range maxNamed + 5 {
		r.suite(fmt.Sprintf("s%d", i))
	}
	if _, err := r.Start("http://other.example.org/x"); !strings.Contains(err.Error(), "/dists/s0,") || !strings.HasSuffix(err.Error(), "and 5 more") {
		t.Errorf("an unknown suite: %v", err)
	}
	r.offline = true
	if _, err := r.Start(""); !errors.Is(err, mirror.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	r.offline = false

	// One that hangs until the box stops.
	r.list(r.suite("stable"), "a_2_all.deb", "b_2_all.deb", "c_2_all.deb")
	r.hold("a_1_all.deb", 1)
	r.hold("b_1_all.deb", 1)
	r.hold("c_1_all.deb", 1)
	r.keep = func(ctx context.Context, _ catalog.Entry) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	if s, err := r.Start(""); err != nil || !s.Running || s.Started.IsZero() {
		t.Errorf("first: %+v, %v", s, err)
	}
	until(t, "all files are known and two are begun", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.fetched) == parallel
	})
	if s, err := r.Start(""); !errors.Is(err, ErrRunning) {
		t.Errorf("second: %+v, %v", s, err)
	}
	if s := r.State(); !s.Running || s.Files != 3 || s.Bytes != 30 || !s.Ended.IsZero() {
		t.Errorf("while it runs: %+v", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := r.State(); s.Running || s.FilesDone != 0 || s.FilesFailed != 0 || s.Error == "" || s.Ended.IsZero() {
		t.Errorf("stopped: %+v", s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.fetched) != parallel {
		t.Errorf("%d files were begun, want %d", len(r.fetched), parallel)
	}
}
