package ledger

import (
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millpond/internal/kv"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func openTable(tb testing.TB, dir string) (*kv.DB, *kv.Table) {
	tb.Helper()
	db, err := kv.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	t := db.Table("ledger")
	byDay.Store(t, db.Table("daily"))
	return db, t
}

// byDay has the table of figures by day beside each table that openTable returned.
var byDay sync.Map

func open(t *kv.Table) (*Ledger, error) {
	daily, _ := byDay.Load(t)
	return Open(t, daily.(*kv.Table))
}

func openLedger(tb testing.TB, t *kv.Table) *Ledger {
	tb.Helper()
	l, err := open(t)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func testLedger(tb testing.TB) (*Ledger, *kv.Table) {
	tb.Helper()
	_, table := openTable(tb, tb.TempDir())
	return openLedger(tb, table), table
}

func flush(tb testing.TB, l *Ledger) {
	tb.Helper()
	if err := l.Flush(); err != nil {
		tb.Fatal(err)
	}
}

func collect(tb testing.TB, seq iter.Seq2[Account, error]) []Account {
	tb.Helper()
	var all []Account
	for a, err := range seq {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// always is a range of time that contains all buckets.
func series(tb testing.TB, l *Ledger, step Step) []Point {
	tb.Helper()
	points, err := l.Series(step, time.Time{}, time.Unix(1<<40, 0))
	if err != nil {
		tb.Fatal(err)
	}
	return points
}

const host = "archive.example.org"

var file = File{Host: host, Package: "bash"}

var client = netip.MustParseAddr("192.0.2.7")

func TestCounts(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	count := func(l *Ledger) {
		l.Request(client, file)
		l.Delivered(client, file, FromStore, 1)
		l.Delivered(client, file, FromPeer, 20)
		l.Delivered(client, file, FromMirror, 300)
		l.Taken(file, 4000)
		l.PeerTaken("peer", 50000)
		l.PeerGiven("peer", 600000)
		l.Tunnelled(client, "download.example.org:443", 7000000)
		for _, status := range []int{200, 200, 404, NoAnswer} {
			l.Asked(file, status)
		}
		for range 5 {
			l.Avoided(file)
		}
		for _, n := range []int64{0, -5} { // no-ops
			l.Delivered(client, file, FromStore, n)
			l.Taken(file, n)
			l.PeerTaken("nobody", n)
			l.PeerGiven("nobody", n)
			l.Tunnelled(client, "download.example.org:443", n)
		}
	}
	// Once before the first flush, once over rows that are on disk, once
	// after reopening.
	for i := range int64(3) {
		if i == 2 {
			l = openLedger(t, table)
		}
		count(l)
		n := i + 1
		want := Counts{n, 1 * n, 20 * n, 300 * n, 4000 * n, 50000 * n, 600000 * n, 7000000 * n, 4 * n, 5 * n}
		if got, since := l.Totals(); got != want || time.Since(since).Abs() > time.Minute {
			t.Errorf("totals = %+v since %v, want %+v", got, since, want)
		}
		if want.Delivered() != 321*n || want.Saved() != (321-4000)*n {
			t.Errorf("delivered %d, saved %d", want.Delivered(), want.Saved())
		}
		accounts := []struct {
			kind, name string
			seq        iter.Seq2[Account, error]
			want       Counts
		}{
			{"client", client.String(), l.Clients(""), Counts{Requests: n, DeliveredStore: n, DeliveredPeer: 20 * n, DeliveredMirror: 300 * n, Tunnelled: 7000000 * n}},
			{"host", host, l.Hosts(""), Counts{Requests: n, DeliveredStore: n, DeliveredPeer: 20 * n, DeliveredMirror: 300 * n, MirrorTaken: 4000 * n, MirrorRequests: 4 * n, AvoidedRequests: 5 * n}},
			{"package", "bash", l.Packages(""), Counts{Requests: n, DeliveredStore: n, DeliveredPeer: 20 * n, DeliveredMirror: 300 * n, MirrorTaken: 4000 * n, MirrorRequests: 4 * n, AvoidedRequests: 5 * n}},
			{"peer", "peer", l.accounts(&l.peers, ""), Counts{PeerTaken: 50000 * n, PeerGiven: 600000 * n}},
		}
		for _, a := range accounts {
			got := collect(t, a.seq)
			if len(got) != 1 || got[0].Name != a.name || got[0].Counts != a.want {
				t.Errorf("%s accounts = %+v, want %s with %+v", a.kind, got, a.name, a.want)
			}
		}
		if got := collect(t, l.Hosts(""))[0].Answers; !slices.Equal(got, []Answer{{NoAnswer, n}, {200, 2 * n}, {404, n}}) {
			t.Errorf("answers of the host = %v", got)
		}
		for step := range Day + 1 {
			var sum Counts
			for _, p := range series(t, l, step) { // two if the minute has just passed
				sum.add(p.Counts)
			}
			if sum != want {
				t.Errorf("sum of step %d = %+v, want %+v", step, sum, want)
			}
		}
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for o, want := range []string{"store", "peer", "mirror", "Origin(3)"} {
		if got := Origin(o).String(); got != want {
			t.Errorf("Origin %d is %q, want %q", o, got, want)
		}
	}
	l, _ := testLedger(t)
	defer func() {
		if recover() == nil {
			t.Error("Delivered took an unknown origin")
		}
		l.Request(client, file) // must not hang
	}()
	l.Delivered(client, file, 3, 1)
}

func TestAccountNames(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	for _, a := range []string{"192.0.2.7", "::ffff:192.0.2.7", "fe80::1%eth0", "fe80::1", "2001:db8::9"} {
		l.Request(netip.MustParseAddr(a), file)
	}
	l.Request(netip.Addr{}, File{})
	l.Request(netip.Addr{}, File{strings.Repeat("x", maxName+1), strings.Repeat("x", maxPackage+1)})
	type named struct {
		name string
		n    int64
	}
	names := func(seq iter.Seq2[Account, error]) (got []named) {
		for _, a := range collect(t, seq) {
			got = append(got, named{a.Name, a.Requests})
		}
		return got
	}
	wantClients := []named{{"192.0.2.7", 2}, {"2001:db8::9", 1}, {"fe80::1", 2}, {Others, 2}}
	if got := names(l.Clients("")); !slices.Equal(got, wantClients) {
		t.Errorf("clients = %v, want %v", got, wantClients)
	}
	if got := names(l.Clients("192.0.2.7")); !slices.Equal(got, wantClients[1:]) {
		t.Errorf("clients after the first = %v, want %v", got, wantClients[1:])
	}
	if got := names(l.Clients("192.0.2.70")); !slices.Equal(got, wantClients[1:]) {
		t.Errorf("clients after a name that is not there = %v, want %v", got, wantClients[1:])
	}
	wantHosts := []named{{host, 5}, {Others, 2}}
	if got := names(l.Hosts("")); !slices.Equal(got, wantHosts) {
		t.Errorf("hosts = %v, want %v", got, wantHosts)
	}
	wantPackages := []named{{NoPackage, 1}, {"bash", 5}, {Others, 1}}
	if got := names(l.Packages("")); !slices.Equal(got, wantPackages) {
		t.Errorf("packages = %v, want %v", got, wantPackages)
	}
}

func TestAccountPages(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	const n = 2*accountPage + 3
	for i := range n {
		l.peer(time.Unix(int64(1000+i), 0), fmt.Sprintf("%05d", i), Counts{PeerGiven: int64(i)})
		if i%100 == 0 {
			flush(t, l)
		}
	}
	l.peer(time.Unix(500, 0), "00007", Counts{PeerGiven: 1})
	all := collect(t, l.accounts(&l.peers, ""))
	if len(all) != n {
		t.Fatalf("%d accounts, want %d", len(all), n)
	}
	for i, a := range all {
		at := time.Unix(int64(1000+i), 0).UTC()
		want := Account{Name: fmt.Sprintf("%05d", i), First: at, Last: at, Counts: Counts{PeerGiven: int64(i)}}
		if i == 7 {
			want.First, want.PeerGiven = time.Unix(500, 0).UTC(), 8
		}
		if !reflect.DeepEqual(a, want) {
			t.Fatalf("account %d = %+v, want %+v", i, a, want)
		}
	}
	for _, err := range l.accounts(&l.peers, "") {
		if err != nil {
			t.Fatal(err)
		}
		break // stopping early must be possible
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	// trim uses the clock of the machine.
	day := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	at := func(clock string) time.Time {
		d, err := time.ParseDuration(clock)
		if err != nil {
			t.Fatal(err)
		}
		return day.Add(d)
	}
	for i, clock := range []string{"23h58m59s", "23h59m", "23h59m59.9s", "24h", "24h0m59s"} {
		l.take(at(clock), file, Counts{MirrorTaken: 1 << i})
		if i%2 == 0 {
			flush(t, l)
		}
	}
	type point struct {
		start string
		n     int64
	}
	tests := []struct {
		name     string
		step     Step
		from, to string
		want     []point
	}{
		{"minutes", Minute, "0h", "48h", []point{{"23h58m", 1}, {"23h59m", 6}, {"24h", 24}}},
		{"hours", Hour, "0h", "48h", []point{{"23h", 7}, {"24h", 24}}},
		{"days", Day, "0h", "48h", []point{{"0h", 7}, {"24h", 24}}},
		{"from is in", Minute, "23h59m", "48h", []point{{"23h59m", 6}, {"24h", 24}}},
		{"from within a second", Minute, "23h58m0.5s", "23h59m1s", []point{{"23h59m", 6}}},
		{"to is out", Minute, "0h", "24h", []point{{"23h58m", 1}, {"23h59m", 6}}},
		{"to within a second", Minute, "0h", "24h0m0.1s", []point{{"23h58m", 1}, {"23h59m", 6}, {"24h", 24}}},
		{"nothing", Minute, "1h", "2h", nil},
		{"backwards", Minute, "48h", "0h", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := l.Series(test.step, at(test.from), at(test.to))
			if err != nil {
				t.Fatal(err)
			}
			var want []Point
			for _, p := range test.want {
				want = append(want, Point{at(p.start), Counts{MirrorTaken: p.n}})
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	if _, err := l.Series(Day+1, day, day); err == nil {
		t.Error("Series took an unknown step")
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	now := time.Now()
	for _, age := range []time.Duration{0, 24 * time.Hour, 26 * time.Hour, 31 * 24 * time.Hour, 33 * 24 * time.Hour, 3650 * 24 * time.Hour} {
		l.take(now.Add(-age), file, Counts{MirrorTaken: 1})
	}
	flush(t, l)
	for step, want := range []int64{Minute: 2, Hour: 4, Day: 6} {
		var got int64
		for _, p := range series(t, l, Step(step)) {
			got += p.MirrorTaken
		}
		if got != want {
			t.Errorf("step %d: %d counts are kept, want %d", step, got, want)
		}
	}
	// At most once a minute.
	l.take(now.Add(-26*time.Hour), file, Counts{MirrorTaken: 1})
	flush(t, l)
	if got := series(t, l, Minute); len(got) != 3 {
		t.Errorf("trimmed again at once: %d minutes, want 3", len(got))
	}
	if err := l.trim(now.Add(time.Minute + time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := series(t, l, Minute); len(got) != 2 {
		t.Errorf("not trimmed after a minute: %d minutes, want 2", len(got))
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	var wg sync.WaitGroup
	const workers, n = 8, 2000
	for range workers {
		wg.Go(func() {
			for i := range n {
				l.Request(client, file)
				l.Delivered(client, file, Origin(i%3), 1)
				l.Taken(file, 1)
				l.PeerGiven("peer", 1)
				if i%500 == 0 {
					if err := l.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	got, _ := l.Totals()
	if got.Requests != workers*n || got.Delivered() != workers*n || got.MirrorTaken != workers*n || got.PeerGiven != workers*n {
		t.Errorf("totals = %+v, want %d of each", got, workers*n)
	}
	checkSums(t, l)
}

// What is counted while a flush finds nothing, or next to nothing, is written once.
func TestCountedDuringAFlush(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	counted := make(chan struct{})
	var flushing sync.WaitGroup
	flushing.Go(func() {
		for {
			select {
			case <-counted:
				return
			default:
			}
			if err := l.Flush(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const n = 2000
	for range n {
		l.Taken(file, 1)
		runtime.Gosched()
	}
	close(counted)
	flushing.Wait()
	flush(t, l)
	var sum int64
	for _, b := range series(t, l, Minute) {
		sum += b.MirrorTaken
	}
	if sum != n {
		t.Errorf("%d bytes written, want %d", sum, n)
	}
}

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
