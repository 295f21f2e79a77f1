package clients

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	laptop = netip.MustParseAddr("10.1.2.3")
	server = netip.MustParseAddr("fd00::7")
	bash   = deb.File{Package: "bash", Version: "5.2-1", Architecture: "amd64", Type: "deb"}
)

const trixie = "http://deb.example.org/debian/dists/trixie"

func table(t testing.TB) *kv.Table {
	t.Helper()
	db, err := kv.Open(filepath.Join(t.TempDir(), "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Table("clients")
}

func open(t testing.TB, in *kv.Table, p Privacy) *Notes {
	t.Helper()
	n, _, err := Open(in, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func of(t testing.TB, n *Notes, client netip.Addr) Client {
	t.Helper()
	c, err := n.Of(client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is noted is there after a restart, each client's apart, and merged by what it is
// about.
func TestNotes(t *testing.T) {
	t.Parallel()
	in := table(t)
	n := open(t, in, Privacy{})
	first, second := digest.Of([]byte("first")), digest.Of([]byte("second"))
	n.Updated(laptop, trixie, "", first)
	n.Updated(netip.MustParseAddr("::ffff:10.1.2.3"), trixie, "", second)
	n.Updated(laptop, trixie, "prod", first)
	n.Got(laptop, bash, 100, true)
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	newer := bash
	newer.Version = "5.2-2"
	n.Got(laptop, newer, 50, true)
	newer.Version = "5.2-3"
	n.Got(laptop, newer, 7, false) // broken off: it has the former one still
	n.Got(laptop, deb.File{Package: "bash", Architecture: deb.Source}, 9, true)
	n.Failed(laptop, 404, "404 Not Found for http://deb.example.org/a", "http://deb.example.org/a")
	n.Failed(laptop, 404, "404 Not Found for http://deb.example.org/b", "http://deb.example.org/b")
	n.Failed(laptop, 403, "client may not", "")
	n.Failed(server, 502, "unreachable", "")
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}

	n = open(t, in, Privacy{})
	c := of(t, n, laptop)
	if c.Since.IsZero() || len(c.Suites) != 2 || len(c.Packages) != 1 || len(c.Failures) != 2 {
		t.Fatalf("%+v", c)
	}
	for _, s := range c.Suites {
		want := map[string]digest.Digest{"": second, "prod": first}[s.Ring]
		if s.URL != trixie || s.Generation != want.String() || time.Since(s.Updated) > time.Minute {
			t.Errorf("%+v, want %s", s, want)
		}
	}
	if p := c.Packages[0]; p.Name != "bash" || p.Architecture != "amd64" || p.Type != "deb" || p.Version != "5.2-2" || p.Requests != 3 || p.Bytes != 157 {
		t.Errorf("%+v", p)
	}
	for _, f := range c.Failures {
		if f.Status == 404 && (f.Times != 2 || f.URL != "http://deb.example.org/b" || f.Cause != "404 Not Found for the file") {
			t.Errorf("%+v", f)
		}
	}
	if got := n.LastUpdate(laptop); time.Since(got) > time.Minute {
		t.Errorf("last update %v", got)
	}
	if got := n.LastUpdate(server); !got.IsZero() {
		t.Errorf("a client that only failed was last updated at %v", got)
	}
	if c := of(t, n, server); len(c.Failures) != 1 || len(c.Suites)+len(c.Packages) != 0 {
		t.Errorf("%+v", c)
	}
}

// Each client has its bounds, and all have some together; who has most loses its own.
func TestBounds(t *testing.T) {
	t.Parallel()
	in := table(t)
	n := open(t, in, Privacy{})
	n.limits = limits{clients: 40, suites: 4, failures: 3, packages: 20, inAll: 60, pending: 2000}
	count := func(n *Notes, c netip.Addr) (suites, failures, packages int) {
		all := of(t, n, c)
		return len(all.Suites), len(all.Failures), len(all.Packages)
	}
	for i := range 100 {
		n.Updated(laptop, fmt.Sprintf("%s-%d", trixie, i), "", digest.Digest{})
		n.Failed(laptop, 500+i, "", "")
		n.Got(laptop, deb.File{Package: fmt.Sprintf("p%d", i), Version: "1", Architecture: "all", Type: "deb"}, 1, true)
	}
	if s, f, p := count(n, laptop); s > 4 || f > 3 || p > 20 || s == 0 || f == 0 || p < 10 {
		t.Errorf("%d suites, %d failures, %d packages", s, f, p)
	}

	// Ten clients with five packages each, and the one with many: that one gives way.
	for i := range 10 {
		for k := range 5 {
			n.Got(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), deb.File{Package: fmt.Sprintf("q%d", k), Version: "1", Architecture: "all", Type: "deb"}, 1, true)
		}
	}
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range 10 {
		if _, _, p := count(n, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})); p != 5 {
			t.Errorf("client %d has %d packages, want 5", i, p)
		}
		sum += 5
	}
	_, _, p := count(n, laptop)
	if sum += p; sum > 60 || n.inAll != sum {
		t.Errorf("%d packages in all, %d counted", sum, n.inAll)
	}

	for i := range 200 {
		n.Updated(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), trixie, "", digest.Digest{})
		if err := n.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	rows := 0
	if err := in.Scan(nil, nil, func(key, _ []byte) bool { rows++; return true }); err != nil {
		t.Fatal(err)
	}
	if len(n.tallies) > 40 || rows > 300 {
		t.Errorf("%d clients, %d rows in the table", len(n.tallies), rows)
	}
	again := open(t, in, Privacy{})
	if len(again.tallies) != len(n.tallies) || again.inAll != n.inAll {
		t.Errorf("after a restart %d clients with %d packages, before %d with %d", len(again.tallies), again.inAll, len(n.tallies), n.inAll)
	}
}

// Without a flush, what is pending is bounded too.
func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	n := open(t, table(t), Privacy{})
	for i := range 3 * maxPending {
		n.Failed(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 404, "", "")
	}
	if len(n.pending) != maxPending || len(n.tallies) > maxPending {
		t.Errorf("%d rows and %d clients", len(n.pending), len(n.tallies))
	}
	if err := n.Flush(); err != nil {
		t.Errorf("the most that is pending does not fit one transaction: %v", err)
	}
}

// A damaged row loses what it had, and nothing else: the notes open, new ones are written,
// and its client can be erased.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"tally": keyOf(kindTally, laptop, ""), "suite": keyOf(kindSuite, laptop, "\x00"+trixie), "no client": string(kindTally) + "short",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := table(t)
			n := open(t, in, Privacy{})
			n.Updated(laptop, trixie, "", digest.Of([]byte("old")))
			n.Got(laptop, bash, 10, true)
			if err := n.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := in.Put([]byte(key), []byte(`{"n":`)); err != nil {
				t.Fatal(err)
			}
			n = open(t, in, Privacy{})
			n.Got(laptop, bash, 10, true)
			n.Updated(laptop, trixie, "", digest.Of([]byte("new")))
			if err := n.Flush(); err != nil {
				t.Fatal(err)
			}
			if c := of(t, n, laptop); len(c.Packages) != 1 || c.Packages[0].Bytes != 20 || len(c.Suites) != 1 || c.Suites[0].Generation != digest.Of([]byte("new")).String() {
				t.Errorf("%+v", c)
			}
			if got := n.tallies[laptop].Rows; got[string(kindPackage)] != 1 || got[string(kindSuite)] != 1 || n.inAll != 1 {
				t.Errorf("counted %v, %d packages in all", got, n.inAll)
			}
			if err := in.Put([]byte(key), []byte(`{"n":`)); err != nil {
				t.Fatal(err)
			}
			n = open(t, in, Privacy{})
			if known, err := n.Erase(laptop); err != nil || !known {
				t.Errorf("erased: %v, %v", known, err)
			}
			rows := 0
			if err := in.Scan(nil, nil, func([]byte, []byte) bool { rows++; return true }); err != nil || rows != 1 {
				t.Errorf("%d rows are left, want that of the beginning: %v", rows, err)
			}
		})
	}
}

