package uses

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTable(t *testing.T) *kv.Table {
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
	return db.Table("prefetch")
}

func open(t *testing.T, table *kv.Table) *Table {
	t.Helper()
	u, err := Open(table, time.Now, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (t *Table) want(test *testing.T, what string, k Key, version string, want bool) float64 {
	test.Helper()
	weight, got := t.News(k, version)
	if got != want || got != (weight > 0) {
		test.Errorf("%s: %v %s is news: %v with weight %v, want %v", what, k, version, got, weight, want)
	}
	return weight
}

var tool = Key{"bookworm", "tool", "amd64", "deb"}

func TestNews(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	u := open(t, table)
	u.want(t, "never requested", tool, "1", false)
	u.Fetched(tool, "1")
	if n := u.Len(); n != 0 {
		t.Errorf("%d packages are known, though none was requested", n)
	}
	u.Requested(tool, "1.10-1")
	u.Requested(tool, "1.9-1") // a client that is behind
	for range 2 {
		u.want(t, "newer", tool, "1.11-1", true)
		u.want(t, "the same", tool, "1.10-1", false)
		u.want(t, "older", tool, "1.9-2", false)
		for _, other := range []Key{
			{"trixie", "tool", "amd64", "deb"}, {"bookworm", "tool", "arm64", "deb"}, {"bookworm", "tool", "amd64", "udeb"},
			{"bookworm", "tool", "source", ""}, {"bookworm", "tool-dev", "amd64", "deb"},
		} {
			u.want(t, "another", other, "2", false)
		}
		if err := u.Flush(); err != nil {
			t.Fatal(err)
		}
		u = open(t, table)
	}
	u.Fetched(tool, "1.12-1")
	u.want(t, "fetched since", tool, "1.12-1", false)
	u.want(t, "newer than that", tool, "1.13-1", true)
}

func TestAge(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	u := open(t, table)
	u.Requested(tool, "1")
	// By another process, whose clock said so.
	if err := u.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ago  time.Duration
		want float64
	}{{-24 * time.Hour, 1}, {0, 1}, {30 * 24 * time.Hour, 0.5}, {Recent - time.Hour, 0.125}, {Recent + time.Hour, 0}} {
		row := use{shown: time.Now().Add(-tt.ago).Unix(), weight: 1, version: "1"}
		if err := table.Put(append([]byte{prefix}, tool.text()...), row.encode()); err != nil {
			t.Fatal(err)
		}
		u = open(t, table)
		weight, _ := u.News(tool, "2")
		if weight < tt.want*0.99-1e-9 || weight > tt.want*1.01+1e-3*min(tt.want, 1) {
			t.Errorf("requested %v ago: weight %v, want %v", tt.ago, weight, tt.want)
		}
	}
	u.Requested(tool, "1")
	u.want(t, "requested again", tool, "2", true)
}

// What nobody asked for in a week after it was fetched ahead is fetched no more, until
// somebody asks.
func TestUnasked(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	u := open(t, table)
	u.Requested(tool, "1")
	u.Fetched(tool, "2")
	u.want(t, "fetched just now", tool, "3", true)
	ago := func(d time.Duration) { // another process did so
		t.Helper()
		row := u.uses[tool.text()]
		row.waits = time.Now().Add(-d).Unix()
		if err := table.Put(append([]byte{prefix}, tool.text()...), row.encode()); err != nil {
			t.Fatal(err)
		}
		u = open(t, table)
	}
	ago(patience - time.Hour)
	u.want(t, "within a week", tool, "3", true)
	u.Fetched(tool, "3")
	if waits := u.uses[tool.text()].waits; waits > time.Now().Add(-patience+2*time.Hour).Unix() {
		t.Error("a newer version waits anew")
	}
	ago(patience + time.Hour)
	u.want(t, "after a week", tool, "4", false)
	if _, ok := u.Used(tool, "4"); ok {
		t.Error("it counts as used")
	}
	u.Requested(tool, "2")
	u.Fetched(tool, "3") // which was known before
	u.want(t, "asked for again", tool, "4", true)
	if _, ok := u.Used(tool, "3"); !ok || u.uses[tool.text()].waits != 0 {
		t.Error("it does not count as used")
	}
	if _, ok := u.Used(tool, "2"); ok {
		t.Error("an older version counts as used")
	}
}

func TestWeight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &Table{now: time.Now, limit: 10, uses: make(map[string]use), dirty: make(map[string]struct{})}
		for range 4 {
			u.Requested(tool, "1")
		}
		time.Sleep(halfLife)
		u.Requested(tool, "1")
		if got := u.want(t, "after a while", tool, "2", true); got < 2.99 || got > 3.01 {
			t.Errorf("weight %v, want 3", got)
		}
	})
}

// However many there are, those that are requested again stay, and a release that
// somebody copied as a whole loses its own.
func TestBound(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	u := open(t, table)
	used := func(i int) Key { return Key{"bookworm", fmt.Sprint("used", i), "amd64", "deb"} }
	once := func(i int) Key { return Key{"bookworm", fmt.Sprint("once", i), "amd64", "deb"} }
	const n = 100
	for i := range n {
		u.Requested(used(i), "1")
		u.Requested(used(i), "1")
		u.Requested(once(i), "1")
	}
	for i := range 2 * maxNames {
		u.Requested(Key{"trixie", fmt.Sprint("p", i), "amd64", "deb"}, "1")
		if got := u.Len(); got > maxNames {
			t.Fatalf("%d packages are known", got)
		}
	}
	if err := u.Flush(); err != nil {
		t.Fatal(err)
	}
	again := open(t, table)
	if a, b := again.Len(), u.Len(); a != b || a < maxNames*9/10 {
		t.Errorf("%d packages are known after a restart, %d before", a, b)
	}
	for i := range n {
		again.want(t, "requested twice", used(i), "2", true)
		again.want(t, "of a release with few", once(i), "2", true)
	}
	again.Requested(Key{Line: "bookworm", Package: string(bytes.Repeat([]byte("x"), maxKey))}, "1")
	again.Requested(Key{Line: "book\x00worm", Package: "tool"}, "1")
	if got := again.Len(); got != u.Len() {
		t.Errorf("%d packages are known after two that cannot be kept, want %d", got, u.Len())
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	u := open(t, table)
	u.Requested(tool, "1")
	if err := u.Flush(); err != nil {
		t.Fatal(err)
	}
	for i, row := range [][]byte{nil, {rowVersion}, append([]byte{9}, make([]byte, 30)...), append([]byte{rowVersion}, bytes.Repeat([]byte{0xff}, 30)...)} {
		if err := table.Put(fmt.Appendf(nil, "ubad%d", i), row); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		u = open(t, table)
		if n := u.Len(); n != 1 {
			t.Errorf("%d packages are known, want 1", n)
		}
		if err := u.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	rows := 0
	if err := table.Scan(nil, nil, func(_, _ []byte) bool { rows++; return true }); err != nil || rows != 1 {
		t.Errorf("%d rows are left (%v)", rows, err)
	}
}
