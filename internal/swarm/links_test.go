package swarm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// hub runs a box and n others that are connected only with it.
func hub(t testing.TB, n int) (middle *box, ends []*box) {
	t.Helper()
	middle = newBox(t, nil).run(t)
	for range n {
		ends = append(ends, newBox(t, func(o *settings) {
			o.Mode, o.Bootstrap = Client, []string{middle.dialled()}
		}).run(t))
	}
	for _, e := range ends {
		until(t, "each end and the middle know that the other speaks linksProtocol", func() bool {
			there, err1 := e.host.Peerstore().SupportsProtocols(middle.self(), linksProtocol)
			here, err2 := middle.host.Peerstore().SupportsProtocols(e.self(), linksProtocol)
			return err1 == nil && err2 == nil && len(there) == 1 && len(here) == 1 &&
				e.knows(middle) && middle.knows(e) && middle.boxes.count() == n
		})
	}
	return middle, ends
}

// completeGraph returns the graph once all boxes have answered; on a busy machine
// the first answers may come too late.
func (b *box) completeGraph(t testing.TB) (g Graph) {
	t.Helper()
	until(t, "all boxes have answered", func() bool {
		g = b.Graph()
		return len(g.Silent) == 0
	})
	return g
}

func TestGraph(t *testing.T) {
	t.Parallel()
	middle, ends := hub(t, 2)
	a, b := ends[0], ends[1]
	for name, x := range map[string]*box{"middle": middle, "end": a} {
		g := x.completeGraph(t)
		if len(g.Nodes) != 3 || len(g.Links) != 2 || len(g.Silent) != 0 || g.Cut {
			t.Errorf("%s: %v", name, g)
		}
		if !g.has(middle.self(), a.self()) || !g.has(middle.self(), b.self()) || g.has(a.self(), b.self()) {
			t.Errorf("%s: %v", name, g)
		}
		for _, n := range g.Nodes {
			if n.Self != (n.ID == x.self().String()) || n.Connected == (n.ID == b.self().String() && x == a || n.Self) {
				t.Errorf("%s: %+v", name, n)
			}
			if n.Connected && n.Agent != "millpond/test" || !n.Self && !n.Nearby {
				t.Errorf("%s: %+v", name, n)
			}
		}
	}
}

func TestGraphOfOneBox(t *testing.T) {
	t.Parallel()
	b := newBox(t, nil)
	if g := b.Graph(); len(g.Nodes) != 1 {
		t.Errorf("before Run: %v", g)
	}
	b.run(t).stop()
	if g := b.Graph(); len(g.Nodes) != 1 {
		t.Errorf("after Close: %v", g)
	}
}

// Concurrent calls of Graph send one request to each box, and later calls use
// its answer.
func TestBoxesAreAskedSeldom(t *testing.T) {
	t.Parallel()
	middle, ends := hub(t, 2)
	asked := make(chan struct{}, 100)
	for _, e := range ends {
		e.host.SetStreamHandler(linksProtocol, func(st network.Stream) {
			asked <- struct{}{}
			e.links.serve(st)
		})
	}
	var looking sync.WaitGroup
	for range 5 {
		looking.Go(func() {
			if g := middle.Graph(); len(g.Silent) != 0 {
				t.Errorf("%v", g)
			}
		})
	}
	looking.Wait()
	if len(asked) != 2 {
		t.Errorf("two boxes were asked %d times", len(asked))
	}
	middle.links.mu.Lock()
	for id, a := range middle.links.answers {
		a.at = a.at.Add(-linksFor)
		middle.links.answers[id] = a
	}
	middle.links.mu.Unlock()
	for _, e := range ends {
		e.links.forget()
	}
	if g := middle.Graph(); len(g.Silent) != 0 || len(asked) != 4 {
		t.Errorf("when their answers were old two boxes were asked %d times more: %v", len(asked)-2, g)
	}
}

