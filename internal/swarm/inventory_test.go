package swarm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// numberedDigest has x as its prefix.
func numberedDigest(x uint64) (d digest.Digest) {
	binary.BigEndian.PutUint64(d[:], x)
	return d
}

func hold(x uint64) Holding { return Holding{Digest: numberedDigest(x), Held: true} }
func miss(x uint64) Holding { return Holding{Digest: numberedDigest(x)} }

// reader is an inventory that a test feeds.
func reader(memory int64) *inventory {
	s := &Swarm{options: Options{Memory: memory}}
	s.inventories = newInventories(s)
	return &inventory{owner: s.inventories, room: maxEntries, downloads: make(map[uint64]struct{})}
}

// through sends frames over the wire to n.
func through(t *testing.T, n *inventory, frames []frame) {
	t.Helper()
	var wire []byte
	for _, f := range frames {
		wire = f.append(wire)
	}
	r := bufio.NewReader(bytes.NewReader(wire))
	for {
		f, err := readFrame(r)
		if err == io.EOF {
			return
		}
		if err == nil {
			err = n.take(f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (n *inventory) all() []uint64 { return n.held.list() }

func TestPrefixSet(t *testing.T) {
	t.Parallel()
	var s prefixSet
	model := make(map[uint64]bool)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		x, in := r.Uint64N(20_000), r.IntN(3) > 0
		if got, want := s.set(x, in), model[x] != in; got != want {
			t.Fatalf("step %d: set(%d, %t) = %t, want %t", i, x, in, got, want)
		}
		if in {
			model[x] = true
		} else {
			delete(model, x)
		}
		if y := r.Uint64N(20_000); s.has(y) != model[y] {
			t.Fatalf("step %d: has(%d) = %t", i, y, s.has(y))
		}
	}
	list := s.list()
	if len(list) != len(model) || !slices.IsSorted(list) {
		t.Errorf("%d members, want %d in order", len(list), len(model))
	}
}

// TestJournal follows a journal with a reader that is always there, one that
// looks now and then, and one that comes at the end: all must agree.
func TestJournal(t *testing.T) {
	t.Parallel()
	j := newJournal()
	r := rand.New(rand.NewPCG(3, 4))
	type follower struct {
		*inventory
		at    uint64
		every int
	}
	followers := []*follower{{reader(0), 0, 1}, {reader(0), 0, 977}, {reader(0), 0, 90_000}}
	for i := range 100_000 {
		switch x := r.Uint64N(30_000); {
		case i == 60_000:
			j.hold(Holding{Reset: true})
		case r.IntN(3) > 0:
			j.hold(hold(x))
		default:
			j.hold(miss(x))
		}
		if i%100 == 0 {
			j.download(numberedDigest(uint64(i%1000)), i%300 == 0)
		}
		for _, f := range followers {
			if i%f.every == 0 || i == 99_999 {
				var frames []frame
				frames, f.at, _ = j.since(f.at)
				through(t, f.inventory, frames)
			}
		}
	}
	for _, f := range followers {
		if !slices.Equal(f.all(), j.held.list()) {
			t.Errorf("every %d: %d entries, want %d", f.every, len(f.all()), len(j.held.list()))
		}
		if int(f.count()) != len(f.all()) {
			t.Errorf("every %d: counts %d entries, has %d", f.every, f.count(), len(f.all()))
		}
		for x := range j.downloads {
			if !f.downloading(x) {
				t.Errorf("every %d: download %d is missing", f.every, x)
			}
		}
		if len(f.downloads) != len(j.downloads) {
			t.Errorf("every %d: %d downloads, want %d", f.every, len(f.downloads), len(j.downloads))
		}
		room := f.owner.room.Load()
		f.close()
		if back := f.owner.room.Load(); back-room != int64(len(j.held.list())) || f.room != maxEntries {
			t.Errorf("every %d: closing gave back %d entries, want %d", f.every, back-room, len(j.held.list()))
		}
	}
}

// TestJournalWire keeps an eye on the size of a listing.
func TestJournalWire(t *testing.T) {
	t.Parallel()
	j := newJournal()
	r := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		j.hold(hold(r.Uint64()))
	}
	frames, _, _ := j.since(0)
	size := 0
	for _, f := range frames {
		size += len(f.append(nil))
	}
	if size > 1_600_000 {
		t.Errorf("200,000 blobs are listed in %d bytes, want at most 1.6 MB", size)
	}
}

func TestPublishing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		go j.publishing(t.Context())
		told := func() time.Duration {
			_, _, more := j.since(j.next)
			begun := time.Now()
			<-more
			return time.Since(begun)
		}
		go j.hold(hold(1))
		if got := told(); got != gather {
			t.Errorf("a blob is told of after %s, want %s", got, gather)
		}
		go j.download(numberedDigest(1), true)
		if got := told(); got != 0 {
			t.Errorf("a download is told of after %s, want at once", got)
		}
		synctest.Wait()
		time.Sleep(gather)
		synctest.Wait()
		go j.download(numberedDigest(1), false)
		if got := told(); got != gather {
			t.Errorf("the end of a download is told of after %s, want %s", got, gather)
		}
	})
}

