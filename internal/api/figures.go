package api

import "time"

// Counts are figures of the ledger for some span of time: body bytes, and
// requests.
type Counts struct {
	Requests     int64 `json:"requests" doc:"of clients"`
	SavedBytes   int64 `json:"saved_bytes" doc:"bytes to clients less bytes from mirrors for any reason; may be negative"`
	ClientBytes  int64 `json:"client_bytes" doc:"to clients"`
	FromStore    int64 `json:"client_bytes_from_store"`
	FromPeers    int64 `json:"client_bytes_from_peers"`
	FromMirror   int64 `json:"client_bytes_from_mirror"`
	MirrorBytes  int64 `json:"mirror_bytes" doc:"from mirrors, for any reason"`
	PeerBytesIn  int64 `json:"peer_bytes_in" doc:"from other boxes"`
	PeerBytesOut int64 `json:"peer_bytes_out" doc:"to other boxes"`
	TunnelBytes  int64 `json:"tunnel_bytes" doc:"through CONNECT tunnels, both ways"`
	// Requests of the box, and those it did not have to send.
	MirrorRequests  int64 `json:"mirror_requests" doc:"sent to mirrors, for any reason"`
	AvoidedRequests int64 `json:"revalidations_avoided" doc:"clients' requests for Release files and files that no index lists that were answered without a request to the mirror"`
}

// Summary is what GET /api/v1/summary returns: the figures since the ledger
// began, and what is held and known.
type Summary struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Counts
	Blobs      int64 `json:"blobs"`
	BlobBytes  int64 `json:"blob_bytes"`
	QuotaBytes int64 `json:"quota_bytes" doc:"MILLPOND_CACHE_SIZE in bytes"`
	LimitBytes int64 `json:"limit_bytes" doc:"how much can be held now: quota_bytes, or less if the disk has no room for that"`
	Archives   int   `json:"archives"`
	Suites     int   `json:"suites"`
	Known      int64 `json:"known_files" doc:"files that indices list"`
	Downloads  int   `json:"downloads_running"`
	Money      Money `json:"money"`
}

// Periods is what GET /api/v1/periods returns.
type Periods struct {
	Day   Counts `json:"day" doc:"since the day began"`
	Week  Counts `json:"week" doc:"of the last 7 days"`
	Month Counts `json:"month" doc:"of the last 30 days"`
	Ever  Counts `json:"ever" doc:"since the ledger began"`
}

// Point is one bucket of a Series.
type Point struct {
	Start time.Time `json:"start"`
	Counts
}

// Series is what GET /api/v1/series returns. Buckets in which nothing was
// counted are left out.
type Series struct {
	Step     string    `json:"step" enum:"minute,hour,day" doc:"unit of the interval"`
	Interval int64     `json:"interval" doc:"length of a bucket in seconds"`
	From     time.Time `json:"from" doc:"start of the first bucket: not before the ledger began"`
	To       time.Time `json:"to"`
	Points   []Point   `json:"points" doc:"the oldest first"`
	Trend    Trend     `json:"trend"`
}

// Trend compares a span of time with the one of the same length before it. A bucket that
// is partly in a span counts by that part of its time.
type Trend struct {
	Now    TrendFigures  `json:"now" doc:"of the span that was asked for, up to the present"`
	Before *TrendFigures `json:"before,omitempty" doc:"left out unless the ledger existed all that time"`
}

// TrendFigures are those of one span.
type TrendFigures struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Counts
}

// Account is what was counted for one client, archive host or package.
type Account struct {
	Name      string    `json:"name" doc:"address, host or package; others for all that found no place of their own"`
	Hostname  string    `json:"hostname" doc:"of a client; empty while it is not known"`
	GivenName string    `json:"given_name,omitempty" doc:"of a client, by an administrator; left out if there is none"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Counts
}

// Host is what was counted for one archive host.
type Host struct {
	Account
	Answers []HostAnswer `json:"answers" doc:"to the requests sent to it"`
}

// HostAnswer is how many requests to a host got one status.
type HostAnswer struct {
	Status   string `json:"status" doc:"HTTP status; none if no answer came, other for the rest"`
	Requests int64  `json:"requests"`
}

// Package is what GET /api/v1/packages/{name} returns.
type Package struct {
	Account
	Clients  []PackageClient `json:"clients" doc:"that requested it last, the latest first; at most 16"`
	Versions []Blob          `json:"versions" doc:"files of it that are held; at most 100"`
}

// PackageClient is a client that requested a package.
type PackageClient struct {
	Name      string    `json:"name" doc:"its address"`
	Hostname  string    `json:"hostname" doc:"empty if it is not known"`
	GivenName string    `json:"given_name,omitempty" doc:"by an administrator; left out if there is none"`
	Last      time.Time `json:"last"`
	Requests  int64     `json:"requests"`
	Bytes     int64     `json:"bytes"`
}