func TestWhoIsNotAsked(t *testing.T) {
	t.Parallel()
	middle, ends := hub(t, 3)
	old, banned, mute := ends[0], ends[1], ends[2]
	old.host.RemoveStreamHandler(linksProtocol)
	until(t, "the old box's protocols are known", func() bool {
		known, err := middle.host.Peerstore().SupportsProtocols(old.self(), linksProtocol)
		return err == nil && len(known) == 0
	})
	var asked atomic.Int32
	for _, e := range []*box{banned, mute} {
		e.host.SetStreamHandler(linksProtocol, func(st network.Stream) { asked.Add(1); st.Close() })
	}
	middle.reputation.Ban(banned.self().String(), time.Hour)
	until(t, "the first pings are over", func() bool { return middle.rtts.min(mute.self()) > 0 })
	middle.rtts.mu.Lock()
	middle.rtts.known[mute.self()].missed = 1 // until the next ping
	middle.rtts.mu.Unlock()
	g := middle.Graph()
	if len(g.Silent) != 3 || len(g.Nodes) != 4 || len(g.Links) != 3 {
		t.Errorf("%v", g)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d boxes were asked", n)
	}
	many := newBox(t, func(o *settings) { o.Key = NewKey() })
	defer many.Close()
	ids := newIDs(t, 2*maxAsked)
	for _, id := range ids {
		if err := many.host.Peerstore().AddProtocols(id, linksProtocol); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(many.links.askable(linksTo(ids...))); n != maxAsked {
		t.Errorf("%d of %d boxes are asked, want %d", n, len(ids), maxAsked)
	}
}

// TestLiarsOfLinks has boxes send bad answers.
func TestLiarsOfLinks(t *testing.T) {
	long(t)
	t.Parallel()
	many := newIDs(t, maxLinks+1)
	write := func(b []byte) func(network.Stream) {
		return func(st network.Stream) {
			st.Write(b)
			st.Close()
		}
	}
	for _, c := range []struct {
		name  string
		tell  func(network.Stream)
		fault bool
	}{
		{"too many", write(appendLinks(nil, linksTo(many...))), true},
		{"twice the same", write(appendLinks(nil, linksTo(many[0], many[0]))), true},
		{"garbage", write(bytes.Repeat([]byte("\x01garbage"), 100)), true},
		{"half a link", write(appendLinks(nil, linksTo(many[0]))[:20]), true},
		{"endless", func(st network.Stream) {
			for b := bytes.Repeat([]byte{0}, 1<<16); ; {
				if _, err := st.Write(b); err != nil {
					return
				}
			}
		}, true},
		{"itself", func(st network.Stream) { write(appendLinks(nil, linksTo(st.Conn().LocalPeer())))(st) }, true},
		{"hangs up", func(st network.Stream) { st.Reset() }, false},
		{"stalls", func(network.Stream) {}, false},
		{"stalls halfway", func(st network.Stream) { st.Write(appendLinks(nil, linksTo(many[0]))) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asker, ends := hub(t, 1)
			liar := ends[0]
			liar.host.SetStreamHandler(linksProtocol, c.tell)
			begun := time.Now()
			g := asker.Graph()
			if took := time.Since(begun); took > linksTimeout+time.Second {
				t.Errorf("it took %s", took)
			}
			if len(g.Nodes) != 2 || len(g.Links) != 1 || len(g.Silent) != 1 {
				t.Errorf("%v", g)
			}
			if fault := asker.Peers()[0].LastFault; (fault != "") != c.fault {
				t.Errorf("fault %q, want one: %t", fault, c.fault)
			}
		})
	}
}

// A box cannot report links for other boxes.
func TestClaims(t *testing.T) {
	t.Parallel()
	asker, ends := hub(t, 2)
	liar, honest := ends[0], ends[1]
	stranger := newIDs(t, 1)[0]
	links := linksTo(min(honest.self(), stranger), max(honest.self(), stranger))
	liar.host.SetStreamHandler(linksProtocol, func(st network.Stream) {
		st.Write(appendLinks(nil, links))
		st.Close()
	})
	g := asker.completeGraph(t)
	if g.has(liar.self(), honest.self()) {
		t.Error("the liar is linked with a box that denies it")
	}
	if g.has(honest.self(), stranger) || g.has(asker.self(), stranger) {
		t.Error("others are linked with the stranger")
	}
	if !g.has(liar.self(), stranger) || len(g.Nodes) != 4 || len(g.Links) != 3 || len(g.Silent) != 0 {
		t.Errorf("%v", g)
	}
}

// A box that asks too often, or is banned, gets no answer.
func TestTellingIsLimited(t *testing.T) {
	t.Parallel()
	teller, ends := hub(t, 1)
	asker := ends[0]
	if links, err := asker.links.ask(t.Context(), teller.self()); err != nil || len(links) != 1 {
		t.Fatalf("%v, %v", links, err)
	}
	if links, err := asker.links.ask(t.Context(), teller.self()); !errors.Is(err, network.ErrReset) {
		t.Errorf("asked at once again: %v, %v", links, err)
	}
	teller.links.forget()
	teller.reputation.Ban(asker.self().String(), time.Hour)
	if links, err := asker.links.ask(t.Context(), teller.self()); !errors.Is(err, network.ErrReset) {
		t.Errorf("banned: %v, %v", links, err)
	}
	now := time.Now()
	l := newLinks(nil)
	for i, id := range newIDs(t, maxServed+1) {
		if got, want := l.due(id, now), i < maxServed; got != want {
			t.Errorf("box %d may be answered: %t", i, got)
		}
	}
	if id := newIDs(t, 1)[0]; !l.due(id, now.Add(linksEvery)) || len(l.served) != 1 || l.due(id, now.Add(2*linksEvery-1)) {
		t.Errorf("%d boxes are remembered", len(l.served))
	}
}

func FuzzReadLinks(f *testing.F) {
	ids := newIDs(f, 3)
	f.Add([]byte{})
	f.Add(appendLinks(nil, []link{{ids[0], true, false, time.Second}, {ids[1], false, true, 0}}))
	f.Add(appendLinks(nil, linksTo(ids[2])))                                        // the teller's own
	f.Add(binary.AppendUvarint([]byte{0}, 1<<62))                                   // a round trip of ages
	f.Add([]byte("\x00\x00\x40" + strings.Repeat("\x00", 64)))                      // no multihash
	f.Add(append([]byte("\x00\x00\x80\x00"), appendLinks(nil, linksTo(ids[0]))...)) // an ID of no bytes
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := readLinks(bytes.NewReader(b), ids[2])
		if err != nil {
			return
		}
		if len(links) > maxLinks || linked(links, ids[2]) {
			t.Errorf("%x is read as %v", b, links)
		}
		again, err := readLinks(bytes.NewReader(appendLinks(nil, links)), ids[2])
		if err != nil || !reflect.DeepEqual(again, links) {
			t.Errorf("%v comes back as %v, %v", links, again, err)
		}
	})
}
