package swarm

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"millpond/internal/digest"
)

func openScores(t *testing.T, store ds.Datastore) *scores {
	t.Helper()
	c, err := newScores(store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBansGrowAndPersist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := ds.NewMapDatastore()
		id := p2p.ID("liar")
		for i, want := range append(banTimes[:], banTimes[len(banTimes)-1]) {
			c := openScores(t, store)
			if !c.fault(id, nil, Lied, "bytes") {
				t.Fatal("not banned for a lie")
			}
			c.fault(id, nil, Lied, "more of it") // told before the ban
			c = openScores(t, store)
			time.Sleep(want - time.Second)
			if !c.banned(id) || c.count() != 1 {
				t.Errorf("ban %d is over before %s, or a restart pardons", i, want)
			}
			time.Sleep(2 * time.Second)
			if c.banned(id) || c.count() != 0 {
				t.Errorf("ban %d is not over after %s", i, want)
			}
		}
		time.Sleep(2 * strikeForgotten) // of six strikes two are forgotten
		c := openScores(t, store)
		c.fault(id, nil, Lied, "again")
		if got := time.Until(c.bans.until(banKey(id))); got != banTimes[4] {
			t.Errorf("after two days: banned for %s, want %s", got, banTimes[4])
		}
		time.Sleep(30 * strikeForgotten)
		c.fault(id, nil, Lied, "again")
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
		{"one address", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2", "/ip4/192.0.2.1/udp/3/quic-v1", true},
		{"two addresses", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1", "/ip4/192.0.2.1/tcp/2", false},
		{"one /64", "/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8::2/tcp/1", "/ip6/2001:db8::3/tcp/1", true},
		{"two /64", "/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8:0:1::1/tcp/1", "/ip6/2001:db8::3/tcp/1", false},
		{"loopback", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2", "/ip4/127.0.0.1/tcp/3", false},
	} {
		store := ds.NewMapDatastore()
		s := openScores(t, store)
		third := ma.StringCast(c.third)
		s.fault("a", ma.StringCast(c.first), Lied, "")
		if s.bannedAt(third) {
			t.Errorf("%s: banned for the lie of one identity", c.name)
		}
		s.fault("b", ma.StringCast(c.second), Lied, "")
		if got := s.bannedAt(third); got != c.banned {
			t.Errorf("%s: banned %t, want %t", c.name, got, c.banned)
		}
		if got := openScores(t, store).bannedAt(third); got != c.banned {
			t.Errorf("%s: after a restart banned %t, want %t", c.name, got, c.banned)
		}
	}
}

func TestScores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := openScores(t, ds.NewMapDatastore())
		asked := func(id p2p.ID) bool { _, ok := c.cost(id, time.Millisecond); return ok }
		cost := func(id p2p.ID) time.Duration { cost, _ := c.cost(id, time.Millisecond); return cost }
		c.served("fast", 10<<20, 100*time.Millisecond)
		c.served("slow", 10<<20, 10*time.Second)
		c.served("fault", 10<<20, 100*time.Millisecond)
		c.fault("fault", nil, Failed, "broke off")
		if !(cost("new") < cost("fast") && cost("fast") < cost("fault") && cost("fault") < cost("slow")) {
			t.Errorf("costs: new %s, fast %s, fault %s, slow %s", cost("new"), cost("fast"), cost("fault"), cost("slow"))
		}
		for range 5 {
			if !asked("bad") {
				t.Error("rests too soon")
			}
			c.fault("bad", nil, Slow, "stalled")
		}
		if asked("bad") || c.banned("bad") {
			t.Error("a box that is slow again and again must rest and not be banned")
		}
		var info PeerInfo
		c.describe(&info, "bad")
		if info.LastFault != "stalled" || info.Score >= leastScore {
			t.Errorf("described as %+v", info)
		}
		time.Sleep(penaltyHalfLife)
		if !asked("bad") {
			t.Error("still rests after a half-life")
		}
		before, _ := c.of("bad")
		c.served("bad", 1, time.Millisecond)
		if after, _ := c.of("bad"); after <= before {
			t.Errorf("score %.2f after a success, %.2f before", after, before)
		}
	})
}

func TestScoresAreBounded(t *testing.T) {
	t.Parallel()
	c := openScores(t, ds.NewMapDatastore())
	c.fault("bad", nil, Slow, "stalled")
	for i := range maxScores + 100 {
		c.served(p2p.ID(fmt.Sprint(i)), 1, time.Second)
	}
	if len(c.boxes) != maxScores || c.boxes["bad"] == nil {
		t.Errorf("%d boxes are remembered, want %d, the bad one among them", len(c.boxes), maxScores)
	}
	for i := range maxBans + 10 {
		c.fault(p2p.ID(fmt.Sprint(i)), nil, Lied, "")
	}
	if len(c.bans.rows) != maxBans {
		t.Errorf("%d bans are remembered, want %d", len(c.bans.rows), maxBans)
	}
}

// TestRestingElder: a box that is slow again and again is no elder for a while.
func TestRestingElder(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	d := digest.Digest{}
	for bytes.Compare(weight(giver.self(), d), weight(taker.self(), d)) < 0 {
		d[0]++
	}
	if n := len(taker.Elders(d)); n != 1 {
		t.Fatalf("%d elders, want the giver", n)
	}
	for range 5 {
		from.Fault(Slow, "stalled")
	}
	if n := len(taker.Elders(d)); n != 0 {
		t.Errorf("%d elders, the giver rests", n)
	}
}

// TestBannedBox is cut off, cannot come back, and can once it is pardoned.
func TestBannedBox(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	from.Fault(Lied, "wrong bytes")
	until(t, "the box to be cut off", func() bool { return taker.boxes.count() == 0 && giver.boxes.count() == 0 })
	if err := taker.host.Connect(t.Context(), giver.host.Peerstore().PeerInfo(giver.self())); err == nil {
		t.Error("a banned box is dialled")
	}
	if got := taker.Status().Banned; got != 1 {
		t.Errorf("Banned is %d, want 1", got)
	}
	if err := taker.Ban("nobody", time.Hour); err == nil {
		t.Error("a ban of what is no peer ID: no error")
	}
	if err := taker.Ban(giver.self().String(), 0); err != nil {
		t.Error(err)
	}
	if taker.scores.banned(giver.self()) {
		t.Error("still banned after the pardon")
	}
}
