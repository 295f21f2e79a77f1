package api

import "time"

// Mirror is one of the mirrors of an archive in MILLPOND_MIRRORS.
type Mirror struct {
	Archive   string     `json:"archive" doc:"URL of the archive's directory, as clients name it"`
	URL       string     `json:"url" doc:"URL of that directory at the mirror"`
	Down      string     `json:"down" doc:"why the others are asked first for now; empty if they are not"`
	FirstByte float64    `json:"first_byte_ms" doc:"usual time to the header of an answer; 0 if not measured"`
	Rate      int64      `json:"rate_bytes" doc:"usual bytes a second; 0 if not measured"`
	Measured  *time.Time `json:"measured" doc:"when it last answered; null if it has not since the start"`
}

// MirrorList is what GET /api/v1/mirrors returns.
type MirrorList struct {
	Mirrors []Mirror `json:"mirrors" doc:"in the order of the setting; empty without it"`
}

// MirrorLoads is what GET /api/v1/mirrors/load returns: what the box took of mirrors,
// and what it spared them. Without the box, each request of a client would have been
// one to a mirror, and so would its bytes.
type MirrorLoads struct {
	Days   int          `json:"days" doc:"UTC days of the period, today included"`
	Sum    MirrorLoad   `json:"sum" doc:"of all hosts"`
	Total  int          `json:"total" doc:"hosts"`
	Offset int          `json:"offset" doc:"rows left out before the first one"`
	Items  []MirrorLoad `json:"items" doc:"those that sent or spared most bytes first"`
}

// MirrorLoad is the load of one host in the period. What clients got is counted for
// the host in their URL, what mirrors sent for the one that was asked.
type MirrorLoad struct {
	Host            string       `json:"host" doc:"others for all that found no place of their own; empty in a sum"`
	Last            *time.Time   `json:"last" doc:"null if there was none"`
	Requests        int64        `json:"requests" doc:"sent to it, for any reason"`
	Bytes           int64        `json:"bytes" doc:"that it sent"`
	Statuses        []StatusLoad `json:"statuses" doc:"of its answers, by class; those without any are left out"`
	Answers         []HostAnswer `json:"answers" doc:"by status, since the ledger began; none in a sum"`
	ClientRequests  int64        `json:"client_requests" doc:"of clients for its files"`
	ClientBytes     int64        `json:"client_bytes" doc:"that they got"`
	AvoidedRequests int64        `json:"revalidations_avoided" doc:"of these requests, those for Release files and files that no index lists that were answered without a request to it: within the TTL, or because another client or the box itself had asked, or another box of the site"`
	SparedRequests  int64        `json:"spared_requests" doc:"of clients less those sent to it; may be negative"`
	SparedBytes     int64        `json:"spared_bytes" doc:"to clients less those that it sent; may be negative"`
	Days            []MirrorDay  `json:"by_day" doc:"of the period, the oldest first; those without anything are left out"`
}

// StatusLoad is what a mirror answered with statuses of one class.
type StatusLoad struct {
	Class    string `json:"class" enum:"2xx,3xx,4xx,5xx,other,none" doc:"none if no answer came"`
	Requests int64  `json:"requests"`
	Bytes    int64  `json:"bytes"`
}

// MirrorDay is a day of a MirrorLoad.
type MirrorDay struct {
	Start          time.Time `json:"start" doc:"of the UTC day"`
	Requests       int64     `json:"requests"`
	Bytes          int64     `json:"bytes"`
	SparedRequests int64     `json:"spared_requests"`
	SparedBytes    int64     `json:"spared_bytes"`
}
