package api

import "time"

// Tunnels is what GET /api/v1/tunnels returns: hosts that clients reached through
// tunnels, and with what instead their files would be cached.
type Tunnels struct {
	Days   int      `json:"days" doc:"UTC days of the period, today included"`
	Bytes  int64    `json:"bytes" doc:"through tunnels to these hosts in the period, both ways"`
	Total  int      `json:"total" doc:"hosts with tunnels in the period"`
	Offset int      `json:"offset" doc:"rows left out before the first one"`
	Items  []Tunnel `json:"items" doc:"those with most bytes first"`
}

// Tunnel is what went through tunnels to one host. Its bytes were not cached.
type Tunnel struct {
	Host       string         `json:"host" doc:"with its port unless that is 443; others for all that found no place of their own"`
	Bytes      int64          `json:"bytes" doc:"in the period, both ways"`
	Tunnels    int64          `json:"tunnels" doc:"that carried something, in the period"`
	BytesEver  int64          `json:"bytes_ever" doc:"since first"`
	First      time.Time      `json:"first"`
	Last       time.Time      `json:"last"`
	Days       []TunnelDay    `json:"by_day" doc:"of the period, the oldest first; those without tunnels are left out"`
	Clients    []TunnelClient `json:"clients" doc:"the last ones, the latest first; at most 16; none if the box keeps none (MILLPOND_PRIVACY)"`
	Source     string         `json:"source" doc:"how its addresses begin in the clients' sources; empty for others"`
	ThroughBox string         `json:"through_box" doc:"with what they begin instead so that the box caches the files, after the scheme http and the box's name"`
	AsProxy    string         `json:"as_proxy" doc:"the same for clients with the box as proxy"`
}

// TunnelDay is what went through tunnels to a host on one day.
type TunnelDay struct {
	Start   time.Time `json:"start" doc:"of the UTC day"`
	Bytes   int64     `json:"bytes"`
	Tunnels int64     `json:"tunnels"`
}

// TunnelClient is a client of tunnels to a host.
type TunnelClient struct {
	Name      string    `json:"name" doc:"its address"`
	Hostname  string    `json:"hostname" doc:"empty if it is not known"`
	GivenName string    `json:"given_name,omitempty" doc:"by an administrator; left out if there is none"`
	Last      time.Time `json:"last"`
	Bytes     int64     `json:"bytes" doc:"since it was first seen there"`
}
