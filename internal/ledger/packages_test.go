package ledger

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/kv"
)

// askedBytes sums up what the clients got that are remembered with packages.
func askedBytes(tb testing.TB, l *Ledger) (sum int64) {
	tb.Helper()
	for _, a := range collect(tb, l.Packages("")) {
		_, asked, err := l.Package(a.Name)
		if err != nil {
			tb.Fatal(err)
		}
		for _, c := range asked {
			sum += c.Bytes
		}
	}
	return sum
}

// fill writes the rows of a file of testdata: keys and values in hexadecimal.
func fill(t *testing.T, table *kv.Table, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		key, err := hex.DecodeString(k)
		value, err2 := hex.DecodeString(v)
		if err := errors.Join(err, err2, table.Put(key, value)); err != nil {
			t.Fatal(err)
		}
	}
}

// A ledger that was kept before there were accounts of packages loses nothing,
// and what it had by then is about none.
func TestLedgerWithoutPackages(t *testing.T) {
	t.Parallel()
	_, table := openTable(t, t.TempDir())
	fill(t, table, "testdata/no-packages.rows")
	want := Counts{201, 20100000, 6030000, 402000, 502500, 6231000, 140700, 20100, 0, 0}
	before := want
	before.PeerTaken, before.PeerGiven, before.Tunnelled = 0, 0, 0
	for range 2 { // the second time it is a ledger of today
		l := openLedger(t, table)
		got, since := l.Totals()
		if got != want || !since.Equal(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)) {
			t.Errorf("totals = %+v since %v, want %+v", got, since, want)
		}
		if got := collect(t, l.Packages("")); len(got) != 1 || got[0].Name != NoPackage || got[0].Counts != before || !got[0].First.Equal(since) {
			t.Errorf("packages = %+v, want none with %+v", got, before)
		}
		if n := len(collect(t, l.Clients(""))); n != 21 {
			t.Errorf("%d clients, want 21", n)
		}
		checkSums(t, l)
	}
	l := openLedger(t, table)
	l.Delivered(client, file, FromStore, 7)
	if got := collect(t, l.Packages("")); len(got) != 2 || got[1].Name != "bash" || got[1].DeliveredStore != 7 {
		t.Errorf("packages = %+v, want bash with 7", got)
	}
	checkSums(t, l)
}

func TestAskers(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	now := time.Now().Truncate(time.Second).Add(-time.Hour)
	at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	ask := func(i int, client netip.Addr, f File) {
		l.deliver(at(i), client, f, Counts{Requests: 1})
		l.deliver(at(i), client, f, Counts{DeliveredStore: 10})
		l.deliver(at(i), client, f, Counts{DeliveredMirror: 5})
	}
	for i := range 3 * maxRecent {
		ask(i, addr(i), file)
		if i%7 == 0 {
			flush(t, l)
		}
	}
	ask(100, addr(40), file)                                // again, over what is on disk
	ask(101, netip.MustParseAddr("::ffff:10.0.0.40"), file) // the same client
	ask(102, addr(0), file)                                 // was forgotten
	ask(1, addr(1), file)                                   // too old to come in
	ask(103, netip.Addr{}, file)                            // of whom nothing is known
	ask(104, addr(1), File{Host: host})                     // about no package
	l.take(at(105), file, Counts{MirrorTaken: 3})           // for no client
	want := []RecentClient{{addr(0), at(102).UTC(), 1, 15}, {addr(40), at(101).UTC(), 3, 45}}
	for i := 3*maxRecent - 1; len(want) < maxRecent; i-- {
		if i != 40 {
			want = append(want, RecentClient{addr(i), at(i).UTC(), 1, 15})
		}
	}
	for range 2 {
		a, got, err := l.Package("bash")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("recent clients = %+v, %v, want %+v", got, err, want)
		}
		counts := Counts{Requests: 3*maxRecent + 5, DeliveredStore: 10 * (3*maxRecent + 5), DeliveredMirror: 5 * (3*maxRecent + 5), MirrorTaken: 3}
		if a.Name != "bash" || a.Counts != counts || !a.First.Equal(at(0)) || !a.Last.Equal(at(105)) {
			t.Errorf("account = %+v, want %+v", a, counts)
		}
		l = openLedger(t, table)
	}
	if _, got, err := l.Package(NoPackage); err != nil || len(got) != 0 {
		t.Errorf("who asked for no package: %v, %v", got, err)
	}
	if _, _, err := l.Package("zsh"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a package that nobody asked for: %v, want fs.ErrNotExist", err)
	}
	checkSums(t, l)
}
