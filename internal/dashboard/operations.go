package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"millpond/internal/api"
	"millpond/internal/digest"
)

// Bounds of request bodies, some times what the longest sensible one takes.
const (
	maxRateBody     = 1 << 10
	maxClientBody   = 1 << 10
	maxPriceBody    = 1 << 10
	maxPrefetchBody = 8 << 10
	maxNameBody     = 1 << 10
)

// serveAPI adds the whole API to a router.
func (d *Dashboard) serveAPI(r chi.Router) {
	s := newService(r, d)
	d.serveFigures(s)
	d.serveFiles(s)
	d.serveRings(s)
	d.serveState(s)
	d.servePeer(s)
	d.serveSwarm(s)
	d.serveSite(s)
	d.serveActions(s)
	d.serveSiteActions(s)
	d.serveDocument(s)
}

func (d *Dashboard) serveFigures(s *service) {
	s = s.tagged("figures")
	read(s, "getSummary", "summary", "All figures since the ledger began", d.getSummary)
	read(s, "getPeriods", "periods", "The ledger's figures of today, 7 and 30 days, and ever", d.getPeriods)
	read(s, "getSeries", "series", "The ledger's figures over time, and how they compare with the time before", d.getSeries)
	read(s, "getWidget", "widget", "A few figures in one flat object, for widgets of other pages", d.getWidget)
	read(s, "getPrice", "price", "What a gigabyte from a mirror costs", d.getPrice)
	huma.Register(s, huma.Operation{
		Method: http.MethodGet, OperationID: "getLedgerCSV", Path: apiRoot + "ledger.csv",
		Summary: "The ledger's figures over time, to calculate with", Tags: []string{s.tag},
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(_ context.Context, q *csvQuery) (*csvAnswer, error) {
		a, err := d.getLedgerCSV(q)
		if err != nil {
			return nil, s.problem(err)
		}
		return a, nil
	})
	read(s, "listClients", "clients", "Clients that made requests", d.listClients)
	read(s, "getClient", "clients/{address}", "A client: what it got, its suites, updates that wait for it, and what it did not get", d.getClient)
	read(s, "listHosts", "hosts", "Archive hosts that clients requested files of", d.listHosts)
	read(s, "listTunnels", "tunnels", "Hosts that clients reached through tunnels, uncached, and what would have them cached", d.listTunnels)
	read(s, "listMirrorLoads", "mirrors/load", "What mirrors were asked for, answered and were spared, by host", d.listMirrorLoads)
	read(s, "listMirrors", "mirrors", "Mirrors of archives that have several (MILLPOND_MIRRORS)", d.listMirrors)
	read(s, "listPackages", "packages", "Packages that clients requested", d.listPackages)
	read(s, "getPackage", "packages/{name}", "A package: the clients that requested it, and what is held of it", d.getPackage)
}

func (d *Dashboard) serveFiles(s *service) {
	s = s.tagged("files")
	read(s, "listSuites", "suites", "Suites that clients use, and how fresh each is", d.listSuites)
	read(s, "listFollowed", "follow", "Suites that are kept up to date without a client", d.listFollowed)
	read(s, "listKeys", "keys", "Archive keys, and which suites each signed", d.listKeys)
	read(s, "getSlice", "slice", "How much is held of each part of the archives", d.getSlice)
	read(s, "findBlobs", "blobs", "Files that are held", d.findBlobs)
	read(s, "getPrefetch", "prefetch", "Progress of the prefetch", d.getPrefetch)
	read(s, "getKeep", "keep", "Slices of suites that are held complete, and how far each is", d.getKeep)
	read(s, "listTransfers", "transfers", "Downloads under way", d.listTransfers)
	read(s, "getVerify", "verify", "The check of held files: how far it is, or what the last one found", d.getVerify)
}

func (d *Dashboard) serveState(s *service) {
	s = s.tagged("state")
	schemas := s.OpenAPI().Components.Schemas
	tick := schemas.Schema(reflect.TypeFor[api.Tick](), true, "Tick")
	events := schemas.Schema(reflect.TypeFor[api.EventList](), true, "EventList")
	respond(s, huma.Operation{
		Method: http.MethodGet, OperationID: "listEvents", Path: apiRoot + "events",
		Summary: "What failed or was refused, and what administrators did; as text/event-stream, a Tick every second",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: events}, "text/event-stream": {Schema: tick},
		}}},
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) { d.streamOr(ctx, next) }},
	}, d.listEvents)
	read(s, "getOverview", "overview", "What the first screen shows: clients, disk, failures of the last hour", d.getOverview)
	read(s, "getSettings", "settings", "Settings in force", d.getSettings)
	read(s, "getSetup", "setup", "Names and addresses by which clients reach the box", d.getSetup)
	read(s, "listJobs", "jobs", "Long work under way: how much is done, how fast, and how long the rest takes", d.listJobs)
	read(s, "getDrain", "drain", "Whether the box is being taken out, and how many downloads are under way", d.getDrain)
}

// servePeer is apart: other boxes come for it to the clients' listener.
func (d *Dashboard) servePeer(s *service) {
	s = s.tagged("swarm")
	read(s, "getIdentity", "peer", "Peer ID and addresses of this box", d.getIdentity)
}

func (d *Dashboard) serveSwarm(s *service) {
	s = s.tagged("swarm")
	read(s, "listPeers", "peers", "Connected boxes", d.listPeers)
	read(s, "getSwarm", "swarm", "This box's part in the swarm", d.getSwarm)
	read(s, "getGraph", "swarm/graph", "Which boxes are connected to which, as the connected ones say when asked", d.getGraph)
}

