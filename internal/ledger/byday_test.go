package ledger

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"millpond/internal/kv"
)

// checkByDay compares the figures by host and day with the totals.
func checkByDay(tb testing.TB, l *Ledger) {
	tb.Helper()
	totals, _ := l.Totals()
	var tunnelled int64
	for _, h := range l.Tunnels(time.Now(), DaysKept) {
		tunnelled += h.Ever.Bytes
	}
	if tunnelled != totals.Tunnelled {
		tb.Errorf("%d bytes through tunnels by host, want %d", tunnelled, totals.Tunnelled)
	}
	var all MirrorFigures
	for _, h := range l.Mirrors(time.Now(), DaysKept) {
		all = all.Plus(h.Ever)
	}
	if want := (Load{totals.Requests, totals.Delivered()}); all.Clients != want || all.Avoided != totals.AvoidedRequests || all.Taken().Requests != totals.MirrorRequests {
		tb.Errorf("by host %+v; the totals are %+v", all, totals)
	}
}

// What a mirror is asked and sends is counted for it, what clients get for the host that
// they name; both are of the period only.
func TestMirrorsByDay(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	client := netip.MustParseAddr("10.1.2.3")
	f, fast := File{"archive.example.org", "bash"}, "fast.example.org"
	l.Request(client, f)
	l.Request(client, f)
	l.Delivered(client, f, FromStore, 900)
	l.Delivered(client, f, FromMirror, 100)
	for status, n := range map[int]int64{200: 60, 206: 40, 304: 0, 404: 7, 503: 3, NoAnswer: 0, 999: 1, 101: 1} {
		l.Asked(File{Host: fast}, status)
		l.Sent(fast, status, n)
	}
	l.Taken(f, 112)
	l.Avoided(f)
	want := MirrorFigures{ByClass: [classes]Load{{2, 100}, {1, 0}, {1, 7}, {1, 3}, {2, 2}, {1, 0}}}
	for range 2 { // as counted, and as written
		hosts := l.Mirrors(time.Now(), 1)
		if len(hosts) != 2 || hosts[0].Name != f.Host || hosts[1].Name != fast {
			t.Fatalf("hosts %+v", hosts)
		}
		if got := hosts[1].Sum; got != want || got != hosts[1].Ever {
			t.Errorf("the mirror has %+v, want %+v", got, want)
		}
		if got := hosts[0].Sum; got.Clients != (Load{2, 1000}) || got.Avoided != 1 || got.Spared() != (Load{2, 1000}) {
			t.Errorf("the archive has %+v", got)
		}
		if got := hosts[1].Sum.Spared(); got != (Load{-8, -112}) {
			t.Errorf("the mirror was spared %+v", got)
		}
		flush(t, l)
		l = openLedger(t, table)
	}
	if got := l.Mirrors(time.Now().AddDate(0, 0, DaysKept), DaysKept); got[0].Sum != (MirrorFigures{}) || got[0].Ever.Avoided != 1 {
		t.Errorf("a month later it has %+v", got[0])
	}
}

// The clients of tunnels are kept, erased and left out as those of packages are.
func TestTunnelClients(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	use := func(l *Ledger) {
		for _, c := range []netip.Addr{a, netip.MustParseAddr("::ffff:10.0.0.1"), b} {
			l.TunnelOpened(c, "download.example.org:443")
			l.Tunnelled(c, "download.example.org:443", 5)
		}
	}
	clients := func(l *Ledger) string {
		var all []string
		for _, h := range l.Tunnels(time.Now(), 1) {
			if h.Sum != h.Ever || h.Sum.Bytes != 5*h.Sum.Tunnels {
				t.Errorf("%+v of %+v", h.Sum, h.Ever)
			}
			for _, c := range h.Clients {
				all = append(all, c.Addr.String())
			}
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	l, table := testLedger(t)
	use(l)
	if got := clients(l); got != "10.0.0.1 fd00::1" {
		t.Errorf("clients %s", got)
	}
	if known, err := l.Erase(a); !known || err != nil {
		t.Errorf("Erase = %v, %v", known, err)
	}
	if got := clients(openLedger(t, table)); got != "fd00::1" {
		t.Errorf("without one they are %s", got)
	}
	for _, p := range []Privacy{{NoPackages: true}, {NoClients: true}} {
		l, table := testLedger(t)
		use(l)
		flush(t, l)
		l = openLedger(t, table)
		if removed, err := l.Restrict(p); !removed || err != nil {
			t.Errorf("Restrict = %v, %v", removed, err)
		}
		use(l)
		flush(t, l)
		l = openLedger(t, table)
		if got := clients(l); got != "" {
			t.Errorf("with %+v the clients are %s", p, got)
		}
		if got := l.Tunnels(time.Now(), 1)[0].Sum; got != (TunnelFigures{Bytes: 30, Tunnels: 6}) {
			t.Errorf("with %+v there passed %+v", p, got)
		}
	}
}

// A damaged record is told at the start, with its name.
func TestDamagedByDay(t *testing.T) {
	t.Parallel()
	_, table := testLedger(t)
	kept, _ := byDay.Load(table)
	if err := kept.(*kv.Table).Put([]byte("tdownload.example.org:443"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(table); err == nil || !strings.Contains(err.Error(), "download.example.org:443") {
		t.Errorf("opened with a damaged record: %v", err)
	}
}
