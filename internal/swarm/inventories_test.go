package swarm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func TestInventoriesMeet(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	neighbours := func() int { return len(taker.Seeds(d)) }
	until(t, "the addition of the blob", func() bool { return neighbours() == 1 })
	if got := taker.Seeds(d)[0]; got.ID() != giver.self().String() {
		t.Errorf("got %s, want the giver", got)
	}
	if info := taker.Peers(); info[0].Held != 1 {
		t.Errorf("Held is %d, want 1", info[0].Held)
	}
	giver.shelf.drop(d)
	until(t, "the removal of the blob", func() bool { return neighbours() == 0 })

	begun := time.Now()
	giver.Announce(d, true)
	for len(taker.Downloaders(d)) == 0 {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("no announcement of a download")
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("told of a download after %s", time.Since(begun))
	giver.Announce(d, false)
	until(t, "the end of the download", func() bool { return len(taker.Downloaders(d)) == 0 })

	giver.shelf.put([]byte("another"))
	giver.stop()
	until(t, "the inventory of a box that left to be forgotten", func() bool {
		return taker.inventories.held(giver.self()) == 0 && taker.inventories.entries.Free() == boundsOf(taker.options.Memory, 0).inventory
	})
}

// TestInventoryAfterReset breaks the stream: the writer must begin again.
func TestInventoryAfterReset(t *testing.T) {
	long(t)
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	until(t, "the blob", func() bool { return len(taker.Seeds(d)) == 1 })
	old := taker.inventories.of(giver.self())
	if err := old.reset(); err != nil {
		t.Fatal(err)
	}
	until(t, "another stream with the blob", func() bool {
		now := taker.inventories.of(giver.self())
		return now != nil && now != old && now.Count() == 1
	})
}

// TestFalseInventory lists what the box does not have.
func TestFalseInventory(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	var lies []digest.Digest
	for i := range 4 {
		d := digest.Of(randomBytes(100 + i))
		lies = append(lies, d)
		giver.inventories.journal.Take(peer.Event{Digest: d, Held: true})
	}
	until(t, "the false inventory", func() bool { return taker.inventories.held(giver.self()) == int64(len(lies)) })
	for i, d := range lies[:3] {
		if _, err := from.Open(t.Context(), d, peer.Request{}); err == nil {
			t.Fatal("the blob is there")
		}
		if len(taker.Seeds(d)) != 0 {
			t.Error("a box is named again for what it did not have")
		}
		if score := taker.reputation.Score(giver.self().String()); score > max(1/(1+float64(i+1)*2*0.9), 0.2) { // below which it is not asked
			t.Errorf("score %.2f after %d refusals", score, i+1)
		}
	}
	if testing.Short() {
		return
	}
	time.Sleep(5 * time.Second) // in which notices of their removal would have come
	if _, err := from.Open(t.Context(), lies[3], peer.Request{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what the giver does not have: %v", err)
	}
	if !taker.banned(giver.self()) {
		t.Error("not banned for an inventory that is false time and again")
	}
}

// TestGarbageInventory must end in a fault, not in a ban, and leave nothing.
func TestGarbageInventory(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	st, err := giver.host.NewStream(t.Context(), taker.self(), inventoryProtocol)
	if err != nil {
		t.Fatal(err)
	}
	st.Write(bytes.Repeat([]byte("garbage"), 100))
	until(t, "the fault", func() bool {
		return taker.reputation.Score(giver.self().String()) < 1
	})
	buf := make([]byte, 1)
	if _, err := st.Read(buf); !errors.Is(err, network.ErrReset) {
		t.Errorf("the stream: %v, want it reset", err)
	}
	if taker.banned(giver.self()) {
		t.Error("banned for garbage")
	}
}

// large is an Inventory of 200,000 blobs, which it lists again, with a few more
// at the end, each time that it is told. That takes 2 s, or 10 µs for each.
type large struct {
	*shelf
	again chan int // how many more
}

const largeBlobs = 200_000

func (l large) Watch(ctx context.Context, _ peer.Kind) iter.Seq[peer.Event] {
	return func(yield func(peer.Event) bool) {
		for more, pause := 0, time.Duration(0); ; pause = time.Millisecond {
			if !yield(peer.Event{Reset: true}) {
				return
			}
			for i := range largeBlobs + more {
				if !yield(peer.Event{Digest: nth(0, i), Size: 1, Held: true}) {
					return
				}
				if i%100 == 0 {
					time.Sleep(pause)
				}
			}
			if !yield(peer.Event{Synced: true}) {
				return
			}
			select {
			case more = <-l.again:
			case <-ctx.Done():
				return
			}
		}
	}
}

// sentBytes counts what goes out on inventory streams.
type sentBytes struct {
	metrics.Reporter
	n atomic.Int64
}

func (*sentBytes) LogSentMessage(int64) {}
func (*sentBytes) LogRecvMessage(int64) {}

func (s *sentBytes) LogSentMessageStream(n int64, p protocol.ID, _ p2p.ID) {
	if p == inventoryProtocol {
		s.n.Add(n)
	}
}
func (*sentBytes) LogRecvMessageStream(int64, protocol.ID, p2p.ID) {}

// TestLargeInventory is listed anew while a neighbour looks: nothing leaves its
// view, and only the difference is sent.
func TestLargeInventory(t *testing.T) {
	long(t)
	t.Parallel()
	const more = 5
	inventory := large{newShelf(), make(chan int)}
	sent := &sentBytes{}
	giver, taker, _ := pair(t, func(o *settings) {
		o.Inventory = inventory
		o.Network.Host = []libp2p.Option{libp2p.BandwidthReporter(sent)}
	})
	held := func() int64 { return taker.inventories.held(giver.self()) }
	until(t, "the first listing", func() bool { return held() == largeBlobs })
	time.Sleep(time.Second) // for what else may be sent
	before := sent.n.Load()
	t.Logf("the first listing took %d bytes", before)
	inventory.again <- more
	for begun := time.Now(); held() < largeBlobs+more; time.Sleep(time.Millisecond) {
		if n := held(); n < largeBlobs {
			t.Fatalf("after %s of another listing the neighbour sees %d blobs, want %d", time.Since(begun), n, largeBlobs)
		}
		if i := rand.IntN(largeBlobs); len(taker.Seeds(nth(0, i))) != 1 {
			t.Fatalf("blob %d left the neighbour's view", i)
		}
		if time.Since(begun) > patience {
			t.Fatal("the new blobs did not arrive")
		}
	}
	time.Sleep(time.Second)
	if n := sent.n.Load() - before; n > 500 {
		t.Errorf("%d bytes were sent for %d new blobs, want at most 500", n, more)
	}
}

// A box without neighbours says of nothing that it is the last copy: all would be.
func TestLastCopy(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d, absent := giver.shelf.put([]byte("a blob")), digest.Of([]byte("another"))
	until(t, "the neighbour's blob", func() bool { return !taker.LastCopy(d) && taker.LastCopy(absent) })
	giver.shelf.drop(d)
	until(t, "the neighbour to lose it", func() bool { return taker.LastCopy(d) })
	giver.stop()
	until(t, "the neighbour to leave", func() bool { return !taker.LastCopy(d) })
}
