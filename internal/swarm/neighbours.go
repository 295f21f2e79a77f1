package swarm

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/broadcast"
	"millpond/internal/peer"
)

// newcomerFor is how long a neighbour counts as a newcomer. A box is measured within a
// second, and has answered the first requests of an update within a minute.
const newcomerFor = time.Minute

// Of the places for neighbours, strangers together have at most all but 1/reservedPart,
// so that members and local boxes find room at once. 1/newcomersPart are for strangers
// that are newcomers (a box is a stranger until it is measured), so that a full box still
// sees what others have.
const (
	reservedPart  = 4
	newcomersPart = 8
)

// Values for libp2p's connection manager, which closes the connections of the lowest
// value first. Peers that are no boxes have none; the DHT adds routingValue.
const (
	strangerValue = 50
	localValue    = 100
)

// neighbour is a connected box, as far as it matters for its place.
type neighbour struct {
	id     p2p.ID
	kind   peer.Kind
	at     netip.Prefix // its network
	since  time.Time
	serves bool
}

func (n neighbour) newcomer(now time.Time) bool { return now.Sub(n.since) < newcomerFor }

// surplus returns which neighbour has to go when most are allowed; false if none has
// to. Strangers go before local boxes and those before members, but newcomers keep
// their places from local boxes.
func surplus(all []neighbour, most int, now time.Time) (p2p.ID, bool) {
	var settled, newcomers, locals, members []neighbour
	for _, n := range all {
		switch {
		case n.kind == peer.Member:
			members = append(members, n)
		case n.kind == peer.Local:
			locals = append(locals, n)
		case n.newcomer(now):
			newcomers = append(newcomers, n)
		default:
			settled = append(settled, n)
		}
	}
	strangers := len(settled) + len(newcomers)
	switch over := len(all) > most; {
	case !over && strangers <= most-most/reservedPart:
		return "", false
	case len(newcomers) > max(most/newcomersPart, 1):
		return leastOf(newcomers, now), true
	case len(settled) > 0:
		return leastOf(settled, now), true
	case len(locals) > 0:
		return leastOf(locals, now), true
	case len(newcomers) > 0:
		return leastOf(newcomers, now), true
	default:
		return leastOf(members, now), true
	}
}

// leastOf returns the neighbour of the network that has the most to which this box
// owes the least. Among equals a newcomer takes the place of the one that came last
// before it, so that the others stay; among newcomers the first has had its time.
func leastOf(all []neighbour, now time.Time) p2p.ID {
	have := make(map[netip.Prefix]int)
	for _, n := range all {
		have[n.at]++
	}
	return slices.MinFunc(all, func(a, b neighbour) int {
		byAge := b.since.Compare(a.since)
		if a.newcomer(now) && b.newcomer(now) {
			byAge = -byAge
		}
		return cmp.Or(
			cmp.Compare(have[b.at], have[a.at]),
			compareBools(a.serves, b.serves),
			compareBools(a.newcomer(now), b.newcomer(now)),
			byAge,
			cmp.Compare(a.id, b.id))
	}).id
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// places decides which boxes are neighbours, and which of them libp2p's connection
// manager must keep.
type places struct {
	swarm *Swarm
	most  int
	// serves reports whether a box has sent files that were right.
	serves func(p2p.ID) bool

	changed broadcast.Wake // the kind of a neighbour has changed
	closed  chan p2p.ID    // the connections of a box that lost its place are closed
	closing sync.WaitGroup
	leaving map[p2p.ID]bool // boxes that lost their place; for follow only

	mu   sync.Mutex           // guards told, and is held while the connection manager is told
	told map[p2p.ID]peer.Kind // the kinds of the neighbours when it was told of them
}

func newPlaces(s *Swarm, most int) *places {
	return &places{
		swarm:   s,
		most:    most,
		serves:  func(id p2p.ID) bool { return s.reputation.Serves(id.String()) },
		changed: broadcast.NewWake(),
		closed:  make(chan p2p.ID),
		leaving: make(map[p2p.ID]bool),
		told:    make(map[p2p.ID]peer.Kind),
	}
}

// neighbours lists the connected boxes.
func (p *places) neighbours() []neighbour {
	p.swarm.boxes.mu.Lock()
	all := make([]neighbour, 0, len(p.swarm.boxes.since)+1)
	for id, since := range p.swarm.boxes.since {
		all = append(all, neighbour{id: id, since: since})
	}
	p.swarm.boxes.mu.Unlock()
	for i := range all {
		p.fill(&all[i])
	}
	return all
}

func (p *places) fill(n *neighbour) {
	n.kind, n.at, n.serves = p.swarm.kind(n.id), p.swarm.network(n.id), p.serves(n.id)
}

// admit makes room for the box id, which is connected, and reports whether it may be a
// neighbour. Part of follow.
func (p *places) admit(ctx context.Context, id p2p.ID) bool {
	if p.leaving[id] {
		return false
	}
	comes := neighbour{id: id, since: time.Now()}
	p.fill(&comes)
	p.shrink(ctx, comes)
	return !p.leaving[id]
}

// shrink dismisses neighbours until the rest, with those that come, have room. Part of
// follow.
func (p *places) shrink(ctx context.Context, comes ...neighbour) {
	if p.swarm.boxes.count()+len(comes) <= p.most-p.most/reservedPart {
		return // there is room even if all are strangers
	}
	now := time.Now()
	all := append(p.neighbours(), comes...)
	for {
		id, ok := surplus(all, p.most, now)
		if !ok {
			return
		}
		p.dismiss(ctx, id)
		all = slices.DeleteFunc(all, func(n neighbour) bool { return n.id == id })
	}
}

// dismiss takes its place from the box id, and closes its connections without waiting
// for that: the other end can delay it.
func (p *places) dismiss(ctx context.Context, id p2p.ID) {
	p.leaving[id] = true
	p.swarm.left(id)
	p.swarm.redials.dismissed(id)
	p.swarm.log.Debug("peer gives way to others", "peer", id, "addr", p.swarm.address(id))
	p.closing.Go(func() {
		for _, c := range p.swarm.host.Network().ConnsToPeer(id) {
			_ = c.CloseWithError(network.ConnResourceLimitExceeded) // it is abandoned either way
		}
		select {
		case p.closed <- id:
		case <-ctx.Done():
		}
	})
}

// review tells the connection manager what the box id is worth now. Members and boxes
// that serve are never trimmed.
func (p *places) review(id p2p.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.swarm.host.ConnManager()
	if p.swarm.boxes.connectedSince(id).IsZero() {
		delete(p.told, id)
		conns.Unprotect(id, boxTag)
		conns.UntagPeer(id, boxTag)
		return
	}
	kind := p.swarm.kind(id)
	if was, ok := p.told[id]; ok && was != kind {
		p.changed.Call()
	}
	p.told[id] = kind
	if kind == peer.Member || p.serves(id) {
		conns.Protect(id, boxTag)
	} else {
		conns.Unprotect(id, boxTag)
	}
	value := localValue
	if kind == peer.Stranger {
		value = strangerValue
	}
	conns.TagPeer(id, boxTag, value)
}
