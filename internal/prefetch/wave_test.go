package prefetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/store"
)

// What clients requested, of the same release, architecture and kind, comes in its new
// version, whether the old one is held or not; and once only.
func TestWhatASiteUses(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	src := func(version string) []string {
		upstream, _, _ := strings.Cut(version, "-")
		return []string{"src_" + version + ".dsc", "src_" + version + ".debian.tar.xz", "src_" + upstream + ".orig.tar.xz", "src_" + upstream + ".orig.tar.xz.asc"}
	}
	old := append([]string{"gone_1_amd64.deb", "held_1_amd64.deb", "both_1_all.deb", "both_1_all.udeb", "never_1_amd64.deb", "never_1.dsc", "same_1_amd64.deb"}, src("1.0-1")...)
	s.publish("bookworm", old...)
	s.publish("trixie", "held_3_amd64.deb", "tix_1_amd64.deb")
	s.get("gone_1_amd64.deb", "held_1_amd64.deb", "both_1_all.deb", "same_1_amd64.deb", "tix_1_amd64.deb")
	s.get(src("1.0-1")...)
	mustT(t, s.held.Remove(digestOf("gone_1_amd64.deb")))
	mustT(t, s.held.Remove(digestOf("same_1_amd64.deb")))

	security := s.publish("bookworm-security", append([]string{
		"gone_2_amd64.deb", "held_2_amd64.deb", "held_2_arm64.deb", "held_2_i386.deb", "both_2_all.deb", "both_2_all.udeb",
		"never_2_amd64.deb", "never_2.dsc", "same_1_amd64.deb", "tix_2_amd64.deb", "src_1.0-2_amd64.deb", "other_1.0-2.dsc",
	}, src("1.0-2")...)...)
	want := []string{"gone_2_amd64.deb", "held_2_amd64.deb", "both_2_all.deb", "src_1.0-2.dsc", "src_1.0-2.debian.tar.xz"}
	state, got := s.wave(security)
	s.wantWave("the first wave", got, want...)
	if n := int64(len(want)); state.FilesDone != n || state.Files != n || state.BytesDone != n*fileSize || !state.Automatic || state.Suite != security.String() || state.Error != "" {
		t.Errorf("%+v", state)
	}
	s.restart()
	_, got = s.wave(security)
	s.wantWave("nothing new", got)

	// What is evicted before anybody asks is not fetched again, but the next version is.
	mustT(t, s.held.Remove(digestOf("gone_2_amd64.deb")))
	security = s.publish("bookworm-security", "gone_2_amd64.deb", "held_3_amd64.deb")
	_, got = s.wave(security)
	s.wantWave("the next version", got, "held_3_amd64.deb")
}

// Another suite of the release may have a newer version than the one that changed.
func TestNewestOfARelease(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	s.publish("bookworm", "a_1_all.deb")
	s.get("a_1_all.deb")
	stable := s.publish("bookworm", "a_2_all.deb")
	s.publish("bookworm-security", "a_3_all.deb")
	s.publish("bookworm-backports", "a_4_all.deb")
	_, got := s.wave(stable)
	s.wantWave("a point release", got, "a_3_all.deb")
}

func TestMostUsedFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	var old, fresh, want []string
	for i := range 6 {
		old = append(old, fmt.Sprintf("p%d_1_all.deb", i))
		fresh = append(fresh, fmt.Sprintf("p%d_2_all.deb", i))
	}
	s.publish("bookworm", old...)
	for i, n := range []int{2, 6, 1, 5, 4, 3} {
		for range n {
			s.get(old[i])
		}
	}
	s.budget = 3 * fileSize
	s.restart()
	state, got := s.wave(s.publish("bookworm", fresh...))
	for _, i := range []int{1, 3, 4} {
		want = append(want, fresh[i])
	}
	s.wantWave("with a budget for three", got, want...)
	if state.NoBudget != 3 || state.FilesDone != 3 || s.Figures().Spent != 3*fileSize {
		t.Errorf("%+v, %+v", state, s.Figures())
	}
	// The others are not forgotten, but wait for the next day.
	if due, waiting := s.changes.due(), len(s.changes.dirs); len(due) != 0 || waiting != 1 {
		t.Errorf("%d suites are due, %d wait", len(due), waiting)
	}
	s.restart()
	_, got = s.wave(suiteDir("bookworm"))
	s.wantWave("on the same day", got)
	s.budget = 10 * fileSize
	s.restart()
	_, got = s.wave(suiteDir("bookworm"))
	s.wantWave("with a budget for the others", got, fresh[0], fresh[2], fresh[5])
	if waiting := len(s.changes.dirs); waiting != 0 {
		t.Errorf("%d suites wait", waiting)
	}
}

