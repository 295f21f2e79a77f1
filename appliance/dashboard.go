package main

import "millpond/internal/dashboard"

// dashboardOptions joins the dashboard with what it shows.
func (a *Appliance) dashboardOptions() dashboard.Options {
	o := dashboard.Options{
		Version: version, Totals: a.ledger.Totals, Usage: a.store.Usage, Catalog: a.catalog.Stats, Fetch: a.fetch.Stats,
		Ledger: a.ledger, Store: a.store, Suites: a.catalog.Suites, Checked: a.fetch.Checked, Describe: a.catalog.Describe,
		Transfers: a.transfers, Prefetch: a.prefetch, Events: a.events, Settings: a.config.shown(), AdminToken: a.config.AdminToken,
		Ready: a.faults, Log: a.log.With("part", "dashboard"),
	}
	if a.swarm != nil {
		o.Swarm = a.swarm
	}
	return o
}

// transfers are the downloads under way in the dashboard's words.
func (a *Appliance) transfers() []dashboard.Transfer {
	var all []dashboard.Transfer
	for _, t := range a.fetch.Transfers() {
		row := dashboard.Transfer{
			URL: t.Location.String(), Size: t.Size, Started: t.Started.UTC(), Clients: t.Clients, Spans: []dashboard.Span{},
		}
		if !t.Digest.IsZero() {
			row.Digest = t.Digest.String()
		}
		for _, p := range t.Parts {
			row.Have += p.End - p.Off
			row.Spans = append(row.Spans, dashboard.Span{From: p.Off, To: p.End, Origin: p.Origin.String()})
		}
		all = append(all, row)
	}
	return all
}

// shown is the table of settings as they are in force, without secrets.
func (c *Config) shown() []dashboard.Setting {
	var all []dashboard.Setting
	for _, s := range settings() {
		value, set := c.given[s.Name]
		if !set {
			value = s.Default
		}
		if set && s.secret {
			value = "hidden"
		}
		all = append(all, dashboard.Setting{Name: s.Name, Value: value, Default: s.Default, Takes: s.Takes, Help: s.Help, Set: set})
	}
	return all
}
