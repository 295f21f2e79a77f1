package dashboard

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"millpond/internal/api"
	"millpond/internal/ledger"
)

// daysQuery asks for a part of a list of hosts with their figures of the last days.
type daysQuery struct {
	Days int `query:"days" minimum:"1" maximum:"31" default:"30" doc:"UTC days, today included"`
	Window
}

func (d *Dashboard) listTunnels(_ context.Context, q *daysQuery) (api.Tunnels, error) {
	used := slices.DeleteFunc(d.ledger.Tunnels(time.Now(), q.Days), func(h ledger.TunnelHost) bool { return len(h.Days) == 0 })
	slices.SortStableFunc(used, func(a, b ledger.TunnelHost) int { return cmp.Compare(b.Sum.Bytes, a.Sum.Bytes) })
	cut := page(used, q.Window)
	answer := api.Tunnels{Days: q.Days, Total: cut.Total, Offset: cut.Offset, Items: []api.Tunnel{}}
	for _, h := range used {
		answer.Bytes += h.Sum.Bytes
	}
	for _, h := range cut.Items {
		answer.Items = append(answer.Items, d.tunnelOf(h))
	}
	return answer, nil
}

func (d *Dashboard) tunnelOf(h ledger.TunnelHost) api.Tunnel {
	t := api.Tunnel{
		Host: shownHost(h.Name), Bytes: h.Sum.Bytes, Tunnels: h.Sum.Tunnels, BytesEver: h.Ever.Bytes,
		First: h.First, Last: h.Last, Days: []api.TunnelDay{}, Clients: []api.TunnelClient{},
	}
	for _, day := range h.Days {
		t.Days = append(t.Days, api.TunnelDay{Start: day.Start, Bytes: day.Sum.Bytes, Tunnels: day.Sum.Tunnels})
	}
	for _, c := range h.Clients {
		name := c.Addr.String()
		t.Clients = append(t.Clients, api.TunnelClient{Name: name, Hostname: d.names.Of(name), GivenName: d.clientName(name), Last: c.Last, Bytes: c.Bytes})
	}
	if h.Name != ledger.Others {
		// Package proxy reads these forms. Each can take the place of the first.
		t.Source, t.ThroughBox, t.AsProxy = "https://"+t.Host+"/", "/https/"+t.Host+"/", "http://HTTPS///"+t.Host+"/"
	}
	return t
}

// shownHost is host:port as in an https URL.
func shownHost(hostport string) string { return strings.TrimSuffix(hostport, ":443") }
