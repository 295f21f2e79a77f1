package swarm

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

func TestInventoriesMeet(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	neighbours := func() int { return len(taker.Seeds(d)) }
	until(t, "the word that the blob came", func() bool { return neighbours() == 1 })
	if got := taker.Seeds(d)[0]; got.ID() != giver.self().String() {
		t.Errorf("got %s, want the giver", got)
	}
	if info := taker.Peers(); info[0].Held != 1 {
		t.Errorf("Held is %d, want 1", info[0].Held)
	}
	giver.shelf.drop(d)
	until(t, "the word that the blob went", func() bool { return neighbours() == 0 })

	begun := time.Now()
	giver.Announce(d, true)
	for len(taker.Downloaders(d)) == 0 {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("no word of a download")
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("told of a download after %s", time.Since(begun))
	giver.Announce(d, false)
	until(t, "the word that the download ended", func() bool { return len(taker.Downloaders(d)) == 0 })

	giver.shelf.put([]byte("another"))
	giver.stop()
	until(t, "the inventory of a box that left to be forgotten", func() bool {
		return taker.inventories.held(giver.self()) == 0 && taker.inventories.budget.Free() == taker.options.Memory/inventoryShare/8
	})
}

// TestInventoryAfterReset breaks the stream: the writer must begin again.
func TestInventoryAfterReset(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	until(t, "the blob", func() bool { return len(taker.Seeds(d)) == 1 })
	old := taker.inventories.of(giver.self())
	old.reset()
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
		if score := taker.reputation.Score(giver.self().String()); score > 1/(1+float64(i+1)*2*0.9) {
			t.Errorf("score %.2f after %d refusals", score, i+1)
		}
	}
	if testing.Short() {
		return
	}
	time.Sleep(5 * time.Second) // in which notices of their removal would have come
	from.Open(t.Context(), lies[3], peer.Request{})
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
