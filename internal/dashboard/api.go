package dashboard

import (
	"net/http"

	"millpond/internal/swarm"
)

// operation is one thing that the API does. The table of them is what is
// served and what the OpenAPI document describes.
type operation struct {
	method, path string
	does         string // one line
	params       []param
	takes        any    // an example of the body, nil for none
	gives        any    // an example of the JSON answer, nil for 204
	as           string // the answer's media type if it is not JSON
	admin        bool   // needs the token
	handler      http.HandlerFunc
}

// param is a part of a query or of a path.
type param struct {
	name, in, does string
	schema         schema
}

func query(name, does string, s schema) param { return param{name, "query", does, s} }
func inPath(name, does string) param          { return param{name, "path", does, schema{"type": "string"}} }

var (
	text     = schema{"type": "string"}
	instant  = schema{"type": "string", "format": "date-time"}
	oneOf    = func(names ...string) schema { return schema{"type": "string", "enum": names} }
	windowed = []param{
		query("offset", "rows to leave out", schema{"type": "integer", "minimum": 0}),
		query("limit", "rows at most", schema{"type": "integer", "minimum": 1, "maximum": maxPage, "default": 50}),
	}
)

// Answers that are objects around a list, so that fields can join them later.
type (
	// EventList is what GET /api/v1/events returns.
	EventList struct {
		Events []Event `json:"events"` // never null, the latest first
	}
	// TransferList is what GET /api/v1/transfers returns.
	TransferList struct {
		Transfers []Transfer `json:"transfers"` // never null
	}
	// PeerList is what GET /api/v1/peers returns.
	PeerList struct {
		Peers []Peer `json:"peers"` // never null
	}
	// UploadRate is the body of PUT /api/v1/swarm/upload-rate.
	UploadRate struct {
		BytesPerSecond *int64 `json:"bytes_per_second"` // 0: no limit
	}
)

// operations is the API.
func (d *Dashboard) operations() []operation {
	span := []param{query("from", "first bucket's time", instant), query("to", "time after the last bucket", instant)}
	step := oneOf("minute", "hour", "day")
	accounts := func(usual string) []param {
		return append([]param{
			query("q", "part of the name, or of a client's hostname", text),
			query("sort", usual+" unless told", oneOf("saved", "bytes", "requests", "last", "name")),
		}, windowed...)
	}
	return []operation{
		{path: "summary", does: "All figures since the ledger began", gives: Summary{}, handler: d.summary},
		{path: "periods", does: "The ledger's figures of today, 7 and 30 days, and ever", gives: Periods{}, handler: d.periods,
			params: []param{query("day", "when the reader's day began, at most 25 h ago", instant)}},
		{path: "series", does: "The ledger's figures over time", gives: Series{}, handler: d.series,
			params: append([]param{query("step", "length of a bucket; needed", step)}, span...)},
		{path: "ledger.csv", does: "The ledger's figures over time, to calculate with", as: "text/csv", handler: d.ledgerCSV,
			params: append([]param{query("step", "length of a row, day unless told", step)}, span...)},
		{path: "clients", does: "Who asked the box", gives: Page[Account]{}, handler: d.clients, params: accounts("bytes")},
		{path: "hosts", does: "What archive hosts were asked for", gives: Page[Account]{}, handler: d.hosts, params: accounts("bytes")},
		{path: "packages", does: "What packages were asked for", gives: Page[Account]{}, handler: d.packages, params: accounts("saved")},
		{path: "packages/{name}", does: "A package: who asked for it, and what is held of it", gives: Package{}, handler: d.packageOf,
			params: []param{inPath("name", "of a binary package, or of a source")}},
		{path: "suites", does: "Suites that clients use, and how fresh each is", gives: Page[Suite]{}, handler: d.suites, params: windowed},
		{path: "slice", does: "How much is held of what", gives: Slice{}, handler: d.slice},
		{path: "blobs", does: "Files that are held", gives: Found{}, handler: d.blobs, params: []param{
			query("q", "beginning or part of the file's name, or at least six digits of the beginning of its digest", text),
			query("after", "where to go on: next of the last answer", text), windowed[1]}},
		{path: "prefetch", does: "How the fetching of update waves goes", gives: Prefetch{}, handler: d.prefetchState},
		{path: "transfers", does: "Downloads under way", gives: TransferList{}, handler: d.transfers},
		{path: "events", does: "What went wrong or was refused; as text/event-stream, a Tick every second", gives: EventList{},
			handler: d.eventList, params: windowed[1:]},
		{path: "settings", does: "What the box runs with", gives: Settings{}, handler: d.settings},
		{path: "peer", does: "Who this box is among others", gives: swarm.Identity{}, handler: d.peer},
		{path: "peers", does: "Connected boxes", gives: PeerList{}, handler: d.peers},
		{path: "swarm", does: "This box's part in the swarm", gives: SwarmStatus{}, handler: d.swarmStatus},
		{path: "swarm/graph", does: "Who is connected with whom, as the connected boxes tell when asked", gives: swarm.Graph{}, handler: d.swarmGraph},
		{path: "openapi.json", does: "This document", gives: map[string]any{}, handler: d.openAPI},

		{method: "PUT", path: "blobs/{digest}/pin", does: "Keep a file from eviction", admin: true, handler: d.pin(true), params: onDigest},
		{method: "DELETE", path: "blobs/{digest}/pin", does: "Let eviction have a file again", admin: true, handler: d.pin(false), params: onDigest},
		{method: "POST", path: "blobs/{digest}/verify", does: "Hash a file anew; a damaged one is removed", admin: true, handler: d.onBlob(d.verify), params: onDigest},
		{method: "DELETE", path: "blobs/{digest}", does: "Remove a file", admin: true, handler: d.onBlob(d.remove), params: onDigest},
		{method: "POST", path: "prefetch", does: "Fetch the newer versions of what clients have had, ahead", admin: true, handler: d.prefetch,
			takes: PrefetchRequest{}, gives: Prefetch{}},
		{method: "PUT", path: "peers/{id}/ban", does: "Keep a box out for a day", admin: true, handler: d.ban, params: []param{inPath("id", "its peer ID")}},
		{method: "PUT", path: "swarm/upload-rate", does: "Change the upload rate until the box is started again", admin: true, handler: d.uploadRate, takes: UploadRate{}},
	}
}

var onDigest = []param{inPath("digest", "SHA-256 of the file, in hexadecimal")}
