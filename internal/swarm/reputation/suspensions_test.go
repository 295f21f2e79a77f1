package reputation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	ds "github.com/ipfs/go-datastore"

	"millpond/internal/peer"
)

// at is a peer at the n-th network of strangers.
func at(id string, n byte) Peer {
	addr := netip.AddrFrom4([4]byte{192, 0, n, 1})
	return Peer{ID: id, Addr: addr, Party: netip.PrefixFrom(addr, 24).Masked()}
}

// asked reports whether p may be asked.
func asked(c *Table, p Peer) bool {
	_, ok := c.Cost(p, time.Millisecond)
	return ok
}

// stall has p stall n times in a row.
func stall(c *Table, p Peer, n int) {
	for range n {
		c.Fault(p, peer.Stalled, "sent nothing")
	}
}

// suspended is how long p is not asked from now on, to the second.
func suspended(c *Table, p Peer) (d time.Duration) {
	for ; !asked(c, p); d += time.Second {
		time.Sleep(time.Second)
	}
	return d
}

func TestRecord(t *testing.T) {
	t.Parallel()
	c := open(t, ds.NewMapDatastore())
	earn := func(n int64) {
		for range n >> 20 {
			c.Right("box", 1<<20)
		}
	}
	earn(provenAt - 1<<20)
	c.Right("box", 1<<20-1)
	c.Served(Peer{ID: "box"}, 1<<30, time.Second) // nobody has verified it
	if c.Proven("box") || c.Proven("another") {
		t.Error("proven by less than the record that it takes")
	}
	c.Right("box", 1)
	if !c.Proven("box") {
		t.Error("not proven by its record")
	}
	c.Right("box", 1<<40) // saves nothing up for a lie
	c.Fault(Peer{ID: "box"}, peer.Slow, "")
	c.Fault(Peer{ID: "box"}, peer.Failed, "")
	stall(c, Peer{ID: "box"}, stallsToSuspend)
	if !c.Proven("box") {
		t.Error("the record is lost without a lie")
	}
	c.Fault(Peer{ID: "box"}, peer.Lied, "")
	if c.Proven("box") {
		t.Error("proven after a lie")
	}
	earn(provenAt - 1<<20)
	if c.Proven("box") {
		t.Error("a record lost is earned again for less")
	}
	earn(1 << 20)
	if !c.Proven("box") {
		t.Error("a record cannot be earned again")
	}
}

func TestSuspensions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, ds.NewMapDatastore())
		box := Peer{ID: "box", Member: true}
		stall(c, box, 1)
		c.Served(box, 1, time.Second)
		stall(c, box, 1)
		if !asked(c, box) {
			t.Error("suspended for stalls with a good transfer between them")
		}
		for i, want := range append(suspensionTimes[:], suspensionTimes[len(suspensionTimes)-1]) {
			c.Right(box.ID, 10<<20) // may be of what came before the stall
			stall(c, box, 1)
			if i == 0 {
				stall(c, box, 100) // that were under way: no longer suspension
			}
			if i > 0 {
				stall(c, box, 1)
			}
			if got := suspended(c, box); got != want {
				t.Errorf("suspension %d lasts %v, want %v", i+1, got, want)
			}
		}
		for range 3 {
			c.Served(box, 1<<20, time.Second)
		}
		stall(c, box, 2)
		if got, want := suspended(c, box), suspensionTimes[len(suspensionTimes)-1-3]; got != want {
			t.Errorf("after three good transfers it lasts %v, want %v", got, want)
		}
		time.Sleep(stallsForgotten)
		stall(c, box, 2)
		if got := suspended(c, box); got != suspensionTimes[0] {
			t.Errorf("after a day it lasts %v, want %v", got, suspensionTimes[0])
		}
		time.Sleep(stallsForgotten)
		stall(c, box, 1)
		time.Sleep(stallsForgotten + time.Second)
		stall(c, box, 1)
		if !asked(c, box) {
			t.Error("suspended for two stalls a day apart")
		}
		c.Ban(box.ID, time.Hour)
		c.Ban(box.ID, 0)
		stall(c, box, 1)
		if !asked(c, box) {
			t.Error("an administrator's pardon leaves a stall")
		}
	})
}

