package api

import "time"

// IdentityPath is where a box answers with its Identity, for other boxes that
// know its HTTP address.
const IdentityPath = "/api/v1/peer"

// Identity is what GET /api/v1/peer returns: the box as others dial it.
type Identity struct {
	ID    string   `json:"id"`
	Addrs []string `json:"addrs" doc:"multiaddrs with /p2p/ID"`
}

// Peer is another box.
type Peer struct {
	ID          string    `json:"id"`
	GivenName   string    `json:"given_name,omitempty" doc:"by an administrator; left out if there is none"`
	Addr        string    `json:"addr"`
	Agent       string    `json:"agent"`
	Path        string    `json:"path" enum:"direct,relayed"`
	Kind        string    `json:"kind" enum:"member,local,stranger" doc:"what it may do here: SECURITY.md has the table"`
	Nearby      bool      `json:"nearby" doc:"of this site, as far as the connection shows"`
	RTT         float64   `json:"rtt_ms" doc:"round trip; 0 if not known"`
	Taken       int64     `json:"taken_bytes"`
	Given       int64     `json:"given_bytes"`
	Held        int64     `json:"held" doc:"blobs in its inventory"`
	Score       float64   `json:"score"`
	BannedUntil time.Time `json:"banned_until,omitzero"`
	LastFault   string    `json:"last_fault,omitempty"`
	Since       time.Time `json:"connected_since"`
}

// PeerList is what GET /api/v1/peers returns.
type PeerList struct {
	Peers []Peer `json:"peers"`
}

// Swarm is what GET /api/v1/swarm returns: this box's part in the swarm.
type Swarm struct {
	Enabled      bool      `json:"enabled"`
	ID           string    `json:"id,omitempty"`
	Addrs        []string  `json:"addrs,omitempty"`
	Private      bool      `json:"private" doc:"has members only: by its key, or by MILLPOND_SWARM_ALLOW_PEERS"`
	Mode         string    `json:"mode,omitempty"`
	Reachability string    `json:"reachability,omitempty"`
	Neighbours   int       `json:"neighbours"`
	Routing      int       `json:"routing_table"`
	Records      int64     `json:"records" doc:"provider records kept, for others and itself"`
	Announced    int64     `json:"announced"`
	ToAnnounce   int64     `json:"to_announce"`
	LastAnnounce time.Time `json:"last_announce,omitzero"`
	Banned       int       `json:"banned"`
}

// Graph is what GET /api/v1/swarm/graph returns: who is connected to whom, as
// far as this box and its neighbours know.
type Graph struct {
	Nodes  []GraphNode `json:"nodes" doc:"this box among them"`
	Links  []GraphLink `json:"links" doc:"each once"`
	Asked  time.Time   `json:"asked" doc:"when the oldest answer in it was given"`
	Silent []string    `json:"silent" doc:"neighbours that did not answer"`
	Cut    bool        `json:"cut,omitempty" doc:"there were more nodes or links than the graph may have"`
}

// GraphNode is a box.
type GraphNode struct {
	ID        string `json:"id"`
	GivenName string `json:"given_name,omitempty" doc:"by an administrator; left out if there is none"`
	Self      bool   `json:"self"`
	Connected bool   `json:"connected" doc:"to this box"`
	Agent     string `json:"agent" doc:"empty unless connected"`
	Nearby    bool   `json:"nearby" doc:"of this box's site: as measured if connected, else as a box of the site says"`
}

// GraphLink is a connection of two boxes, A before B in the order of the IDs.
type GraphLink struct {
	A    string  `json:"a"`
	B    string  `json:"b"`
	Path string  `json:"path" enum:"direct,relayed"`
	RTT  float64 `json:"rtt_ms" doc:"round trip; 0 if not known"`
}

// UploadRate is the body of PUT /api/v1/swarm/upload-rate.
type UploadRate struct {
	BytesPerSecond int64 `json:"bytes_per_second" minimum:"0" doc:"0: no limit"`
}
