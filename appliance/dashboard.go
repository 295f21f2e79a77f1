package main

import (
	"strings"

	"millpond/internal/api"
	"millpond/internal/dashboard"
	"millpond/internal/kv"
	"millpond/internal/swarm"
)

// dashboardOptions joins the dashboard with what it shows.
func (a *Appliance) dashboardOptions() (dashboard.Options, error) {
	kept := a.db.Table("dashboard")
	price, err := kv.GetJSON[api.Price](kept, priceKey)
	o := dashboard.Options{
		Version: version, Ledger: a.ledger, Store: a.store, Catalog: a.catalog, Keys: a.keys, Fetch: a.fetch, Mirrors: a.mirror, Follow: a.follow, Prefetch: a.prefetch, Rings: a.rings, Notes: a.notes, Keep: a.keep, Jobs: &a.jobs, Verifier: a.verifier, Carrier: a.carrier, WantList: a.wants, Backup: a.backup, Site: a.site,
		Events: a.events, Settings: a.config.shown(), AdminToken: a.config.AdminToken, Access: a.config.access,
		Resolver: a.resolver(), Privacy: a.config.Privacy, Erase: a.eraseClient,
		Ready: a.faults, Drain: a.leave, Draining: a.draining, Log: a.log.With("part", "dashboard"),
		Places: a.places(), Price: price, KeepPrice: func(p api.Price) error { return kv.PutJSON(kept, priceKey, p) },
	}
	if a.swarm != nil {
		o.Swarm = swarmView{a.swarm}
	}
	return o, err
}

// priceKey is where the price of a gigabyte is kept.
const priceKey = "price"

// swarmView is the swarm in the API's types.
type swarmView struct{ *swarm.Swarm }

var _ dashboard.Swarm = swarmView{}

func (v swarmView) Identity() api.Identity {
	i := v.Swarm.Identity()
	return api.Identity{ID: i.ID, Addrs: append([]string{}, i.Addrs...)}
}

func (v swarmView) Peers() (all []api.Peer) {
	for _, p := range v.Swarm.Peers() {
		all = append(all, api.Peer{
			ID: p.ID, Addr: p.Addr, Agent: p.Agent, Path: p.Path, Nearby: p.Nearby, Kind: p.Kind.String(),
			RTT: float64(p.RTT.Microseconds()) / 1000, Taken: p.Taken, Given: p.Given, Held: p.Held,
			Score: p.Score, BannedUntil: p.BannedUntil, LastFault: p.LastFault, Since: p.Since,
		})
	}
	return all
}

func (v swarmView) Status() api.Swarm {
	s := v.Swarm.Status()
	return api.Swarm{
		Enabled: true, ID: s.ID, Addrs: s.Addrs, Private: s.Private, Mode: string(s.Mode), Reachability: s.Reachability,
		Neighbours: s.Neighbours, Routing: s.Routing, Records: s.Records, Announced: s.Announced,
		ToAnnounce: s.ToAnnounce, LastAnnounce: s.LastAnnounce, Banned: s.Banned,
	}
}

func (v swarmView) Graph() api.Graph {
	g := v.Swarm.Graph()
	out := api.Graph{Nodes: []api.GraphNode{}, Links: []api.GraphLink{}, Asked: g.Asked, Silent: append([]string{}, g.Silent...), Cut: g.Cut}
	for _, n := range g.Nodes {
		out.Nodes = append(out.Nodes, api.GraphNode{ID: n.ID, Self: n.Self, Connected: n.Connected, Agent: n.Agent, Nearby: n.Nearby})
	}
	for _, l := range g.Links {
		out.Links = append(out.Links, api.GraphLink{A: l.A, B: l.B, Path: l.Path, RTT: l.RTT})
	}
	return out
}

// shown is the table of settings as they are in force, without secrets.
func (c *Config) shown() []api.Setting {
	var all []api.Setting
	for _, s := range settings() {
		value, set := c.given[s.Name]
		if !set {
			value = s.Default
		}
		if set && s.secret {
			value = "hidden"
		}
		if l := c.listFileOf(strings.TrimPrefix(s.Name, prefix)); l != nil {
			value, set = "in the file "+l.path, true
		}
		all = append(all, api.Setting{Name: s.Name, Value: value, Default: s.Default, Takes: s.Takes, Help: s.Help, Set: set})
	}
	return all
}