// What cannot be written is no reason not to show what is.
func TestReadingWhileNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	n := open(t, table(t), Privacy{})
	n.Got(laptop, bash, 10, true)
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	n.pending["x"] = row{Times: 1}
	if err := n.Flush(); err == nil {
		t.Fatal("a row of no client is written")
	}
	if c := of(t, n, laptop); len(c.Packages) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	in := table(t)
	n := open(t, in, Privacy{})
	for _, c := range []netip.Addr{laptop, server} {
		n.Updated(c, trixie, "", digest.Digest{})
		n.Got(c, bash, 1, true)
		n.Failed(c, 404, "gone", "http://deb.example.org/a")
	}
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	n.Got(laptop, bash, 1, true)
	known, err := n.Erase(laptop)
	if err != nil || !known {
		t.Errorf("known %v, %v", known, err)
	}
	if known, err := n.Erase(laptop); err != nil || known {
		t.Errorf("again: known %v, %v", known, err)
	}
	if c := of(t, n, laptop); !c.Since.IsZero() || !n.LastUpdate(laptop).IsZero() {
		t.Errorf("%+v", c)
	}
	if c := of(t, n, server); len(c.Suites) != 1 || len(c.Packages) != 1 || len(c.Failures) != 1 || n.inAll != 1 {
		t.Errorf("%+v, %d packages in all", c, n.inAll)
	}
}

