package swarm

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/peer"
)

// crowdOf is a full box's view of its neighbours.
type crowdOf struct {
	t    *testing.T
	most int
	now  time.Time
	all  []neighbour
}

// comes adds n boxes of a kind from the address, one a second, and has those go that
// must.
func (c *crowdOf) comes(n int, kind peer.Kind, addr string) (ids []p2p.ID) {
	c.t.Helper()
	for range n {
		c.now = c.now.Add(time.Second)
		id := p2p.ID(fmt.Sprint(addr, " ", c.now.Unix()))
		ids = append(ids, id)
		c.all = append(c.all, neighbour{id: id, kind: kind, at: partyOf(netip.MustParseAddr(addr)), since: c.now})
		c.shrink()
	}
	return ids
}

func (c *crowdOf) shrink() {
	c.t.Helper()
	for {
		id, ok := surplus(c.all, c.most, c.now)
		if !ok {
			break
		}
		c.all = slices.DeleteFunc(c.all, func(n neighbour) bool { return n.id == id })
	}
	strangers := 0
	for _, n := range c.all {
		if n.kind == peer.Stranger {
			strangers++
		}
	}
	if len(c.all) > c.most || strangers > c.most-c.most/reservedPart {
		c.t.Fatalf("%d neighbours, %d of them strangers", len(c.all), strangers)
	}
}

// here is how many of ids are neighbours.
func (c *crowdOf) here(ids ...p2p.ID) (n int) {
	for _, x := range c.all {
		if slices.Contains(ids, x.id) {
			n++
		}
	}
	return n
}

func (c *crowdOf) change(id p2p.ID, f func(*neighbour)) {
	for i := range c.all {
		if c.all[i].id == id {
			f(&c.all[i])
		}
	}
	c.shrink()
}

func newCrowd(t *testing.T, most int) *crowdOf {
	return &crowdOf{t: t, most: most, now: time.Unix(1e9, 0)}
}

const strangersAddr, siteAddr, otherAddr = "198.51.100.7", "10.1.2.3", "203.0.113.9"

func TestNeighboursAreCapped(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 7, 16, 64, 256} {
		for _, kind := range []peer.Kind{peer.Stranger, peer.Local, peer.Member} {
			c := newCrowd(t, most)
			c.comes(3*most, kind, siteAddr)
			want := most
			if kind == peer.Stranger {
				want -= most / reservedPart
			}
			if len(c.all) != want {
				t.Errorf("%d of %d boxes of kind %v are neighbours, want %d", len(c.all), 3*most, kind, want)
			}
		}
	}
}

// TestCrowdLeavesRoomForOthers has one address send many identities, and then a box
// come from another address and from the same one.
func TestCrowdLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	for _, kind := range []peer.Kind{peer.Stranger, peer.Local, peer.Member} {
		for _, addr := range []string{otherAddr, siteAddr} {
			c := newCrowd(t, 64)
			c.comes(300, kind, siteAddr)
			honest := c.comes(1, kind, addr)
			c.comes(5, kind, siteAddr)
			if c.here(honest...) != 1 {
				t.Errorf("a box of kind %v from %s has no place beside a crowd from %s", kind, addr, siteAddr)
			}
			c.comes(300, kind, siteAddr)
			if addr == otherAddr && c.here(honest...) != 1 {
				t.Errorf("a box of kind %v loses its place to the crowd of another address", kind)
			}
		}
	}
}

// TestKindsOfNeighbours has places go to members before local boxes and to those before
// strangers.
func TestKindsOfNeighbours(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 64)
	members := c.comes(4, peer.Member, siteAddr)
	locals := c.comes(4, peer.Local, siteAddr)
	c.comes(300, peer.Stranger, strangersAddr)
	more := c.comes(8, peer.Local, otherAddr)
	if c.here(members...) != 4 || c.here(locals...) != 4 || c.here(more...) != 8 {
		t.Error("strangers took the places of others")
	}
	c.comes(300, peer.Local, strangersAddr)
	if c.here(members...) != 4 || c.here(locals...) != 4 {
		t.Error("local boxes took the places of members, or of those of another address")
	}
	c.comes(300, peer.Member, otherAddr)
	if len(c.all) != c.here(members...)+60 {
		t.Error("members did not get all places")
	}
}

// TestNewcomers: a box that is full with settled strangers, or with local boxes, has
// places for some that it has not measured.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	for _, kind := range []peer.Kind{peer.Stranger, peer.Local} {
		c := newCrowd(t, 64)
		c.comes(300, kind, siteAddr)
		c.now = c.now.Add(newcomerFor)
		var newcomers []p2p.ID
		for i := range 64 / newcomersPart {
			newcomers = append(newcomers, c.comes(1, peer.Stranger, fmt.Sprintf("203.0.%d.1", i))...)
		}
		if n := c.here(newcomers...); n != len(newcomers) {
			t.Errorf("%d of %d newcomers have a place beside many of kind %v", n, len(newcomers), kind)
		}
		c.change(newcomers[0], func(n *neighbour) { n.kind = peer.Local })
		if c.here(newcomers[0]) != 1 {
			t.Errorf("a newcomer lost its place among those of kind %v when it proved to be local", kind)
		}
	}
}

// TestServingNeighboursStay: of a network's boxes, those that never sent anything go.
func TestServingNeighboursStay(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 64)
	all := c.comes(48, peer.Stranger, strangersAddr)
	c.now = c.now.Add(newcomerFor)
	serving := all[len(all)-10:] // the last to come would go first
	for _, id := range serving {
		c.change(id, func(n *neighbour) { n.serves = true })
	}
	c.comes(300, peer.Stranger, strangersAddr)
	if n := c.here(serving...); n != len(serving) {
		t.Errorf("%d of %d that serve have kept their places", n, len(serving))
	}
	if n := c.here(all[:30]...); n != 30 {
		t.Errorf("%d of the 30 that came first have kept their places", n)
	}
}

// watchNeighbours follows how many neighbours b has had at once, until ctx ends.
func watchNeighbours(ctx context.Context, b *box) *atomic.Int64 {
	var peak atomic.Int64
	go func() {
		for {
			changed := b.boxes.changed()
			peak.Store(max(peak.Load(), int64(b.boxes.count())))
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return &peak
}
