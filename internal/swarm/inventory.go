package swarm

import (
	"fmt"
	"sync"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// inventory is what one box said. One goroutine writes it.
type inventory struct {
	owner *inventories
	id    p2p.ID
	stop  func() error // resets the stream

	next    uint64   // number of the change that must come next
	listing []uint64 // read so far of a listing that is not over
	listed  bool     // a listing is being read

	mu        sync.Mutex // guards the fields below
	held      prefixSet
	room      int64 // entries that it may still have
	entries   int64 // members of held
	downloads map[uint64]struct{}
}

// take applies a frame.
func (n *inventory) take(f *frame) error {
	if f.listing {
		return n.takeListing(f)
	}
	if n.listed || f.from != n.next {
		return fmt.Errorf("%w: changes from %d, want them from %d", errFrame, f.from, n.next)
	}
	n.next = f.to
	n.mu.Lock()
	for _, x := range f.came {
		if !n.held.has(x) && n.claim(1) == 1 {
			n.held.set(x, true)
			n.entries++
		}
	}
	for _, x := range f.went {
		if n.held.set(x, false) {
			n.entries--
			n.release(1)
		}
	}
	for _, x := range f.begun {
		if len(n.downloads) < maxDownloads {
			n.downloads[x] = struct{}{}
		}
	}
	for _, x := range f.ended {
		delete(n.downloads, x)
	}
	n.mu.Unlock()
	n.owner.settle(n.id, f.came, f.went, f.begun)
	return nil
}

// takeListing gathers a listing; the one before counts until it is whole.
func (n *inventory) takeListing(f *frame) error {
	if f.first {
		n.drop()
		n.listed, n.next = true, f.number
	}
	last := uint64(0)
	if len(n.listing) > 0 {
		last = n.listing[len(n.listing)-1]
	}
	if !n.listed || f.number != n.next || (len(n.listing) > 0 && len(f.listed) > 0 && f.listed[0] <= last) {
		return fmt.Errorf("%w: a listing out of order", errFrame)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listing = append(n.listing, f.listed[:n.claim(len(f.listed))]...)
	if f.last {
		n.release(n.entries)
		n.held, n.entries = prefixSet{sorted: n.listing}, int64(len(n.listing))
		clear(n.downloads)
		n.listing, n.listed = nil, false
	}
	return nil
}

// drop gives up a listing that is not over.
func (n *inventory) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release(int64(len(n.listing)))
	n.listing, n.listed = nil, false
}

// claim takes room for up to want entries and returns for how many there was.
func (n *inventory) claim(want int) int {
	got := min(int64(want), n.room)
	if left := n.owner.room.Add(-got); left < 0 {
		back := min(-left, got)
		n.owner.room.Add(back)
		got -= back
	}
	n.room -= got
	return int(got)
}

func (n *inventory) release(entries int64) {
	n.room += entries
	n.owner.room.Add(entries)
}

// close gives all room back.
func (n *inventory) close() {
	n.drop()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release(n.entries)
	n.held, n.entries = prefixSet{}, 0
	clear(n.downloads)
}

func (n *inventory) has(x uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held.has(x)
}

func (n *inventory) downloading(x uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.downloads[x]
	return ok
}

func (n *inventory) count() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.entries
}

// refused is called when id answered 404 for d. It returns the fault that this
// is, if it is one: a listed blob may have gone while the word of it was on its
// way, but not time and again. A download that ended is no fault.
func (v *inventories) refused(id p2p.ID, d digest.Digest) (f peer.Fault, why string) {
	x, now := prefixOf(d), time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	inv := v.boxes[id]
	if inv == nil {
		return peer.None, ""
	}
	listed := inv.has(x)
	if !listed && !inv.downloading(x) {
		return peer.None, ""
	}
	untrue := 0
	for doubt, at := range v.doubts {
		switch age := now.Sub(at); {
		case age >= doubtFor || (len(v.doubts) >= maxDoubts && doubt.id != id):
			delete(v.doubts, doubt)
		case doubt.id == id && age >= doubtGrace && inv.has(doubt.prefix):
			untrue++
		}
	}
	if len(v.doubts) < maxDoubts {
		v.doubts[doubt{id, x}] = now
	}
	switch {
	case !listed:
		return peer.None, ""
	case untrue >= manyDoubts:
		return peer.Lied, fmt.Sprintf("does not have %d blobs that its inventory lists", untrue+1)
	}
	return peer.Failed, "does not have " + d.Short() + ", which its inventory lists"
}

// doubted tells whether id did not have x within the last within. It is called
// with mu held.
func (v *inventories) doubted(id p2p.ID, x uint64, within time.Duration) bool {
	if len(v.doubts) == 0 {
		return false
	}
	at, ok := v.doubts[doubt{id, x}]
	return ok && time.Since(at) < within
}

// settle ends the doubts on what id has spoken about anew.
func (v *inventories) settle(id p2p.ID, lists ...[]uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.doubts) == 0 {
		return
	}
	for _, list := range lists {
		for _, x := range list {
			delete(v.doubts, doubt{id, x})
		}
	}
}
