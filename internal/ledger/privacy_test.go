package ledger

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// names are those of all accounts of clients, and how often each is with a package.
func names(tb testing.TB, l *Ledger) (accounts []string, asked map[string]int) {
	tb.Helper()
	asked = map[string]int{}
	for _, a := range collect(tb, l.Clients("")) {
		accounts = append(accounts, a.Name)
	}
	for _, p := range collect(tb, l.Packages("")) {
		_, recent, err := l.Package(p.Name)
		if err != nil {
			tb.Fatal(err)
		}
		for _, c := range recent {
			asked[c.Client.String()]++
		}
	}
	return accounts, asked
}

// askAll has each of some clients request each of n packages.
func askAll(l *Ledger, n int, clients ...netip.Addr) {
	for i := range n {
		for _, c := range clients {
			f := File{host, fmt.Sprint("lib", i)}
			l.Request(c, f)
			l.Delivered(c, f, FromStore, 10)
		}
	}
}

// Nothing of a client is left but the sums, whatever address looks like its own, on
// disk or not yet; and what it gets later counts anew.
func TestErase(t *testing.T) {
	t.Parallel()
	const packages = 2*forgetAtOnce + 10
	for _, address := range []string{"10.1.2.3", "fd00::1:2"} {
		t.Run(address, func(t *testing.T) {
			l, table := testLedger(t)
			gone := netip.MustParseAddr(address)
			like := netip.MustParseAddr(address + "0")
			for half := range 2 { // the second one is pending
				if half == 1 {
					flush(t, l)
				}
				askAll(l, packages/2, gone, like)
				l.Tunnelled(gone, "download.example.org:443", 5)
			}
			askAll(l, packages, gone)
			before, _ := l.Totals()
			known, err := l.Erase(gone)
			if err != nil || !known {
				t.Fatalf("Erase = %v, %v", known, err)
			}
			for range 2 { // as it is, and reopened
				accounts, asked := names(t, l)
				if want := []string{like.String(), Others}; !slices.Equal(accounts, want) {
					t.Errorf("accounts %v, want %v", accounts, want)
				}
				if asked[gone.String()] != 0 || asked[like.String()] != packages/2 {
					t.Errorf("with packages: %v", asked)
				}
				if after, _ := l.Totals(); after != before {
					t.Errorf("totals %+v, before %+v", after, before)
				}
				checkSums(t, l)
				if l.clients.rows != 2 {
					t.Errorf("the book has %d rows", l.clients.rows)
				}
				l = openLedger(t, table)
			}
			if known, err := l.Erase(gone); err != nil || known {
				t.Errorf("Erase again = %v, %v, want false", known, err)
			}
			l.Delivered(gone, file, FromStore, 7)
			if all := collect(t, l.Clients("")); all[0].Name != gone.String() || all[0].DeliveredStore != 7 {
				t.Errorf("the client that came again has %+v", all[0])
			}
			checkSums(t, l)
		})
	}
}

// Others is no client, nor is what has no address.
func TestEraseNobody(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	askAll(l, 1, netip.Addr{})
	if known, err := l.Erase(netip.Addr{}); err != nil || known {
		t.Errorf("Erase = %v, %v", known, err)
	}
	checkSums(t, l)
}

// An IPv4 address in IPv6 form is the same client.
func TestEraseMapped(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	askAll(l, 1, netip.MustParseAddr("10.1.2.3"))
	if known, err := l.Erase(netip.MustParseAddr("::ffff:10.1.2.3")); err != nil || !known {
		t.Errorf("Erase = %v, %v", known, err)
	}
	if accounts, _ := names(t, l); !slices.Equal(accounts, []string{Others}) {
		t.Errorf("accounts %v", accounts)
	}
}