// onDigest names a blob.
type onDigest struct {
	Digest digest.Digest `path:"digest" doc:"SHA-256 of the file, in hexadecimal"`
}

func (d *Dashboard) serveActions(s *service) {
	s = s.tagged("admin")
	blob := func(method, id, path, summary string, change func(context.Context, digest.Digest) error) {
		o := huma.Operation{Method: method, OperationID: id, Path: "blobs/{digest}" + path, Summary: summary}
		act(s, o, func(ctx context.Context, in *onDigest) error { return blobProblem(change(ctx, in.Digest)) })
	}
	blob(http.MethodPut, "pinBlob", "/pin", "Pin a file: exempt it from eviction", d.pin)
	blob(http.MethodDelete, "unpinBlob", "/pin", "Unpin a file", d.unpin)
	blob(http.MethodPost, "verifyBlob", "/verify", "Hash a file again; a damaged one is removed", d.verify)
	blob(http.MethodDelete, "removeBlob", "", "Remove a file", d.remove)
	manage := func(path, id, summary string) huma.Operation {
		return s.forAdmin(huma.Operation{
			Method: http.MethodPost, OperationID: id, Path: path, MaxBodyBytes: maxManageBody,
			Summary: summary, Middlewares: huma.Middlewares{bodyIsJSON},
		})
	}
	respond(s, manage("purge", "purge", "Remove the files of a host, or of a part of it, that are nowhere else, pinned or being read"), d.purge)
	respond(s, manage("pin", "pinFiles", "Pin a package's files, or one file: exempt them from eviction"), d.pinFiles)
	respond(s, manage("unpin", "unpinFiles", "Unpin a package's files, or one file"), d.unpinFiles)
	respond(s, manage("verify", "startVerify", "Hash held files again; damaged ones are removed, and fetched again if a signed Release lists them"), d.startVerify)
	act(s, huma.Operation{
		Method: http.MethodDelete, OperationID: "stopVerify", Path: "verify", Summary: "Stop the check of held files; the next one goes on where it was",
	}, d.stopVerify)
	d.serveBackup(s)
	d.serveCarry(s)
	respond(s, s.forAdmin(huma.Operation{
		Method: http.MethodPost, OperationID: "startPrefetch", Path: "prefetch", MaxBodyBytes: maxPrefetchBody,
		Summary: "Fetch the newer versions of what clients use, before they ask", Middlewares: huma.Middlewares{bodyIsJSON},
	}), d.startPrefetch)
	// The address is in the body: paths are in the log, here and of proxies on the way.
	respond(s, s.forAdmin(huma.Operation{
		Method: http.MethodPost, OperationID: "eraseClient", Path: "clients/erase", MaxBodyBytes: maxClientBody,
		Summary: "Erase what is kept about a client", Middlewares: huma.Middlewares{bodyIsJSON}, Metadata: map[string]any{bodyIsPrivate: true},
	}), d.eraseClient)
	act(s, huma.Operation{
		Method: http.MethodPut, OperationID: "setPrice", Path: "price", MaxBodyBytes: maxPriceBody,
		Summary: "Set what a gigabyte from a mirror costs", Middlewares: huma.Middlewares{bodyIsJSON},
	}, d.setPrice)
	act(s, huma.Operation{
		Method: http.MethodPost, OperationID: "acceptRelease", Path: "suites/accept", MaxBodyBytes: maxAcceptBody,
		Summary: "Let a rejected Release replace the one in force, and ask the mirror for it", Middlewares: huma.Middlewares{bodyIsJSON},
	}, d.acceptRelease)
	respond(s, s.forAdmin(huma.Operation{
		Method: http.MethodPost, OperationID: "startDrain", Path: "drain",
		Summary: "Take the box out until it restarts: not ready, other boxes are told, clients are still served",
	}), d.startDrain)
	act(s, huma.Operation{
		Method: http.MethodPost, OperationID: "checkToken", Path: "admin/check", Summary: "Say whether the admin token is the right one, and do nothing",
	}, func(context.Context, *none) error { return nil })
	act(s, huma.Operation{Method: http.MethodPut, OperationID: "banPeer", Path: "peers/{id}/ban", Summary: "Ban a peer for a day"}, d.ban)
	act(s, huma.Operation{
		Method: http.MethodPut, OperationID: "setUploadRate", Path: "swarm/upload-rate", MaxBodyBytes: maxRateBody,
		Summary: "Change the upload rate until the box restarts", Middlewares: huma.Middlewares{bodyIsJSON},
	}, d.setUploadRate)
}

// serveDocument adds the OpenAPI document of all operations, itself among them: in the
// version that says all, and in 3.0, which most generators of clients read.
func (d *Dashboard) serveDocument(s *service) {
	s = s.tagged("state")
	var document, older json.RawMessage
	serve := func(id, path, summary string, body *json.RawMessage) {
		respond(s, huma.Operation{
			Method: http.MethodGet, OperationID: id, Path: apiRoot + path, Summary: summary,
			Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}},
			}}},
			Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
				ctx.SetHeader("Cache-Control", "no-cache")
				next(ctx)
			}},
		}, func(context.Context, *none) (json.RawMessage, error) { return *body, nil })
	}
	serve("getOpenAPI", "openapi.json", "This document", &document)
	serve("getOpenAPI30", "openapi-3.0.json", "This document in OpenAPI 3.0, for generators of clients", &older)
	var err error
	if document, err = json.Marshal(s.OpenAPI()); err == nil {
		older, err = s.OpenAPI().Downgrade()
	}
	if err != nil {
		panic(err) // the operations are part of the program
	}
}
