package swarm

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// neighbours are a box and three others that it dialled: two at the same address, and a
// witness at another one.
type neighbours struct{ box, one, another, witness *box }

func meetNeighbours(t *testing.T, kind peer.Kind) neighbours {
	t.Helper()
	var key []byte
	if kind == peer.Member {
		key = NewKey()
	}
	at := func(ip string) *box {
		return newBox(t, func(o *settings) { o.Key, o.Listen = key, []string{"/ip4/" + ip + "/tcp/0"} }).run(t)
	}
	n := neighbours{one: at(apart), another: at(apart), witness: at("127.0.0.3")}
	n.box = newBox(t, func(o *settings) {
		o.Key, o.Bootstrap = key, []string{n.one.dialled(), n.another.dialled(), n.witness.dialled()}
		o.AllowClients = func(ip netip.Addr) bool { return kind != peer.Stranger || ip.String() != apart }
	}).run(t)
	for _, b := range []*box{n.one, n.another, n.witness} {
		until(t, "a neighbour", func() bool { return n.box.knows(b) })
	}
	if got := n.box.kind(n.one.self()); got != kind {
		t.Fatalf("the neighbour is a %v, want a %v", got, kind)
	}
	return n
}

// of returns b as the box knows it.
func (n neighbours) of(b *box) *remote { return n.box.peer(b.self()) }

// owns reports whether the box would ask b to fetch any of many files.
func (n neighbours) owns(b *box) bool {
	for i := range 100 {
		if slices.ContainsFunc(n.box.Owners(digest.Of(numbered(i))), func(p peer.Peer) bool { return p.ID() == b.self().String() }) {
			return true
		}
	}
	return false
}

// prove has b send n bytes of files that turn out right.
func (n neighbours) prove(b *box, bytes int64) {
	n.of(b).Report(peer.Outcome{Bytes: bytes, Took: time.Second})
	n.of(b).Report(peer.Outcome{Right: bytes})
}

const recordOfProven = 64 << 20 // as reputation has it

// squat has b accept requests and send nothing.
func (n neighbours) squat(b *box) {
	for range 2 {
		n.of(b).Report(peer.Outcome{Fault: peer.Stalled, Why: "sent nothing"})
	}
}

// TestSquatter: a box that keeps the site waiting is asked no more, and neither is what
// comes from its address, but for boxes that have a record.
func TestSquatter(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Local)
	if !n.owns(n.one) || !n.owns(n.another) {
		t.Fatal("a local box is no owner from the start")
	}
	n.of(n.one).Report(peer.Outcome{Fault: peer.Stalled, Why: "sent nothing"})
	if !n.owns(n.one) {
		t.Error("a box that stalled once is no owner")
	}
	n.of(n.one).Report(peer.Outcome{Fault: peer.Stalled, Why: "sent nothing"})
	if n.owns(n.one) {
		t.Error("a box that stalled twice is an owner")
	}
	if n.owns(n.another) {
		t.Error("another identity at its address is an owner")
	}
	if !n.owns(n.witness) {
		t.Error("a box elsewhere is no owner")
	}
	n.prove(n.another, recordOfProven)
	if !n.owns(n.another) {
		t.Error("a proven box at its address is no owner")
	}
}

// TestHungUpSquatter: to leave before the stall is reported is of no use.
func TestHungUpSquatter(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Local)
	from := n.of(n.one)
	n.one.stop()
	until(t, "the end of the connection", func() bool { return n.box.direct(n.one.self()) == nil })
	for range 2 {
		from.Report(peer.Outcome{Fault: peer.Stalled, Why: "sent nothing"})
	}
	if n.owns(n.another) {
		t.Error("the next identity at its address is an owner")
	}
}

// TestLiarsAddress: after a lie whoever comes from the same address is not asked.
func TestLiarsAddress(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Local)
	n.of(n.one).Report(peer.Outcome{Fault: peer.Lied, Why: "wrong bytes"})
	if n.owns(n.another) || !n.owns(n.witness) {
		t.Errorf("at the address of a liar: %v, elsewhere: %v; want only the latter an owner", n.owns(n.another), n.owns(n.witness))
	}
}

// TestMemberBesideASquatter: members stand for themselves.
func TestMemberBesideASquatter(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Member)
	n.squat(n.one)
	if n.owns(n.one) || !n.owns(n.another) {
		t.Errorf("the one that stalled: %v, a member at its address: %v; want only the latter an owner", n.owns(n.one), n.owns(n.another))
	}
}

// TestStrangersWhoServed: a stranger at this site becomes an owner by its record, and is
// none after a lie.
func TestStrangersWhoServed(t *testing.T) {
	t.Parallel()
	n := meetNeighbours(t, peer.Stranger)
	n.prove(n.one, recordOfProven-1)
	if n.owns(n.one) {
		t.Error("a stranger is an owner with less than the record that it takes")
	}
	if got, want := n.of(n.one).Standing(), (peer.Standing{Party: apart + "/32"}); got != want {
		t.Errorf("its standing is %+v, want %+v", got, want)
	}
	n.prove(n.one, 1)
	if !n.owns(n.one) || n.owns(n.another) {
		t.Errorf("a proven stranger: %v, another: %v; want only the former an owner", n.owns(n.one), n.owns(n.another))
	}
	if got, want := n.of(n.one).Standing(), (peer.Standing{Proven: true, Party: apart + "/32"}); got != want {
		t.Errorf("its standing is %+v, want %+v", got, want)
	}
	d := n.one.shelf.put([]byte("a blob"))
	found := func() (any bool) {
		for p := range n.box.Find(t.Context(), d) {
			any = any || p.ID() == n.one.self().String()
		}
		return any
	}
	until(t, "the stranger is found", found)
	n.squat(n.one)
	if n.owns(n.one) {
		t.Error("a proven stranger that stalled twice is an owner")
	}
	if found() {
		t.Error("a stranger that stalled twice is found")
	}
	n.of(n.one).Report(peer.Outcome{Fault: peer.Lied, Why: "wrong bytes"})
	if n.of(n.one).Standing().Proven {
		t.Error("proven after a lie")
	}
}