// What an earlier run kept is removed, and no more of it is kept; the sums stay.
func TestRestrict(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	tests := []struct {
		name     string
		privacy  Privacy
		removed  bool
		accounts []string
		packages map[string]int // by client
	}{
		{"nothing", Privacy{}, false, []string{"10.0.0.1", "fd00::1"}, map[string]int{"10.0.0.1": 6, "fd00::1": 3}},
		{"no packages", Privacy{NoPackages: true}, true, []string{"10.0.0.1", "fd00::1"}, map[string]int{}},
		{"no clients", Privacy{NoClients: true}, true, []string{Others}, map[string]int{}},
		// How old they are with their packages is not known.
		{"some time", Privacy{Keep: time.Hour}, true, []string{"10.0.0.1", "fd00::1"}, map[string]int{"10.0.0.1": 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, table := testLedger(t)
			askAll(l, 3, a, b)
			flush(t, l)
			before, _ := l.Totals()
			l = openLedger(t, table)
			if removed, err := l.Restrict(tt.privacy); err != nil || removed != tt.removed {
				t.Fatalf("Restrict = %v, %v", removed, err)
			}
			checkSums(t, l)
			if after, _ := l.Totals(); after != before {
				t.Errorf("totals %+v, before %+v", after, before)
			}
			for i := range 3 {
				l.Request(a, File{host, fmt.Sprint("new", i)})
			}
			l.Tunnelled(a, "download.example.org:443", 5)
			for range 2 {
				accounts, asked := names(t, l)
				if !slices.Equal(accounts, tt.accounts) || fmt.Sprint(asked) != fmt.Sprint(tt.packages) {
					t.Errorf("accounts %v, with packages %v; want %v, %v", accounts, asked, tt.accounts, tt.packages)
				}
				checkSums(t, l)
				l = openLedger(t, table)
			}
			if removed, err := l.Restrict(tt.privacy); err != nil || removed {
				t.Errorf("Restrict again = %v, %v", removed, err)
			}
		})
	}
}

// Nothing about a client is older than is kept, whether the box is used or not, and
// whether the client still comes or not.
func TestRetention(t *testing.T) {
	if testing.Short() {
		t.Skip("writes once for each second of half a day")
	}
	const keep = 3 * time.Hour
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, table := openTable(t, dir)
		l := openLedger(t, table)
		if _, err := l.Restrict(Privacy{Keep: keep}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		busy, idle := addr(1), addr(2)
		askAll(l, 2, idle)
		time.Sleep(time.Second)
		for begun := time.Now(); time.Since(begun) < 2*keep; time.Sleep(20 * time.Minute) {
			askAll(l, 2, busy)
			for _, a := range collect(t, l.Clients("")) {
				if age := time.Since(a.First); a.Name != Others && age > keep+expireEvery {
					t.Errorf("after %v, what %s has began %v ago", time.Since(begun), a.Name, age)
				}
			}
			checkSums(t, l)
		}
		accounts, asked := names(t, l)
		if want := []string{busy.String(), Others}; !slices.Equal(accounts, want) || asked[idle.String()] != 0 || asked[busy.String()] != 2 {
			t.Errorf("accounts %v, with packages %v; want %v", accounts, asked, want)
		}
		if _, recent, err := l.Package("lib0"); err != nil || recent[0].Requests > int64(1+(keep+expireEvery)/(20*time.Minute)) {
			t.Errorf("with a package: %+v, %v", recent, err)
		}
		// Nobody comes any more.
		time.Sleep(keep + expireEvery + time.Minute)
		synctest.Wait()
		onDisk := openLedger(t, table)
		if accounts, asked := names(t, onDisk); !slices.Equal(accounts, []string{Others}) || len(asked) > 0 {
			t.Errorf("in the end: accounts %v, with packages %v", accounts, asked)
		}
		checkSums(t, onDisk)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// What a clock that was ahead has counted about a client is not kept for longer.
func TestRetentionOfAClockAhead(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	l.deliver(time.Now().Add(24*time.Hour), addr(1), File{"archive.example.org", "lib0"}, Counts{Requests: 1})
	flush(t, l)
	l = openLedger(t, table)
	if removed, err := l.Restrict(Privacy{Keep: 30 * 24 * time.Hour}); err != nil || !removed {
		t.Errorf("Restrict = %v, %v; want something removed", removed, err)
	}
	if accounts, asked := names(t, l); !slices.Equal(accounts, []string{Others}) || len(asked) > 0 {
		t.Errorf("accounts %v, with packages %v", accounts, asked)
	}
	checkSums(t, l)
}
