package dashboard

import (
	"net/http"
	"time"

	"millpond/internal/swarm"
)

// Swarm is what the dashboard shows of the other boxes; *swarm.Swarm.
type Swarm interface {
	Identity() swarm.Identity
	Peers() []swarm.PeerInfo
	Status() swarm.Status
	Graph() swarm.Graph
	Ban(id string, d time.Duration) error
	SetUploadRate(bytesPerSecond int64)
}

// Peer is a row of GET /api/v1/peers: another box.
type Peer struct {
	ID          string    `json:"id"`
	Addr        string    `json:"addr"`
	Agent       string    `json:"agent"`
	Path        string    `json:"path"`   // "direct" or "relayed"
	Nearby      bool      `json:"nearby"` // of this site
	RTT         float64   `json:"rtt_ms"` // round trip; 0 if not known
	Taken       int64     `json:"taken_bytes"`
	Given       int64     `json:"given_bytes"`
	Held        int64     `json:"held"` // blobs that it lists
	Score       float64   `json:"score"`
	BannedUntil time.Time `json:"banned_until,omitzero"`
	LastFault   string    `json:"last_fault,omitempty"`
	Since       time.Time `json:"connected_since"`
}

// SwarmStatus is what GET /api/v1/swarm returns: this box among the others.
type SwarmStatus struct {
	Enabled      bool      `json:"enabled"`
	ID           string    `json:"id,omitempty"`
	Addrs        []string  `json:"addrs,omitempty"`
	Private      bool      `json:"private"` // has a swarm key
	Mode         string    `json:"mode,omitempty"`
	Reachability string    `json:"reachability,omitempty"`
	Neighbours   int       `json:"neighbours"`
	Routing      int       `json:"routing_table"`
	Records      int64     `json:"records"` // provider records kept, for others and itself
	Announced    int64     `json:"announced"`
	ToAnnounce   int64     `json:"to_announce"`
	LastAnnounce time.Time `json:"last_announce,omitzero"`
	Banned       int       `json:"banned"`
}

// peer tells other boxes who this one is, for bootstrapping by its address.
func (d *Dashboard) peer(w http.ResponseWriter, r *http.Request) {
	if d.Swarm == nil {
		http.Error(w, "This box is in no swarm (MILLPOND_SWARM=false).", http.StatusNotFound)
		return
	}
	d.json(w, http.StatusOK, d.Swarm.Identity())
}

// peers lists the connected boxes.
func (d *Dashboard) peers(w http.ResponseWriter, _ *http.Request) {
	list := []Peer{}
	if d.Swarm != nil {
		for _, p := range d.Swarm.Peers() {
			list = append(list, Peer{
				ID: p.ID, Addr: p.Addr, Agent: p.Agent, Path: p.Path, Nearby: p.Local,
				RTT: float64(p.RTT.Microseconds()) / 1000, Taken: p.Taken, Given: p.Given, Held: p.Held,
				Score: p.Score, BannedUntil: p.BannedUntil, LastFault: p.LastFault, Since: p.Since,
			})
		}
	}
	d.json(w, http.StatusOK, PeerList{list})
}

// swarmStatus tells this box's own part in the swarm.
func (d *Dashboard) swarmStatus(w http.ResponseWriter, _ *http.Request) {
	if d.Swarm == nil {
		d.json(w, http.StatusOK, SwarmStatus{})
		return
	}
	s := d.Swarm.Status()
	d.json(w, http.StatusOK, SwarmStatus{
		Enabled: true, ID: s.ID, Addrs: s.Addrs, Private: s.Private, Mode: string(s.Mode), Reachability: s.Reachability,
		Neighbours: s.Neighbours, Routing: s.Routing, Records: s.Records, Announced: s.Announced,
		ToAnnounce: s.ToAnnounce, LastAnnounce: s.LastAnnounce, Banned: s.Banned,
	})
}

// swarmGraph tells who is connected with whom. It may take 2 s: boxes are asked.
func (d *Dashboard) swarmGraph(w http.ResponseWriter, _ *http.Request) {
	g := swarm.Graph{Nodes: []swarm.Node{}, Links: []swarm.Link{}, Asked: time.Now().UTC(), Silent: []string{}}
	if d.Swarm != nil {
		g = d.Swarm.Graph()
	}
	d.json(w, http.StatusOK, g)
}
