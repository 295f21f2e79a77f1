package swarm

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
)

// newIDs makes peer IDs in ascending order.
func newIDs(tb testing.TB, n int) []p2p.ID {
	tb.Helper()
	ids := make([]p2p.ID, n)
	for i := range ids {
		var err error
		if ids[i], err = test.RandPeerID(); err != nil {
			tb.Fatal(err)
		}
	}
	slices.Sort(ids)
	return ids
}

// linksTo are direct links with all of ids.
func linksTo(ids ...p2p.ID) []link {
	links := make([]link, len(ids))
	for i, id := range ids {
		links[i] = link{id: id}
	}
	return links
}

func noAgent(p2p.ID) string { return "" }

func said(links []link) reply { return reply{time.Now(), true, links} }

// has reports whether g has the link.
func (g Graph) has(x, y p2p.ID) bool {
	a, b := min(x.String(), y.String()), max(x.String(), y.String())
	return slices.ContainsFunc(g.Links, func(l Link) bool { return l.A == a && l.B == b })
}

func TestDraw(t *testing.T) {
	t.Parallel()
	ids := newIDs(t, 6)
	self, near, far, mute, one, two := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]
	own := []link{{near, false, true, time.Millisecond}, {far, false, false, 30 * time.Millisecond}, {mute, true, false, 0}}
	longAgo := time.Now().Add(-10 * time.Second)
	g := draw(self, own, map[p2p.ID]reply{
		// This box's own measure of its links takes precedence.
		near: said([]link{{self, true, true, time.Hour}, {far, true, false, 0}, {mute, true, false, 0}, {one, false, true, 7 * time.Millisecond}}),
		far:  {longAgo, true, []link{{self, false, false, 0}, {near, false, false, 1500 * time.Microsecond}, {two, true, true, 0}}},
	}, func(id p2p.ID) string { return "agent " + id.String() })
	if want := len(ids); len(g.Nodes) != want || g.Cut {
		t.Errorf("%d nodes, want %d: %+v", len(g.Nodes), want, g)
	}
	for _, n := range g.Nodes {
		id, err := p2p.Decode(n.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := Node{ID: n.ID, Self: id == self, Connected: linked(own, id), Nearby: id == near || id == one}
		if want.Connected {
			want.Agent = "agent " + n.ID
		}
		if n != want {
			t.Errorf("node %+v, want %+v", n, want)
		}
	}
	for _, c := range []struct {
		a, b p2p.ID
		path string
		rtt  float64
	}{
		{self, near, "direct", 1}, {self, far, "direct", 30}, {self, mute, "relayed", 0},
		{near, far, "direct", 1.5}, {near, mute, "relayed", 0}, {near, one, "direct", 7}, {far, two, "relayed", 0},
	} {
		want := Link{min(c.a.String(), c.b.String()), max(c.a.String(), c.b.String()), c.path, c.rtt}
		if !slices.Contains(g.Links, want) {
			t.Errorf("no link %+v in %+v", want, g.Links)
		}
	}
	if len(g.Links) != 7 {
		t.Errorf("%d links, want 7: %+v", len(g.Links), g.Links)
	}
	if !slices.Equal(g.Silent, []string{mute.String()}) {
		t.Errorf("silent: %v", g.Silent)
	}
	if !g.Asked.Equal(longAgo) {
		t.Errorf("asked %v, want %v", g.Asked, longAgo)
	}
}

func TestDrawAlone(t *testing.T) {
	t.Parallel()
	self := newIDs(t, 1)[0]
	g := draw(self, nil, nil, noAgent)
	if len(g.Nodes) != 1 || !g.Nodes[0].Self || g.Links == nil || g.Silent == nil || time.Since(g.Asked) > time.Minute {
		t.Errorf("%+v", g)
	}
}

// A link that its other end denies is left out.
func TestDrawDisagreement(t *testing.T) {
	t.Parallel()
	ids := newIDs(t, 4+maxLinks)
	self, liar, honest, full := ids[0], ids[1], ids[2], ids[3]
	own := linksTo(liar, honest, full)
	g := draw(self, own, map[p2p.ID]reply{
		liar:   said(linksTo(honest, full)),
		honest: said(linksTo(self)),
		full:   said(linksTo(ids[4:]...)), // may have more links
	}, noAgent)
	if g.has(liar, honest) {
		t.Error("the liar is linked with a box that denies it")
	}
	if !g.has(liar, full) {
		t.Error("a box with a full list is taken to deny further links")
	}
}

