package reputation

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"

	"millpond/internal/peer"
)

func open(t *testing.T, store ds.Datastore) *Table {
	t.Helper()
	c, err := New(store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBansGrowAndPersist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := ds.NewMapDatastore()
		id := "liar"
		for i, want := range append(banTimes[:], banTimes[len(banTimes)-1]) {
			c := open(t, store)
			if !c.Fault(Peer{ID: id}, peer.Lied, "bytes") {
				t.Fatal("not banned for a lie")
			}
			c.Fault(Peer{ID: id}, peer.Lied, "more of it") // told before the ban
			c = open(t, store)
			time.Sleep(want - time.Second)
			if !c.Banned(id) || c.Bans() != 1 {
				t.Errorf("ban %d is over before %s, or a restart lifts it", i, want)
			}
			time.Sleep(2 * time.Second)
			if c.Banned(id) || c.Bans() != 0 {
				t.Errorf("ban %d is not over after %s", i, want)
			}
		}
		time.Sleep(2 * strikeForgotten) // of six strikes two are forgotten
		c := open(t, store)
		c.Fault(Peer{ID: id}, peer.Lied, "again")
		if got := time.Until(c.bans.until(banKey(id))); got != banTimes[4] {
			t.Errorf("after two days: banned for %s, want %s", got, banTimes[4])
		}
		time.Sleep(30 * strikeForgotten)
		c.Fault(Peer{ID: id}, peer.Lied, "again")
		if got := time.Until(c.bans.until(banKey(id))); got != banTimes[0] {
			t.Errorf("after a month: banned for %s, want %s", got, banTimes[0])
		}
	})
}

func TestAddressBans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, first, second, third string
		banned                     bool
	}{
		{"one address", "192.0.2.1", "192.0.2.1", "192.0.2.1", true},
		{"two addresses", "192.0.2.1", "192.0.2.2", "192.0.2.1", false},
		{"one /64", "2001:db8::1", "2001:db8::2", "2001:db8::3", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", "2001:db8::3", false},
		{"loopback", "127.0.0.1", "127.0.0.1", "127.0.0.1", false},
		{"an address of a site", "172.17.0.1", "172.17.0.1", "172.17.0.1", false},
		{"one of a site's /64", "fd00::1", "fd00::1", "fd00::1", false},
	} {
		store := ds.NewMapDatastore()
		s := open(t, store)
		third := netip.MustParseAddr(c.third)
		s.Fault(Peer{ID: "a", Addr: netip.MustParseAddr(c.first)}, peer.Lied, "")
		if s.AddrBanned(third) {
			t.Errorf("%s: banned for the lie of one identity", c.name)
		}
		s.Fault(Peer{ID: "b", Addr: netip.MustParseAddr(c.second)}, peer.Lied, "")
		if got := s.AddrBanned(third); got != c.banned {
			t.Errorf("%s: banned %t, want %t", c.name, got, c.banned)
		}
		if got := open(t, store).AddrBanned(third); got != c.banned {
			t.Errorf("%s: after a restart banned %t, want %t", c.name, got, c.banned)
		}
	}
}

// A ban that was given by a clock a day ahead is no longer after a restart than it was
// to be, and one lie at an address bans nobody there.
func TestBansOfAClockAhead(t *testing.T) {
	t.Parallel()
	store := ds.NewMapDatastore()
	s := open(t, store)
	at := netip.MustParseAddr("192.0.2.1")
	s.Fault(Peer{ID: "a", Addr: at}, peer.Lied, "")
	for key, row := range s.bans.rows {
		row.Until = row.Until.Add(24 * time.Hour)
		s.bans.put(key, row)
	}
	again := open(t, store)
	if left := time.Until(again.BannedUntil("a")); left <= banTimes[0]-10*time.Second || left > banTimes[0] {
		t.Errorf("banned for %v after a restart, want %v", left, banTimes[0])
	}
	if again.AddrBanned(at) {
		t.Error("its address is banned")
	}
}

func TestScores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, ds.NewMapDatastore())
		asked := func(id string) bool { return asked(c, Peer{ID: id}) }
		cost := func(id string) time.Duration { cost, _ := c.Cost(Peer{ID: id}, time.Millisecond); return cost }
		c.Served(Peer{ID: "fast"}, 10<<20, 100*time.Millisecond)
		c.Served(Peer{ID: "slow"}, 10<<20, 10*time.Second)
		c.Served(Peer{ID: "fault"}, 10<<20, 100*time.Millisecond)
		c.Fault(Peer{ID: "fault"}, peer.Failed, "broke off")
		if !(cost("new") < cost("fast") && cost("fast") < cost("fault") && cost("fault") < cost("slow")) {
			t.Errorf("costs: new %s, fast %s, fault %s, slow %s", cost("new"), cost("fast"), cost("fault"), cost("slow"))
		}
		for range 5 {
			if !asked("bad") {
				t.Error("excluded too soon")
			}
			c.Fault(Peer{ID: "bad"}, peer.Slow, "stalled")
		}
		if asked("bad") || c.Banned("bad") {
			t.Error("a box that is slow again and again must be excluded and not banned")
		}
		if fault, score := c.LastFault("bad"), c.Score("bad"); fault != "stalled" || score >= minScore {
			t.Errorf("the last fault is %q, the score %.2f", fault, score)
		}
		time.Sleep(penaltyHalfLife)
		if !asked("bad") {
			t.Error("still excluded after a half-life")
		}
		before := c.Score("bad")
		c.Served(Peer{ID: "bad"}, 1, time.Millisecond)
		if after := c.Score("bad"); after <= before {
			t.Errorf("score %.2f after a success, %.2f before", after, before)
		}
	})
}

func TestScoresAreBounded(t *testing.T) {
	t.Parallel()
	c := open(t, ds.NewMapDatastore())
	c.Fault(Peer{ID: "bad"}, peer.Slow, "stalled")
	for i := range maxPeers + 100 {
		c.Served(Peer{ID: fmt.Sprint(i)}, 1, time.Second)
	}
	if len(c.scores) != maxPeers || c.scores["bad"] == nil {
		t.Errorf("%d boxes are remembered, want %d, the bad one among them", len(c.scores), maxPeers)
	}
	for i := range maxBans + 10 {
		c.Fault(Peer{ID: fmt.Sprint(i)}, peer.Lied, "")
	}
	if len(c.bans.rows) != maxBans {
		t.Errorf("%d bans are remembered, want %d", len(c.bans.rows), maxBans)
	}
}
