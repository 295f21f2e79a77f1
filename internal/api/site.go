package api

import "time"

// Site is what GET /api/v1/site returns: the sums over the boxes that this one shares
// figures with. Each byte counts once: what one box got from another and gave to a
// client is in client_bytes once, and in mirror_bytes only if a mirror sent it.
type Site struct {
	Proved SiteSum `json:"proved" doc:"of this box and the members of its swarm"`
	All    SiteSum `json:"all" doc:"with local boxes, whose figures nothing proves"`
}

// SiteSum are the figures of several boxes together. Boxes that are away are in it with
// their last figures, and without rates or faults.
type SiteSum struct {
	Boxes int       `json:"boxes"`
	Away  int       `json:"boxes_away" doc:"of these, not connected now"`
	Since time.Time `json:"since" doc:"when the first of their ledgers began"`
	Counts
	Rates         Rates      `json:"rates"`
	Blobs         int64      `json:"blobs" doc:"files held; one that two boxes hold counts twice"`
	BlobBytes     int64      `json:"blob_bytes"`
	QuotaBytes    int64      `json:"quota_bytes"`
	Clients       int64      `json:"clients" doc:"one that came to several boxes counts once"`
	ClientsExact  bool       `json:"clients_exact" doc:"false: an estimate, or some boxes tell only how many they have, so that one that moved between those counts more than once"`
	Packages      int64      `json:"packages" doc:"names of packages that clients requested, each once"`
	PackagesExact bool       `json:"packages_exact" doc:"as clients_exact"`
	Status        string     `json:"status" enum:"ok,degraded,unavailable" doc:"the worst of the connected boxes"`
	Worst         *SiteFault `json:"worst" doc:"the worst fault of the connected boxes; null if none has one"`
	FaultyBoxes   int        `json:"boxes_faulty" doc:"connected boxes that are not ok"`
	Downloads     int64      `json:"downloads_running"`
}

// SiteFault is a fault of one of the boxes.
type SiteFault struct {
	Box       string `json:"box" doc:"peer ID; empty for a box in no swarm"`
	GivenName string `json:"given_name" doc:"of the box; empty if it has none"`
	Fault
}

// Rates are bytes per second, over the last 10 s or so.
type Rates struct {
	Client     int64 `json:"client_bytes"`
	FromStore  int64 `json:"client_bytes_from_store"`
	FromPeers  int64 `json:"client_bytes_from_peers"`
	FromMirror int64 `json:"client_bytes_from_mirror"`
	Mirror     int64 `json:"mirror_bytes"`
	PeerIn     int64 `json:"peer_bytes_in"`
	PeerOut    int64 `json:"peer_bytes_out"`
}

// SiteBoxes is what GET /api/v1/site/boxes returns.
type SiteBoxes struct {
	Boxes []SiteBox `json:"boxes" doc:"this one first, then the others by name and ID; at most 257"`
}

// SiteBox is one box with its figures, as it last told them.
type SiteBox struct {
	ID        string    `json:"id" doc:"peer ID; empty for a box in no swarm"`
	GivenName string    `json:"given_name" doc:"by an administrator; empty if there is none"`
	Self      bool      `json:"self"`
	Kind      string    `json:"kind" enum:"member,local" doc:"member for this box"`
	Unproved  bool      `json:"unproved" doc:"a local box: nothing proves its figures"`
	Away      bool      `json:"away" doc:"not connected now: the figures are those of seen"`
	Seen      time.Time `json:"seen" doc:"when it told its figures"`
	Version   string    `json:"version"`
	Since     time.Time `json:"since" doc:"when its ledger began"`
	Counts
	Rates      Rates   `json:"rates"`
	Blobs      int64   `json:"blobs"`
	BlobBytes  int64   `json:"blob_bytes"`
	QuotaBytes int64   `json:"quota_bytes"`
	Clients    int64   `json:"clients"`
	Packages   int64   `json:"packages"`
	Suites     int64   `json:"suites"`
	Downloads  int64   `json:"downloads_running"`
	Status     string  `json:"status" enum:"ok,degraded,unavailable"`
	Faults     []Fault `json:"faults" doc:"at most 8"`
}

// SiteSuites is what GET /api/v1/site/suites returns.
type SiteSuites struct {
	Suites []SiteSuite `json:"suites" doc:"by URL; at most 1000"`
}

// SiteSuite is a suite that clients of some boxes use.
type SiteSuite struct {
	URL      string    `json:"url" doc:"of its directory"`
	State    string    `json:"state" enum:"expired,stale,unsigned,unchecked,fresh" doc:"the worst of the connected boxes"`
	Worst    string    `json:"worst_box" doc:"peer ID of the box with that state; empty if all have the same"`
	Checked  time.Time `json:"checked,omitzero" doc:"with a mirror, last, by any of the boxes; left out if not known"`
	Boxes    int       `json:"boxes" doc:"that have it, connected or not"`
	Unproved bool      `json:"unproved" doc:"only local boxes have it"`
}

// SitePackages is what GET /api/v1/site/packages returns.
type SitePackages struct {
	Packages []SitePackage `json:"packages" doc:"most saved first; at most 100"`
}

// SitePackage is what boxes counted for a package. Each box tells of the 100 that it
// saved most with, so that the sum of one that is further down on some box is too small.
type SitePackage struct {
	Name string `json:"name"`
	Counts
	Boxes int `json:"boxes" doc:"that told of it"`
}

// GivenName is the body of PUT /api/v1/site/boxes/{id}/name.
type GivenName struct {
	Name string `json:"name" maxLength:"64" doc:"empty removes the name"`
}

// ClientName is the body of PUT /api/v1/clients/name.
type ClientName struct {
	Address string `json:"address" maxLength:"64" doc:"IP address"`
	Name    string `json:"name" maxLength:"64" doc:"empty removes the name"`
}