// On a full disk the versions that are superseded make room, and nothing else does:
// neither what is pinned, nor what another suite has in force, nor another release's.
func TestFullCache(t *testing.T) {
	t.Parallel()
	s := newSite(t, 8)
	s.publish("bookworm", "a_1_all.deb", "b_1_all.deb", "pin_1_all.deb", "both_1_all.deb", "c_1_all.deb")
	s.publish("trixie", "both_1_all.deb", "t_1_all.deb")
	s.publish("tools", "x_1_all.deb", "y_1_all.deb")
	s.get("x_1_all.deb", "y_1_all.deb", "t_1_all.deb", "a_1_all.deb", "b_1_all.deb", "pin_1_all.deb", "both_1_all.deb", "c_1_all.deb")
	mustT(t, s.held.Pin(digestOf("pin_1_all.deb"), store.ByAdmin))
	if u := s.held.Usage(); u.QuotaBytes-u.Bytes >= fileSize {
		t.Fatalf("the store is not full: %+v", u)
	}
	state, got := s.wave(s.publish("bookworm", "a_2_all.deb", "b_2_all.deb", "pin_2_all.deb", "both_2_all.deb", "c_1_all.deb"))
	s.wantHeld("new versions", true, "a_2_all.deb", "b_2_all.deb")
	s.wantHeld("superseded", false, "a_1_all.deb", "b_1_all.deb")
	s.wantHeld("pinned, or in force", true, "pin_1_all.deb", "both_1_all.deb", "c_1_all.deb")
	s.wantHeld("others", true, "x_1_all.deb", "y_1_all.deb", "t_1_all.deb")
	s.wantHeld("no room", false, "pin_2_all.deb", "both_2_all.deb")
	if state.FilesDone != 2 || state.NoRoom != 2 || state.FilesFailed != 0 || state.Error != "" {
		t.Errorf("fetched %v: %+v", got, state)
	}
}

// What came with a login makes room for nothing: it is there for those who have that.
func TestLoginMakesNoRoom(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.publish("bookworm", "login_1_all.deb", "b_1_all.deb")
	mustT(t, s.held.Put(digestOf("login_1_all.deb"), fileSize, bytes.NewReader(contentOf("login_1_all.deb")), store.Meta{
		Name: "login_1_all.deb", Private: "http://archive.example.org/private/login_1_all.deb",
	}))
	s.get("login_1_all.deb", "b_1_all.deb")
	if u := s.held.Usage(); u.QuotaBytes-u.Bytes >= fileSize {
		t.Fatalf("the store is not full: %+v", u)
	}
	state, got := s.wave(s.publish("bookworm", "login_2_all.deb", "b_1_all.deb"))
	s.wantHeld("with a login", true, "login_1_all.deb", "b_1_all.deb")
	if state.NoRoom != 1 || state.FilesDone != 0 {
		t.Errorf("fetched %v: %+v", got, state)
	}
}