func TestInventoryBounds(t *testing.T) {
	t.Parallel()
	const room = 1000
	n := reader(room * entriesMemory * entrySize)
	var list []uint64
	for i := range uint64(3000) {
		list = append(list, 2*i)
	}
	through(t, n, []frame{{listing: true, first: true, last: true, number: 5, listed: list}})
	if n.count() != room {
		t.Errorf("a listing of %d left %d entries, want %d", len(list), n.count(), room)
	}
	through(t, n, []frame{{from: 5, to: 8, came: []uint64{1, 3, 5}}})
	if n.count() != room || n.has(1) {
		t.Errorf("%d entries after three more, want %d", n.count(), room)
	}
	through(t, n, []frame{{from: 8, to: 11, went: []uint64{0, 2, 5998}}, {from: 11, to: 12, came: []uint64{1}}})
	if n.count() != room-1 || !n.has(1) || n.has(0) {
		t.Errorf("%d entries after two went and one came, want %d", n.count(), room-1)
	}
	var begun []uint64
	for i := range uint64(maxDownloads) {
		begun = append(begun, i)
	}
	through(t, n, []frame{{from: 12, to: 12, begun: begun}, {from: 12, to: 12, begun: []uint64{1 << 60}}})
	if len(n.downloads) != maxDownloads {
		t.Errorf("%d downloads, want at most %d", len(n.downloads), maxDownloads)
	}
}

func TestInventoryOrder(t *testing.T) {
	t.Parallel()
	full := frame{listing: true, first: true, last: true, number: 5, listed: []uint64{1}}
	for _, c := range []struct {
		name   string
		frames []frame
	}{
		{"changes before a listing", []frame{{from: 5, to: 6}}},
		{"a gap", []frame{full, {from: 6, to: 7}}},
		{"a repetition", []frame{full, {from: 5, to: 6}, {from: 5, to: 6}}},
		{"changes within a listing", []frame{{listing: true, first: true, number: 5}, {from: 5, to: 6}}},
		{"a listing without a beginning", []frame{{listing: true, last: true, number: 5}}},
		{"a listing of two numbers", []frame{{listing: true, first: true, number: 5}, {listing: true, last: true, number: 6}}},
		{"a listing that goes back", []frame{{listing: true, first: true, number: 5, listed: []uint64{7}}, {listing: true, last: true, number: 5, listed: []uint64{7}}}},
	} {
		n := reader(0)
		var err error
		for _, f := range c.frames {
			if err = n.take(&f); err != nil {
				break
			}
		}
		if !errors.Is(err, errFrame) {
			t.Errorf("%s: %v, want %v", c.name, err, errFrame)
		}
	}
}

