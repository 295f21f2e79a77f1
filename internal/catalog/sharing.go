package catalog

import (
	"slices"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

// Sharing is with which boxes something may be shared.
type Sharing uint8

const (
	// WithNobody is what no signed Release lists, or only one that took a login.
	WithNobody Sharing = iota
	// WithMembers is what came from a private place, as far as is known: members of
	// the swarm may have it.
	WithMembers
	// WithAll is what anybody could fetch, or what MILLPOND_SHARE_HOSTS has.
	WithAll
)

// Includes reports whether boxes of that kind may have it.
func (s Sharing) Includes(k peer.Kind) bool {
	return s == WithAll || s == WithMembers && k == peer.Member
}

// Reach is what is known of who can fetch a Release where it came from. The zero
// value is nothing.
type Reach struct {
	Public bool   // anybody can
	Why    string // not Public
}

// with is r after the same Release came from another place, too: from a public
// one once is enough.
func (r Reach) with(o Reach) Reach {
	if o.Public || r == (Reach{}) {
		return o
	}
	return r
}

// Sharing is with whom what g lists may be shared.
func (g *Generation) Sharing() Sharing {
	switch {
	case !g.Signed:
		return WithNobody
	case g.Listed, g.Reach.Public && !g.Private:
		return WithAll
	case g.Private:
		return WithNobody
	}
	return WithMembers
}

// Reached notes where a held Release of the suite in dir came from once more:
// the mirror there said that it has it.
func (c *Catalog) Reached(dir Location, id digest.Digest, r Reach) error {
	known := c.state.Load().generation(dir, id)
	if known == nil || known.Reach.with(r) == known.Reach {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.Load().clone()
	g := next.generation(dir, id)
	if g == nil {
		return nil
	}
	g.Reach = g.Reach.with(r)
	return c.commit(next, dir)
}

// private says why what the host has is not shared with all boxes, of the first
// signed Release that came from a private place; "" if there is none.
func (s *state) private(host string) string {
	for dir, st := range s.suites {
		if dir.Host != host {
			continue
		}
		for _, g := range st.gens {
			if g.Signed && g.Sharing() < WithAll && g.Reach.Why != "" {
				return g.Reach.Why
			}
		}
	}
	return ""
}

// tellPrivate tells of the hosts of changed suites that turned out to be private.
func (c *Catalog) tellPrivate(old, next *state, changed []Location) {
	var told []string
	for _, dir := range changed {
		why := next.private(dir.Host)
		if why != "" && old.private(dir.Host) == "" && !slices.Contains(told, dir.Host) {
			told = append(told, dir.Host)
			c.private(dir, why)
		}
	}
}
