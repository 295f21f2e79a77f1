package swarm

import (
	"cmp"
	"slices"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of a Graph.
const (
	maxNodes      = 512
	maxGraphLinks = 4096
)

// Graph is who is connected with whom, as far as this box and its neighbours
// know. Its lists are never nil.
type Graph struct {
	Nodes  []Node    // this box among them
	Links  []Link    // each once
	Asked  time.Time // when the oldest answer in it was given
	Silent []string  // IDs of the neighbours that told nothing
	Cut    bool      // there were more nodes or links than are allowed
}

// Node is a box.
type Node struct {
	ID        string
	Self      bool
	Connected bool   // with this box
	Agent     string // "" unless connected
	// Nearby: of this box's site, by its own measure if connected, else by the
	// word of a box of the site.
	Nearby bool
}

// Link is a connection of two boxes, A before B in the order of the IDs.
type Link struct {
	A, B string
	Path string  // "direct" or "relayed"
	RTT  float64 // round trip in milliseconds; 0 if it is not known
}

// Graph asks the neighbours for their connections, unless they told them within
// 15 s, and waits 2 s at most. A box tells its own connections alone, up to 256,
// and one that its other end denies is left out. A Graph has up to 512 nodes and 4096 links: first those of this
// box, then those among the connected boxes.
func (s *Swarm) Graph() Graph {
	own := s.links.own()
	return draw(s.self(), own, s.links.gather(own), s.agent)
}

// draw makes the graph of own, the links of self, and of what their other ends
// answered.
func draw(self p2p.ID, own []link, answers map[p2p.ID]reply, agent func(p2p.ID) string) Graph {
	g := &drawing{
		self:  self,
		nodes: map[p2p.ID]*Node{self: {ID: self.String(), Self: true}},
		links: make(map[[2]p2p.ID]link),
	}
	for _, l := range own {
		g.link(self, l)
		if n := g.nodes[l.id]; n != nil {
			n.Connected, n.Nearby, n.Agent = true, l.nearby, agent(l.id)
		}
	}
	g.tell(own, answers, true)
	g.tell(own, answers, false)
	return g.graph(own, answers)
}

// drawing is a Graph in the making.
type drawing struct {
	self  p2p.ID
	nodes map[p2p.ID]*Node
	links map[[2]p2p.ID]link // by both ends; the link's own is of no account
	cut   bool
}

// link adds the link l that a told, if there is room.
func (g *drawing) link(a p2p.ID, l link) {
	ends := [2]p2p.ID{min(a, l.id), max(a, l.id)}
	if before, ok := g.links[ends]; ok {
		l.relayed = l.relayed && before.relayed
		l.rtt = cmp.Or(before.rtt, l.rtt)
		g.links[ends] = l
		return
	}
	if len(g.links) >= maxGraphLinks || g.nodes[l.id] == nil && len(g.nodes) >= maxNodes {
		g.cut = true
		return
	}
	if g.nodes[l.id] == nil {
		g.nodes[l.id] = &Node{ID: l.id.String()}
	}
	g.links[ends] = l
}

// tell adds what the answers say of links among the connected boxes, or of all
// others. The boxes take turns until there is no more room, so that one that
// names many leaves some for the rest. Of its own links this box knows itself.
func (g *drawing) tell(own []link, answers map[p2p.ID]reply, among bool) {
	for i := range maxLinks {
		for _, teller := range own {
			told := answers[teller.id].links
			if g.cut {
				return
			}
			if i >= len(told) {
				continue
			}
			l := told[i]
			n := g.nodes[l.id]
			connected := n != nil && n.Connected
			if l.id == g.self || connected != among || denies(answers[l.id], teller.id) {
				continue
			}
			g.link(teller.id, l)
			if n := g.nodes[l.id]; n != nil && !connected && teller.nearby && l.nearby {
				n.Nearby = true
			}
		}
	}
}

// denies reports whether a box that told all its links left out one with id.
func denies(a reply, id p2p.ID) bool {
	return a.told && len(a.links) < maxLinks && !linked(a.links, id)
}

// graph is the finished drawing.
func (g *drawing) graph(own []link, answers map[p2p.ID]reply) Graph {
	done := Graph{Nodes: []Node{}, Links: []Link{}, Silent: []string{}, Asked: time.Now().UTC(), Cut: g.cut}
	for _, n := range g.nodes {
		done.Nodes = append(done.Nodes, *n)
	}
	for ends, l := range g.links {
		a, b := g.nodes[ends[0]].ID, g.nodes[ends[1]].ID
		path := "direct"
		if l.relayed {
			path = "relayed"
		}
		done.Links = append(done.Links, Link{min(a, b), max(a, b), path, float64(l.rtt.Microseconds()) / 1000})
	}
	for _, o := range own {
		a := answers[o.id]
		switch n := g.nodes[o.id]; {
		case n != nil && !a.told:
			done.Silent = append(done.Silent, n.ID)
		case a.told && a.at.Before(done.Asked):
			done.Asked = a.at.UTC()
		}
	}
	slices.SortFunc(done.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(done.Links, func(a, b Link) int { return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B)) })
	slices.Sort(done.Silent)
	return done
}