// Boxes that report the maximum of links crowd out neither this box's own links,
// nor those among the connected boxes, nor the only link of another box.
func TestDrawBounds(t *testing.T) {
	t.Parallel()
	const boastful = 20
	ids := newIDs(t, 2+boastful)
	self, modest, friend := ids[0], ids[len(ids)-1], newIDs(t, 1)[0]
	own := linksTo(ids[1:]...)
	answers := map[p2p.ID]reply{modest: said(linksTo(friend))}
	for _, id := range ids[1 : len(ids)-1] {
		answers[id] = said(linksTo(newIDs(t, maxLinks)...))
	}
	g := draw(self, own, answers, noAgent)
	if !g.Cut || len(g.Nodes) != maxNodes {
		t.Errorf("cut %t, %d nodes", g.Cut, len(g.Nodes))
	}
	if !g.has(modest, friend) {
		t.Error("the modest box's friend was crowded out")
	}
	for _, l := range own {
		if !g.has(self, l.id) {
			t.Errorf("the link with %s was crowded out", l.id)
		}
	}
	// All of 128 connected with all: 8256 links with this box's own.
	ids = newIDs(t, 1+maxAsked)
	own, answers = linksTo(ids[1:]...), make(map[p2p.ID]reply)
	for i, id := range ids {
		answers[id] = said(linksTo(slices.Concat(ids[:i], ids[i+1:])...))
	}
	g = draw(ids[0], own, answers, noAgent)
	if !g.Cut || len(g.Links) != maxGraphLinks || len(g.Nodes) != len(ids) || len(g.Silent) != 0 {
		t.Errorf("cut %t, %d links of %d nodes, %d silent", g.Cut, len(g.Links), len(g.Nodes), len(g.Silent))
	}
	for _, l := range own {
		if !g.has(ids[0], l.id) {
			t.Errorf("the link with %s was crowded out", l.id)
		}
	}
	// More connections than there may be nodes.
	ids = newIDs(t, 2*maxNodes)
	g = draw(ids[0], linksTo(ids[1:]...), nil, noAgent)
	if !g.Cut || len(g.Nodes) != maxNodes || len(g.Silent) != maxNodes-1 {
		t.Errorf("cut %t, %d nodes, %d silent", g.Cut, len(g.Nodes), len(g.Silent))
	}
}

// BenchmarkDraw draws the longest answers of 128 boxes.
func BenchmarkDraw(b *testing.B) {
	ids := newIDs(b, 1+maxAsked)
	answers := make(map[p2p.ID]reply)
	for _, id := range ids[1:] {
		answers[id] = said(linksTo(newIDs(b, maxLinks)...))
	}
	for b.Loop() {
		draw(ids[0], linksTo(ids[1:]...), answers, noAgent)
	}
}

// BenchmarkGraph asks 49 boxes that report a link to every other.
func BenchmarkGraph(b *testing.B) {
	const others = 49
	middle, ends := hub(b, others)
	ids := []p2p.ID{middle.self()}
	for _, e := range ends {
		ids = append(ids, e.self())
	}
	slices.Sort(ids)
	var sent atomic.Int64
	for i, id := range ids {
		if id == middle.self() {
			continue
		}
		answer := appendLinks(nil, linksTo(slices.Concat(ids[:i], ids[i+1:])...))
		e := ends[slices.IndexFunc(ends, func(e *box) bool { return e.self() == id })]
		e.host.SetStreamHandler(linksProtocol, func(st network.Stream) {
			n, _ := st.Write(answer)
			st.Close()
			sent.Add(int64(n))
		})
	}
	for b.Loop() {
		middle.links.forget()
		if g := middle.Graph(); len(g.Links) != (others+1)*others/2 {
			b.Fatal(g)
		}
	}
	b.ReportMetric(float64(sent.Load())/float64(b.N), "B/op-sent")
}

// forget makes the next gather ask all boxes, and lets all boxes ask again.
func (l *links) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.answers)
	clear(l.served)
}

func (g Graph) String() string {
	return fmt.Sprintf("%d nodes, links %v, silent %v", len(g.Nodes), g.Links, g.Silent)
}
