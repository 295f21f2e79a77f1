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

// Graph shows which boxes are connected, as far as this box and its neighbours
// know. Its lists are never nil.
type Graph struct {
	Nodes  []Node    // this box among them
	Links  []Link    // each once
	Asked  time.Time // when the oldest answer in it was given
	Silent []string  // IDs of the neighbours without an answer
	Cut    bool      // there were more nodes or links than are allowed
}

// Node is a box.
type Node struct {
	ID        string
	Self      bool
	Connected bool   // with this box
	Agent     string // "" unless connected
	// Nearby: of this box's site, as measured by this box if connected, else as
	// reported by a box of the site.
	Nearby bool
}

// Link is a connection of two boxes, A before B in the order of the IDs.
type Link struct {
	A, B string
	Path string  // "direct" or "relayed"
	RTT  float64 // round trip in milliseconds; 0 if it is not known
}

// Graph asks the neighbours for their connections, unless they answered within
// the last 15 s, and waits at most 2 s. A box reports only its own connections,
// up to 256; one that its other end denies is left out. A Graph has up to 512
// nodes and 4096 links: first those of this box, then those among the connected
// boxes.
func (s *Swarm) Graph() Graph {
	own := s.links.own()
	return draw(s.self(), own, s.links.gather(own), s.agent)
}

// draw makes the graph from own, the links of self, and the answers of their
// other ends.
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
	g.add(own, answers, true)
	g.add(own, answers, false)
	return g.graph(own, answers)
}

// drawing is a Graph in the making.
type drawing struct {
	self  p2p.ID
	nodes map[p2p.ID]*Node
	links map[[2]p2p.ID]link // by both ends; the link's own id is not used
	cut   bool
}

// link adds the link l that a reported, if there is room.
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

// add adds the reported links among the connected boxes, or all others. It takes
// one link of each box in turn, so that a box with many links leaves room for the
// rest. It ignores reports about this box's own links.
func (g *drawing) add(own []link, answers map[p2p.ID]reply, among bool) {
	for i := range maxLinks {
		for _, sender := range own {
			reported := answers[sender.id].links
			if g.cut {
				return
			}
			if i >= len(reported) {
				continue
			}
			l := reported[i]
			n := g.nodes[l.id]
			connected := n != nil && n.Connected
			if l.id == g.self || connected != among || denies(answers[l.id], sender.id) {
				continue
			}
			g.link(sender.id, l)
			if n := g.nodes[l.id]; n != nil && !connected && sender.nearby && l.nearby {
				n.Nearby = true
			}
		}
	}
}

// denies reports whether a is a complete list of links without one to id.
func denies(a reply, id p2p.ID) bool {
	return a.ok && len(a.links) < maxLinks && !linked(a.links, id)
}

// graph returns the finished Graph.
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
		case n != nil && !a.ok:
			done.Silent = append(done.Silent, n.ID)
		case a.ok && a.at.Before(done.Asked):
			done.Asked = a.at.UTC()
		}
	}
	slices.SortFunc(done.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(done.Links, func(a, b Link) int { return cmp.Or(cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B)) })
	slices.Sort(done.Silent)
	return done
}
