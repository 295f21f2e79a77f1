package ledger

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"millpond/internal/kv"
)

// checkSums compares the totals with the sum over each kind of account, as far
// as that kind counts, and with the sum over the days.
func checkSums(tb testing.TB, l *Ledger) {
	tb.Helper()
	totals, _ := l.Totals()
	var answered int64
	var clients, hosts, peers, packages, days Counts
	sum := func(to *Counts, seq iter.Seq2[Account, error]) {
		for _, a := range collect(tb, seq) {
			to.add(a.Counts)
			for _, answer := range a.Answers {
				answered += answer.Requests
			}
		}
	}
	sum(&clients, l.Clients(""))
	sum(&hosts, l.Hosts(""))
	sum(&peers, l.accounts(&l.peers, ""))
	sum(&packages, l.Packages(""))
	for _, p := range series(tb, l, Day) {
		days.add(p.Counts)
	}
	want := totals
	want.MirrorTaken, want.PeerTaken, want.PeerGiven, want.MirrorRequests, want.AvoidedRequests = 0, 0, 0, 0, 0
	if clients != want {
		tb.Errorf("sum over clients = %+v, want %+v", clients, want)
	}
	want = totals
	want.Tunnelled, want.PeerTaken, want.PeerGiven = 0, 0, 0
	if hosts != want {
		tb.Errorf("sum over hosts = %+v, want %+v", hosts, want)
	}
	if packages != want {
		tb.Errorf("sum over packages = %+v, want %+v", packages, want)
	}
	want = Counts{PeerTaken: totals.PeerTaken, PeerGiven: totals.PeerGiven}
	if peers != want {
		tb.Errorf("sum over peers = %+v, want %+v", peers, want)
	}
	if answered != totals.MirrorRequests {
		tb.Errorf("%d requests by status, want %d", answered, totals.MirrorRequests)
	}
	if days != totals {
		tb.Errorf("sum over days = %+v, want %+v", days, totals)
	}
}

// Random operations, erasures, flushes, failing flushes and reopenings over more
// accounts than the ledger keeps: the sums stay equal.
func TestSumsAlwaysEqual(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 0))
			_, table := openTable(t, t.TempDir())
			closed, broken := openTable(t, t.TempDir())
			if err := closed.Close(); err != nil {
				t.Fatal(err)
			}
			l := smallLedger(t, table)
			now := time.Now().Add(-40 * 24 * time.Hour)
			var want Counts
			for range 1500 {
				now = now.Add(time.Duration(r.Int64N(int64(30 * time.Minute))))
				want.add(randomCount(r, l, now))
				switch r.IntN(70) {
				case 0, 1, 2:
					flush(t, l)
				case 3:
					flush(t, l)
					l = smallLedger(t, table)
				case 4, 5, 6:
					l.table = broken
					if l.Flush() == nil && !l.pending.empty() {
						t.Error("a flush to a closed database succeeded")
					}
					l.table = table
				case 8, 9:
					if _, err := l.Erase(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(200))})); err != nil {
						t.Error(err)
					}
				case 7:
					now = now.Add(-time.Duration(r.Int64N(int64(48 * time.Hour)))) // the clock is set back
				}
			}
			if got, _ := l.Totals(); got != want {
				t.Errorf("totals = %+v, want %+v", got, want)
			}
			checkSums(t, l)
			checkByDay(t, l)
			l = smallLedger(t, table)
			if got, _ := l.Totals(); got != want {
				t.Errorf("totals after reopening = %+v, want %+v", got, want)
			}
			checkSums(t, l)
			checkByDay(t, l)
			for _, b := range []*book{&l.clients, &l.hosts, &l.peers, &l.packages} {
				if b.rows > b.limit || b.rows < b.limit/2 {
					t.Errorf("%d accounts of kind %c, limit %d", b.rows, b.kind, b.limit)
				}
			}
		})
	}
}