// What was superseded and not needed makes room for others later.
func TestSparedRoom(t *testing.T) {
	t.Parallel()
	s := newSite(t, 4)
	s.publish("bookworm", "a_1_all.deb", "n_1_all.deb")
	s.get("a_1_all.deb", "a_1_all.deb", "n_1_all.deb", "n_1_all.deb", "n_1_all.deb")
	s.publish("bookworm", "a_2_all.deb", "n_1_all.deb")
	s.get("a_2_all.deb")
	mustT(t, s.held.Remove(digestOf("n_1_all.deb")))
	s.publish("tools", "x_1_all.deb", "y_1_all.deb")
	s.get("x_1_all.deb", "y_1_all.deb")
	// n comes first, and has no old version that is held; a has two.
	_, got := s.wave(s.publish("bookworm", "a_3_all.deb", "n_2_all.deb"))
	s.wantHeld("new versions", true, "a_3_all.deb", "n_2_all.deb")
	s.wantHeld("superseded", false, "a_1_all.deb", "a_2_all.deb")
	s.wantHeld("others", true, "x_1_all.deb", "y_1_all.deb")
	if len(got) < 2 {
		t.Errorf("fetched %v", got)
	}
}

// Nothing begins while a client waits, and what has begun gives way.
func TestClientsFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	s.publish("bookworm", "a_1_all.deb")
	s.get("a_1_all.deb")
	dir := s.publish("bookworm", "a_2_all.deb")
	began, gaveWay := make(chan struct{}, 10), make(chan error, 10)
	s.keep = func(ctx context.Context, _ string) error {
		began <- struct{}{}
		if len(gaveWay) > 0 {
			return nil
		}
		<-ctx.Done()
		gaveWay <- context.Cause(ctx)
		return context.Cause(ctx)
	}
	s.busy.Store(true)
	done := make(chan State, 1)
	go func() {
		state, _ := s.wave(dir)
		done <- state
	}()
	until(t, "the wave is planned", func() bool { return s.State().Files == 1 })
	select {
	case <-began:
		t.Error("it begins though a client waits")
	case <-time.After(2 * lookEvery): // for what must not happen
	}
	s.busy.Store(false)
	<-began
	s.busy.Store(true)
	until(t, "it gives way", func() bool { return len(gaveWay) == 1 })
	if n := len(began); n != 0 {
		t.Errorf("it began %d times more", n)
	}
	s.busy.Store(false)
	state := <-done
	if err := <-gaveWay; !errors.Is(err, errGaveWay) || state.FilesDone != 1 || state.FilesFailed != 0 || state.Error != "" {
		t.Errorf("gave way: %v; %+v", err, state)
	}
	if f := s.Figures(); f.Spent != fileSize {
		t.Errorf("%d bytes spent of the budget for one file", f.Spent)
	}
}

// A file is used when a client gets it from the store, and wasted when it goes before.
func TestCost(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	s.publish("bookworm", "a_1_all.deb", "b_1_all.deb", "c_1_all.deb", "d_1_all.deb")
	s.get("a_1_all.deb", "b_1_all.deb", "c_1_all.deb", "d_1_all.deb")
	s.wave(s.publish("bookworm", "a_2_all.deb", "b_2_all.deb", "c_2_all.deb", "d_2_all.deb"))
	want := func(what string, want Cost) {
		t.Helper()
		f := s.Figures()
		if f.Total != want || len(f.Waves) == 0 || f.Waves[len(f.Waves)-1].Cost != want {
			t.Errorf("%s: %+v, want %+v", what, f.Total, want)
		}
	}
	all := Cost{Files: 4, FromMirrors: 4 * fileSize}
	want("fetched", all)
	s.get("a_2_all.deb", "a_2_all.deb")
	mustT(t, s.held.Remove(digestOf("b_2_all.deb")))
	s.get("b_2_all.deb", "b_2_all.deb") // fetched again
	all.UsedFiles, all.UsedBytes, all.WastedFiles, all.WastedBytes = 1, fileSize, 1, fileSize
	want("one got from the store, one fetched again", all)
	mustT(t, s.held.Remove(digestOf("c_2_all.deb")))
	s.restart()
	s.account.Sweep(s.Prefetcher.held)
	all.WastedFiles, all.WastedBytes = 2, 2*fileSize
	want("one evicted", all)
}

