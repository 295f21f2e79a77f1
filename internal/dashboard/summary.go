package dashboard

import (
	"net/http"
	"time"
)

// Summary is what GET /api/v1/summary returns: body bytes since the ledger
// began. Saved is what clients got less what mirrors sent for any reason; it
// is negative while the box costs more than it saves.
type Summary struct {
	Version      string    `json:"version"`
	Since        time.Time `json:"since"`
	Requests     int64     `json:"requests"`
	SavedBytes   int64     `json:"saved_bytes"`
	ClientBytes  int64     `json:"client_bytes"`
	FromStore    int64     `json:"client_bytes_from_store"`
	FromPeers    int64     `json:"client_bytes_from_peers"`
	FromMirror   int64     `json:"client_bytes_from_mirror"`
	MirrorBytes  int64     `json:"mirror_bytes"`
	PeerBytesIn  int64     `json:"peer_bytes_in"`
	PeerBytesOut int64     `json:"peer_bytes_out"`
	TunnelBytes  int64     `json:"tunnel_bytes"`
	Blobs        int64     `json:"blobs"`
	BlobBytes    int64     `json:"blob_bytes"`
	QuotaBytes   int64     `json:"quota_bytes"`
	Archives     int       `json:"archives"`
	Suites       int       `json:"suites"`
	Known        int64     `json:"known_files"`
	Downloads    int       `json:"downloads_running"`
}

// snapshot reads the figures of the moment.
func (o *Options) snapshot() Summary {
	c, since := o.Totals()
	u, k := o.Usage(), o.Catalog()
	return Summary{
		Version: o.Version, Since: since.UTC(), Requests: c.Requests,
		SavedBytes: c.Saved(), ClientBytes: c.Delivered(),
		FromStore: c.DeliveredStore, FromPeers: c.DeliveredPeer, FromMirror: c.DeliveredMirror,
		MirrorBytes: c.MirrorTaken, PeerBytesIn: c.PeerTaken, PeerBytesOut: c.PeerGiven, TunnelBytes: c.Tunnelled,
		Blobs: u.Blobs, BlobBytes: u.Bytes, QuotaBytes: u.QuotaBytes,
		Archives: k.Archives, Suites: k.Suites, Known: k.Rows, Downloads: o.Fetch().Running,
	}
}

func (d *Dashboard) summary(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, d.snapshot())
}