func TestInventoriesMeet(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	neighbours := func() int { return len(taker.Neighbours(d)) }
	until(t, "the word that the blob came", func() bool { return neighbours() == 1 })
	if got := taker.Neighbours(d)[0]; got.id != giver.self() {
		t.Errorf("got %s, want the giver", got)
	}
	if info := taker.Peers(); info[0].Held != 1 {
		t.Errorf("Held is %d, want 1", info[0].Held)
	}
	giver.shelf.drop(d)
	until(t, "the word that the blob went", func() bool { return neighbours() == 0 })

	begun := time.Now()
	giver.Announce(d, true)
	for len(taker.Downloading(d)) == 0 {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("no word of a download")
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("told of a download after %s", time.Since(begun))
	giver.Announce(d, false)
	until(t, "the word that the download ended", func() bool { return len(taker.Downloading(d)) == 0 })

	giver.shelf.put([]byte("another"))
	giver.stop()
	until(t, "the inventory of a box that left to be forgotten", func() bool {
		return taker.inventories.held(giver.self()) == 0 && taker.inventories.room.Load() == taker.options.Memory/entriesMemory/entrySize
	})
}

// TestInventoryAfterReset breaks the stream: the writer must begin again.
func TestInventoryAfterReset(t *testing.T) {
	t.Parallel()
	giver, taker, _ := pair(t, nil)
	d := giver.shelf.put([]byte("a blob"))
	until(t, "the blob", func() bool { return len(taker.Neighbours(d)) == 1 })
	taker.inventories.mu.Lock()
	old := taker.inventories.boxes[giver.self()]
	taker.inventories.mu.Unlock()
	old.stop()
	until(t, "another stream with the blob", func() bool {
		taker.inventories.mu.Lock()
		defer taker.inventories.mu.Unlock()
		now := taker.inventories.boxes[giver.self()]
		return now != nil && now != old && now.count() == 1
	})
}

// TestFalseInventory lists what the box does not have.
func TestFalseInventory(t *testing.T) {
	t.Parallel()
	giver, taker, from := pair(t, nil)
	lies := make([]digest.Digest, manyDoubts+1)
	for i := range lies {
		lies[i] = digest.Of(randomBytes(100 + i))
		giver.inventories.journal.hold(Holding{Digest: lies[i], Held: true})
	}
	until(t, "the false inventory", func() bool { return taker.inventories.held(giver.self()) == int64(len(lies)) })
	for i, d := range lies[:manyDoubts] {
		if _, err := from.Open(t.Context(), d, Request{}); err == nil {
			t.Fatal("the blob is there")
		}
		if len(taker.Neighbours(d)) != 0 {
			t.Error("a box is named again for what it did not have")
		}
		if score := taker.reputation.Score(giver.self().String()); score > 1/(1+float64(i+1)*2*0.9) {
			t.Errorf("score %.2f after %d refusals", score, i+1)
		}
	}
	taker.inventories.mu.Lock()
	for k, at := range taker.inventories.doubts {
		taker.inventories.doubts[k] = at.Add(-doubtGrace)
	}
	taker.inventories.mu.Unlock()
	from.Open(t.Context(), lies[manyDoubts], Request{})
	if !taker.banned(giver.self()) {
		t.Error("not banned for an inventory that is false time and again")
	}
}

// TestLateInventory is no lie: the word that a blob went was on its way.
func TestLateInventory(t *testing.T) {
	t.Parallel()
	s := &Swarm{}
	s.inventories = newInventories(s)
	n := reader(0)
	n.owner = s.inventories
	s.inventories.boxes[""] = n
	through(t, n, []frame{{listing: true, first: true, last: true, number: 1, listed: []uint64{1, 2, 3, 4, 5, 6, 7, 8}}})
	for x := range uint64(8) {
		if f, _ := s.inventories.refused("", numberedDigest(x+1)); f != peer.Failed {
			t.Errorf("refusal %d is %v, want Failed", x, f)
		}
		through(t, n, []frame{{from: x + 1, to: x + 2, went: []uint64{x + 1}}})
		for k, at := range s.inventories.doubts {
			s.inventories.doubts[k] = at.Add(-doubtGrace)
		}
	}
	if f, _ := s.inventories.refused("", numberedDigest(1)); f != peer.None {
		t.Error("to refuse what is no longer listed is a fault")
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

func FuzzFrame(f *testing.F) {
	for _, seed := range []frame{
		{listing: true, first: true, last: true, number: 1, listed: []uint64{1, 2, 1 << 63}},
		{from: 1, to: 9, came: []uint64{1}, went: []uint64{2, 5}, begun: []uint64{0}, ended: []uint64{3}},
	} {
		f.Add(seed.append(nil))
	}
	f.Add([]byte{changesFrame, 3, 1, 1, 255})
	f.Add([]byte{listingFrame, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again, err := readFrame(bufio.NewReader(bytes.NewReader(got.append(nil))))
		if err != nil || !slices.Equal(again.listed, got.listed) || !slices.Equal(again.came, got.came) || again.to != got.to {
			t.Errorf("%+v becomes %+v, %v", got, again, err)
		}
		for _, list := range [][]uint64{got.listed, got.came, got.went, got.begun, got.ended} {
			if !slices.IsSorted(list) {
				t.Errorf("%v is out of order", list)
			}
		}
		n := reader(0)
		n.next = got.from
		n.take(got)
	})
}

// TestDownloadNotThereYet is no fault either, and is asked again soon.
func TestDownloadNotThereYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Swarm{reputation: openReputation(t), rtts: newRTTs(nil)}
		s.inventories = newInventories(s)
		n := reader(0)
		s.inventories.boxes[""] = n
		through(t, n, []frame{{listing: true, first: true, last: true, number: 1}, {from: 1, to: 2, begun: []uint64{1}}})
		d := numberedDigest(1)
		if len(s.Downloading(d)) != 1 {
			t.Fatal("the download is not known")
		}
		if f, _ := s.inventories.refused("", d); f != peer.None {
			t.Error("a fault")
		}
		if len(s.Downloading(d)) != 0 {
			t.Error("asked again at once")
		}
		time.Sleep(doubtGrace)
		if len(s.Downloading(d)) != 1 {
			t.Errorf("not asked again after %s", doubtGrace)
		}
	})
}