func TestPrivacy(t *testing.T) {
	t.Parallel()
	fill := func(n *Notes) {
		n.Updated(laptop, trixie, "", digest.Digest{})
		n.Got(laptop, bash, 1, true)
		n.Failed(laptop, 404, "404 for bash", "http://deb.example.org/bash")
		if err := n.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name                    string
		privacy                 Privacy
		suites, packages, fails int
		url                     string
	}{
		{"everything", Privacy{}, 1, 1, 1, "http://deb.example.org/bash"},
		{"no packages", Privacy{NoPackages: true}, 1, 0, 1, ""},
		{"no clients", Privacy{NoClients: true}, 0, 0, 0, ""},
		{"for a day", Privacy{Keep: 24 * time.Hour}, 1, 1, 1, "http://deb.example.org/bash"},
	} {
		n := open(t, table(t), test.privacy)
		fill(n)
		c := of(t, n, laptop)
		if len(c.Suites) != test.suites || len(c.Packages) != test.packages || len(c.Failures) != test.fails {
			t.Errorf("%s: %+v", test.name, c)
		}
		if test.fails > 0 && (c.Failures[0].URL != test.url || (c.Failures[0].Cause == "") != (test.url == "")) {
			t.Errorf("%s: %+v", test.name, c.Failures[0])
		}
	}

	// What an earlier run noted goes when the setting comes.
	in := table(t)
	fill(open(t, in, Privacy{}))
	n, removed, err := Open(in, Privacy{NoPackages: true}, slog.New(slog.DiscardHandler))
	if err != nil || !removed {
		t.Fatal(removed, err)
	}
	if c := of(t, n, laptop); len(c.Packages)+len(c.Failures) != 0 || len(c.Suites) != 1 {
		t.Errorf("%+v", c)
	}
	fill(n)
	if _, removed, err = Open(in, Privacy{NoPackages: true}, slog.New(slog.DiscardHandler)); err != nil || removed {
		t.Errorf("a second start removed something: %v, %v", removed, err)
	}
	if n, removed, err = Open(in, Privacy{NoClients: true}, slog.New(slog.DiscardHandler)); err != nil || !removed || len(n.tallies) != 0 {
		t.Errorf("removed %v, %v, %d clients left", removed, err, len(n.tallies))
	}
}

// A client whose first note is older than notes are kept is forgotten.
func TestExpire(t *testing.T) {
	t.Parallel()
	in := table(t)
	n := open(t, in, Privacy{})
	n.Updated(laptop, trixie, "", digest.Digest{})
	n.Updated(server, trixie, "", digest.Digest{})
	if err := n.Flush(); err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(tally{Began: time.Now().Add(-25 * time.Hour).Unix(), Rows: map[string]int{"s": 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Put([]byte(keyOf(kindTally, laptop, "")), value); err != nil {
		t.Fatal(err)
	}
	n, removed, err := Open(in, Privacy{Keep: 24 * time.Hour}, slog.New(slog.DiscardHandler))
	if err != nil || !removed {
		t.Fatal(removed, err)
	}
	if c := of(t, n, laptop); !c.Since.IsZero() {
		t.Errorf("%+v", c)
	}
	if c := of(t, n, server); len(c.Suites) != 1 {
		t.Errorf("%+v", c)
	}
}