// smallLedger has limits that a short test passes.
func smallLedger(tb testing.TB, table *kv.Table) *Ledger {
	l := openLedger(tb, table)
	l.clients.limit, l.hosts.limit, l.peers.limit, l.packages.limit = 60, 40, 40, 50
	l.pending.clients.limit, l.pending.hosts.limit, l.pending.peers.limit, l.pending.packages.limit = 15, 10, 10, 12
	return l
}

func randomCount(r *rand.Rand, l *Ledger, now time.Time) (c Counts) {
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(200))})
	file := File{fmt.Sprintf("h%d.example.org", r.IntN(100)), fmt.Sprintf("lib%d", r.IntN(100))}
	peer := fmt.Sprint("peer", r.IntN(100))
	switch r.IntN(10) { // for the account of others, in several ways
	case 0:
		addr, file, peer = netip.Addr{}, File{}, ""
	case 1:
		file, peer = File{strings.Repeat("x", 300), strings.Repeat("z", 300)}, strings.Repeat("y", 300)
	case 2:
		file.Package = ""
	}
	n := r.Int64N(1 << 40)
	switch r.IntN(9) {
	case 0:
		c.Requests = 1
		l.deliver(now, addr, file, c)
	case 1:
		c.DeliveredStore = n
		l.deliver(now, addr, file, c)
	case 2:
		c.DeliveredMirror = n
		l.deliver(now, addr, file, c)
	case 3:
		c.MirrorTaken = n
		l.take(now, file, c)
	case 4:
		c.PeerTaken = n
		l.peer(now, peer, c)
	case 5:
		c.PeerGiven = n
		l.peer(now, peer, c)
	case 6:
		c.Tunnelled = n
		l.tunnel(now, addr, file.Host, n)
	case 7:
		c.MirrorRequests = 1
		l.ask(now, file, r.IntN(1100)-20)
	case 8:
		c.AvoidedRequests = 1
		l.take(now, file, c)
	}
	return c
}

// The longest unseen accounts are folded, not others.
func TestFold(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	l.peers.limit = 100
	start := time.Now().Add(-time.Hour)
	add := func(from, to int) {
		for i := from; i < to; i++ {
			l.peer(start.Add(time.Duration(i)*time.Second), fmt.Sprintf("%04d", i), Counts{PeerGiven: 1})
		}
		flush(t, l)
	}
	add(0, 100)
	l.peer(start.Add(200*time.Second), "0000", Counts{PeerGiven: 1}) // seen again
	add(100, 103)                                                    // 104 with Others: 5 go, the twentieth part
	got := collect(t, l.accounts(&l.peers, ""))
	if len(got) != 99 || got[0].Name != "0000" || got[1].Name != "0006" || got[98].Name != Others {
		t.Fatalf("%d accounts: %v …", len(got), got[:3])
	}
	want := Account{Name: Others, First: start.Truncate(time.Second).Add(time.Second), Last: start.Truncate(time.Second).Add(5 * time.Second), Counts: Counts{PeerGiven: 5}}
	want.First, want.Last = want.First.UTC(), want.Last.UTC()
	if !got[98].First.Equal(want.First) || !got[98].Last.Equal(want.Last) || got[98].Counts != want.Counts {
		t.Errorf("the folded are %+v, want %+v", got[98], want)
	}
	if reopened := openLedger(t, table); reopened.peers.rows != l.peers.rows || l.peers.rows != 99 {
		t.Errorf("the ledger counts %d accounts, a new one %d, want 99", l.peers.rows, reopened.peers.rows)
	}
	checkSums(t, l)
}