// With the mirror away the wave is tried again.
func TestMirrorAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	var old, fresh []string
	for i := range 2 * maxFailures {
		old, fresh = append(old, fmt.Sprintf("p%d_1_all.deb", i)), append(fresh, fmt.Sprintf("p%d_2_all.deb", i))
	}
	s.publish("bookworm", old...)
	s.get(old...)
	s.keep = func(context.Context, string) error { return errors.New("the mirror is away") }
	state, got := s.wave(s.publish("bookworm", fresh...))
	if len(got) > maxFailures+parallel || !strings.Contains(state.Error, "the mirror is away") || len(s.changes.dirs) != 1 || s.Figures().Spent != 0 {
		t.Errorf("tried %v: %+v, %d suites wait, %d bytes spent", got, state, len(s.changes.dirs), s.Figures().Spent)
	}
	s.keep = nil
	_, got = s.wave(suiteDir("bookworm"))
	s.wantWave("the mirror is back", got, fresh...)
}

// A change that brings nothing of what clients use is not a wave.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	s.publish("bookworm", "a_1_all.deb")
	s.get("a_1_all.deb")
	state, got := s.wave(s.publish("bookworm", "a_1_all.deb", "other_1_all.deb"))
	s.wantWave("nothing new", got)
	if state.Files != 0 || len(s.changes.dirs) != 0 || len(s.Figures().Waves) != 0 {
		t.Errorf("%+v, %d suites wait, waves %+v", state, len(s.changes.dirs), s.Figures().Waves)
	}
}

// What a prefetch did is shown until another one has something to fetch.
func TestNothingNewAfterAPrefetch(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	dir := s.publish("bookworm", "a_1_all.deb")
	s.get("a_1_all.deb")
	s.publish("bookworm", "a_2_all.deb")
	before, got := s.wave(dir)
	s.wantWave("an update", got, "a_2_all.deb")
	if after, _ := s.wave(dir); after != before {
		t.Errorf("shows %+v, want %+v", after, before)
	}
}

// Changed has Run fetch, also what an earlier process was told of; without a budget, or
// offline, nothing.
func TestChanged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		budget  int64
		offline bool
		restart bool
		want    []string
	}{
		{"", 1 << 30, false, false, []string{"a_2_all.deb"}},
		{"after a restart", 1 << 30, false, true, []string{"a_2_all.deb"}},
		{"without a budget", 0, false, false, nil},
		{"offline", 1 << 30, true, false, nil},
	} {
		s := newSite(t, 100)
		s.budget = tt.budget
		s.restart()
		s.offline = tt.offline
		s.publish("bookworm", "a_1_all.deb")
		s.get("a_1_all.deb")
		s.Changed(s.publish("bookworm", "a_2_all.deb"))
		if tt.restart {
			s.restart()
		}
		if waiting := len(s.changes.dirs); waiting != len(tt.want) {
			t.Errorf("%s: %d suites wait, want %d", tt.name, waiting, len(tt.want))
			continue
		}
		if len(tt.want) == 0 {
			continue
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		until(t, "the wave has ended", func() bool { return !s.State().Ended.IsZero() })
		cancel()
		mustT(t, <-done)
		if state := s.State(); !state.Automatic || state.FilesDone != 1 || !slices.Equal(s.fetched, tt.want) {
			t.Errorf("%s: fetched %v, want %v: %+v", tt.name, s.fetched, tt.want, state)
		}
	}
}

func TestBoundsOfWhatWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100)
	for i := range 2 * maxChanged {
		s.Changed(suiteDir(fmt.Sprint("s", i)))
	}
	for range 2 {
		if n := len(s.changes.dirs); n != maxChanged {
			t.Errorf("%d suites wait", n)
		}
		s.restart()
	}
	e := catalog.Entry{Kind: catalog.Content, Signed: true, Location: suiteDir("x").Join("a_1_all.deb")}
	for range 2 * maxRequests {
		s.Served(e, 1, true, false)
	}
	if n := len(s.requests.queue); n != maxRequests {
		t.Errorf("%d requests are not noted yet", n)
	}
}