// TestSuspensionsOfParties has a squatter and a liar at one network, and others who come
// from there.
func TestSuspensionsOfParties(t *testing.T) {
	t.Parallel()
	const there, elsewhere = 1, 2
	newcomer := at("newcomer", there)
	known, proven, member := at("known", there), at("proven", there), at("member", there)
	member.Member = true
	for _, tt := range []struct {
		name string
		do   func(c *Table)
		want time.Duration // how long the newcomer is not asked
	}{
		{"nobody stalled", func(*Table) {}, 0},
		{"a new peer stalled once", func(c *Table) { stall(c, at("squatter", there), 1) }, 0},
		{"a new peer stalled twice", func(c *Table) { stall(c, at("squatter", there), 2) }, suspensionTimes[0]},
		{"elsewhere", func(c *Table) { stall(c, at("squatter", elsewhere), 2) }, 0},
		{"an identity for each stall", func(c *Table) {
			stall(c, at("one", there), 1)
			stall(c, at("another", there), 1)
		}, suspensionTimes[0]},
		{"an identity for each suspension", func(c *Table) {
			for i := range 3 {
				stall(c, at(fmt.Sprint(i), there), 2)
				if i < 2 {
					suspended(c, newcomer)
				}
			}
		}, suspensionTimes[2]},
		{"one that sent a little before", func(c *Table) {
			squatter := at("squatter", there)
			c.Served(squatter, newUntil-1, time.Second)
			c.Right(squatter.ID, newUntil-1)
			stall(c, squatter, 2)
		}, suspensionTimes[0]},
		{"a known peer", func(c *Table) {
			squatter := at("squatter", there)
			c.Right(squatter.ID, newUntil)
			stall(c, squatter, 2)
		}, suspensionTimes[0]},
		{"a liar", func(c *Table) { c.Fault(at("liar", there), peer.Lied, "") }, banTimes[0]},
		{"a liar of old", func(c *Table) {
			for i := range 3 {
				if i > 0 {
					time.Sleep(banTimes[i-1])
				}
				c.Fault(at("liar", there), peer.Lied, "")
				c.Fault(at("liar", there), peer.Lied, "found out twice")
			}
		}, banTimes[2]},
		{"a liar that is pardoned", func(c *Table) {
			c.Fault(at("liar", there), peer.Lied, "")
			c.Ban("liar", 0)
		}, 0},
		{"a member", func(c *Table) {
			stall(c, Peer{ID: "m", Party: newcomer.Party, Member: true}, 2)
			c.Fault(Peer{ID: "m", Party: newcomer.Party, Member: true}, peer.Lied, "")
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := open(t, ds.NewMapDatastore())
				c.Right(known.ID, newUntil)
				c.Right(proven.ID, provenAt)
				tt.do(c)
				for _, p := range []Peer{known, proven, member, at("other", 3), {ID: "relayed"}} {
					if !asked(c, p) {
						t.Errorf("%s is suspended for another", p.ID)
					}
				}
				if got := suspended(c, newcomer); got != tt.want {
					t.Errorf("the newcomer is not asked for %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestHonestBoxesAreAskedAgain does anything but lie, at random: no peer is left out for
// longer than a suspension, one that does not stall for no longer than the first, and one
// that is only slow and has a record not at all.
func TestHonestBoxesAreAskedAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := open(t, ds.NewMapDatastore())
			slow, failing, stalling := at("slow", 1), at("failing", 2), at("stalling", 3)
			c.Right(slow.ID, provenAt)
			for range 200 {
				for _, p := range []Peer{slow, failing, stalling} {
					faults := map[string][]peer.Fault{"slow": {peer.Slow}, "failing": {peer.Slow, peer.Failed}, "stalling": {peer.Slow, peer.Stalled, peer.Failed}}[p.ID]
					switch random.IntN(4) {
					case 0:
						c.Served(p, random.Int64N(1<<20), time.Second)
					default:
						c.Fault(p, faults[random.IntN(len(faults))], "")
					}
				}
				if !asked(c, slow) {
					t.Fatalf("seed %d: a proven peer is left out for being slow", seed)
				}
				if random.IntN(10) == 0 {
					time.Sleep(time.Duration(random.Int64N(int64(2 * time.Minute))))
				}
			}
			time.Sleep(suspensionTimes[0] + time.Second)
			if !asked(c, failing) {
				t.Errorf("seed %d: a peer that did not stall is left out for more than %v", seed, suspensionTimes[0])
			}
			time.Sleep(suspensionTimes[len(suspensionTimes)-1] - suspensionTimes[0])
			if !asked(c, stalling) {
				t.Errorf("seed %d: a peer that did not lie is left out for more than %v", seed, suspensionTimes[len(suspensionTimes)-1])
			}
		})
	}
}

func TestSlowAHundredTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, ds.NewMapDatastore())
		box, proven := at("box", 1), at("proven", 1)
		c.Right(proven.ID, provenAt)
		for range 100 {
			c.Fault(box, peer.Slow, "")
			c.Fault(proven, peer.Slow, "")
		}
		if !asked(c, proven) {
			t.Error("a proven box is left out for being slow")
		}
		if got := suspended(c, box); got == 0 || got > suspensionTimes[0]+time.Second {
			t.Errorf("a box is left out for %v, want at most %v", got, suspensionTimes[0])
		}
	})
}

func TestStallsAreBounded(t *testing.T) {
	t.Parallel()
	c := open(t, ds.NewMapDatastore())
	squatter := at("squatter", 1)
	stall(c, squatter, 2)
	c.Right("proven", provenAt)
	for i := range max(maxStalls, maxPeers) + 100 {
		stall(c, Peer{ID: fmt.Sprint(i)}, 1)
	}
	if len(c.suspensions) != maxStalls || !c.Suspended(squatter) {
		t.Errorf("stalls of %d are remembered, want %d, the suspension among them", len(c.suspensions), maxStalls)
	}
	if len(c.scores) != maxPeers || !c.Proven("proven") {
		t.Errorf("%d boxes are remembered, want %d, the proven one among them", len(c.scores), maxPeers)
	}
}