// However many names somebody has the box ask, the site's hosts keep their accounts.
func TestFoldHosts(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	l.hosts.limit = 100
	start := time.Now().Add(-24 * time.Hour)
	own := []string{"archive.example.org", "security.example.org", "192.0.2.7"}
	for i, host := range own {
		l.ask(start, File{Host: host}, 200)
		if i > 0 { // the first one is seen for the first time
			l.ask(start.Add(2*time.Hour), File{Host: host}, 200)
		}
	}
	flush(t, l)
	for i := range 500 {
		l.ask(start.Add(3*time.Hour), File{Host: fmt.Sprintf("%d.evil.example.com", i)}, 404)
		if i%50 == 49 {
			flush(t, l)
		}
	}
	names := make(map[string]bool)
	for _, a := range collect(t, l.accounts(&l.hosts, "")) {
		names[a.Name] = true
	}
	for _, host := range own {
		if !names[host] {
			t.Errorf("the account of %s is folded before those of a flood", host)
		}
	}
	if len(names) > 100 {
		t.Errorf("%d accounts", len(names))
	}
	checkSums(t, l)
}

// The largest flush there can be fits one transaction: everything pending is
// full, of new accounts with the longest names, and as many have to go.
func TestLargestFlush(t *testing.T) {
	t.Parallel()
	l, table := testLedger(t)
	l.clients.limit, l.hosts.limit, l.peers.limit = pendingClients+100, pendingHosts+100, pendingPeers+100
	// The twentieth part of all packages is more than what is pending.
	batch := table.Batch()
	for i := range maxPackages {
		if err := batch.Put(fmt.Appendf([]byte("k"), "%0*d", maxPackage, i), row{first: 1, last: 1}.encode()); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Flush(); err != nil {
		t.Fatal(err)
	}
	l.packages.rows = maxPackages
	big := int64(1) << 49 // what folding sums up must not overflow
	full := Counts{big, big / 4, big / 4, big / 4, big, big, big, big, big, big}
	for round := range 2 {
		start := time.Now().Add(time.Duration(round) * time.Hour)
		name := func(i int) string {
			s := fmt.Sprintf("%d.%d.", round, i)
			return s + strings.Repeat("x", maxName-len(s))
		}
		for i := range 2 * pendingClients {
			addr := netip.AddrFrom16([16]byte{0x20, 0x01, byte(round + 1), byte(i >> 8), byte(i), 0xff, 7: 0xff, 9: 0xff, 11: 0xff, 13: 0xff, 15: 0xff})
			l.deliver(start.Add(time.Duration(i)*time.Minute), addr, File{name(i), name(i)[:maxPackage]}, Counts{})
			l.peer(start, name(i), Counts{})
		}
		for _, rows := range []map[string]*row{l.pending.hosts.rows, l.pending.peers.rows, l.pending.packages.rows} {
			for _, r := range rows {
				r.Counts = full
			}
		}
		for _, r := range l.pending.hosts.rows {
			for i := range maxStatuses + 1 {
				r.answers.note(999-round-i, big)
			}
		}
		for _, r := range l.pending.packages.rows {
			for i := range maxRecent {
				addr := netip.AddrFrom16([16]byte{0x20, 0x01, byte(round + 1), byte(i), 15: 0xff})
				r.recent.note(recentClient{addr, start.Unix() + 1<<40, big, big, big})
			}
		}
		for _, r := range l.pending.clients.rows {
			r.Counts = full
		}
		if err := l.Flush(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if n := len(l.pending.minutes); n != 0 {
			t.Errorf("%d minutes pending after a flush", n)
		}
	}
}

func TestPendingIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := testLedger(t)
	for i := range 5000 {
		now := time.Unix(int64(i)*60, 0)
		l.deliver(now, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), File{fmt.Sprint(i), fmt.Sprint(i)}, Counts{Requests: 1})
		l.peer(now, fmt.Sprint(i), Counts{PeerGiven: 1})
	}
	p := l.pending
	if len(p.minutes) > pendingMinutes || len(p.clients.rows) > pendingClients+1 ||
		len(p.hosts.rows) > pendingHosts+1 || len(p.peers.rows) > pendingPeers+1 || len(p.packages.rows) > pendingPackages+1 {
		t.Errorf("pending: %d minutes, %d clients, %d hosts, %d peers, %d packages",
			len(p.minutes), len(p.clients.rows), len(p.hosts.rows), len(p.peers.rows), len(p.packages.rows))
	}
	checkSums(t, l)
}
