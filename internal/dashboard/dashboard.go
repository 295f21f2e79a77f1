// Package dashboard serves what people and machines look at: the page (package
// web), the JSON API under /api/v1 (package api) with its OpenAPI document, a
// stream of what is new each second, health, metrics, and the script that sets
// up a client.
//
// It reads snapshots that the packages below return. Every answer is bounded,
// and of the moment: caches may keep the page's own files only. Requests are
// validated by the types that describe them; errors are api.Problem. Actions
// that change something need the admin token in a header. Access says who may
// look, on the clients' listener after the proxy's own list.
package dashboard

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"millpond/internal/api"
	"millpond/internal/broadcast"
	"millpond/internal/carry"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/hostnames"
	"millpond/internal/ledger"
	"millpond/internal/logs"
	"millpond/internal/store"
)

// Options are what the dashboard shows, and what an administrator may change.
// All are required but those that say so.
type Options struct {
	Version  string
	Ledger   Ledger
	Store    Store
	Catalog  Catalog
	Keys     Keys
	Fetch    Fetch
	Mirrors  Mirrors
	Follow   Follower
	Prefetch Prefetcher
	Rings    Rings
	Notes    Notes
	Keep     Keeper
	Jobs     Jobs
	Verifier Verifier
	Carrier  Carrier
	// WantList is what the box wants from outside.
	WantList func(context.Context) (*carry.WantList, error)
	// Backup calls write with a backup of so many bytes; jobs.ErrRunning says that
	// another one is being made.
	Backup   func(use func(size int64, write func(io.Writer) error) error) error
	Swarm    Swarm // nil for a box in no swarm
	Site     Site
	Events   *Events
	Settings []api.Setting // without secrets
	// Ready returns what keeps the box from serving well, nil if nothing.
	Ready func() []api.Fault
	// Drain begins to take the box out; Draining says how far that is.
	Drain    func()
	Draining func() api.Drain
	Log      *slog.Logger
	// Places are where clients may reach the box.
	Places Places
	// Price is the one that was set last, and KeepPrice keeps another one.
	Price     api.Price
	KeepPrice func(api.Price) error
	// ClientPort is where clients are served, if that is another port than the
	// one at which the page is read.
	ClientPort string
	AdminToken string // "": admin actions are off
	Access     Access
	Resolver   hostnames.Resolver // of the names of clients; nil shows none
	Privacy    api.Privacy        // what the parts below do not keep
	// Erase removes a client from all that the box keeps but the Dashboard's own;
	// known reports whether there was anything.
	Erase func(client netip.Addr) (known bool, err error)
}

// Ledger has the figures, over time and by name; *ledger.Ledger.
type Ledger interface {
	Totals() (ledger.Counts, time.Time)
	Series(step ledger.Step, from, to time.Time) ([]ledger.Point, error)
	Clients(after string) iter.Seq2[ledger.Account, error]
	Client(client netip.Addr) (ledger.Account, error)
	Hosts(after string) iter.Seq2[ledger.Account, error]
	Packages(after string) iter.Seq2[ledger.Account, error]
	Package(name string) (ledger.Account, []ledger.RecentClient, error)
	Tunnels(now time.Time, days int) []ledger.TunnelHost
	Mirrors(now time.Time, days int) []ledger.MirrorHost
}

// Store has the blobs; *store.Store.
type Store interface {
	Usage() store.Usage
	Limit() (store.Limit, error)
	All() iter.Seq2[store.Info, error]
	From(d digest.Digest) iter.Seq2[store.Info, error]
	Names(prefix, after string) iter.Seq2[store.Named, error]
	Named(prefix, after string) iter.Seq2[store.Info, error]
	Stat(d digest.Digest) (store.Info, error)
	Pin(d digest.Digest, owner string) error
	Unpin(d digest.Digest, owner string) error
	Remove(d digest.Digest) error
	Verify(ctx context.Context, d digest.Digest) error
}

// Catalog says what files are; *catalog.Catalog.
type Catalog interface {
	Stats() catalog.Stats
	Suites() []catalog.SuiteInfo
	Moments(suite catalog.Location) []catalog.Moment
	PackagesOf(suite catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error]
	Describe(digest.Digest) (catalog.Entry, bool)
}

// Fetch has the downloads; *fetch.Fetcher.
type Fetch interface {
	Stats() fetch.Stats
	// Transfers lists the downloads under way, the oldest first.
	Transfers() []fetch.Transfer
	// Checked returns when a suite was last confirmed with the mirror (zero if
	// that is not known), and why it could not be since, "" if it could.
	Checked(suite catalog.Location) (at time.Time, stale string)
	// CheckedBy returns the peer ID of the box whose mirror confirmed it then; "" for
	// this box's.
	CheckedBy(suite catalog.Location) string
	// Rejected returns what the mirror had of a suite when it was last asked and
	// does not replace the Release in force; AcceptRelease lets it do so.
	Rejected(suite catalog.Location) (r fetch.Rejected, ok bool)
	// Purge removes the files that are in a scope alone.
	Purge(ctx context.Context, s fetch.Scope, from digest.Digest) (fetch.Purged, error)
	AcceptRelease(ctx context.Context, suite catalog.Location, d digest.Digest) error
}

// Dashboard answers every request that is not for an archive.
type Dashboard struct {
	version    string
	ledger     Ledger
	store      Store
	catalog    Catalog
	keys       Keys
	fetch      Fetch
	mirrors    Mirrors
	follow     Follower
	prefetch   Prefetcher
	rings      Rings
	notes      Notes
	keep       Keeper
	jobs       Jobs
	verifier   Verifier
	carrier    Carrier
	wantList   func(context.Context) (*carry.WantList, error)
	backup     func(func(int64, func(io.Writer) error) error) error
	swarm      Swarm
	site       Site
	events     *Events
	settings   []api.Setting
	ready      func() []api.Fault
	drain      func()
	draining   func() api.Drain
	log        *slog.Logger
	clientPort string
	adminToken string
	access     Access
	privacy    api.Privacy
	erase      func(netip.Addr) (bool, error)

	times     times
	places    Places
	price     price
	comparing sync.Mutex // held by the one request that compares a client's packages

	wrongTokens bursts

	whole, basics http.Handler
	metrics       http.Handler
	assets        map[string]asset
	streams       *front.Shares // a place for each open page
	survey        survey
	overview      overview
	names         *hostnames.Names

	ended   chan struct{} // closed when streams are to end
	endOnce sync.Once
}

// New returns a Dashboard with a metrics registry of its own. Run must be
// called for GET /api/v1/slice and for the names of clients.
func New(o Options) *Dashboard {
	d := &Dashboard{
		version: o.Version, ledger: o.Ledger, store: o.Store, catalog: o.Catalog, keys: o.Keys, fetch: o.Fetch, mirrors: o.Mirrors, follow: o.Follow, prefetch: o.Prefetch, rings: o.Rings, notes: o.Notes, keep: o.Keep, jobs: o.Jobs, verifier: o.Verifier, carrier: o.Carrier, wantList: o.WantList, backup: o.Backup, swarm: o.Swarm, site: o.Site,
		events: o.Events, settings: o.Settings, ready: o.Ready, drain: o.Drain, draining: o.Draining, log: o.Log, clientPort: o.ClientPort, adminToken: o.AdminToken, access: o.Access, privacy: o.Privacy, erase: o.Erase,
		places: o.Places, price: price{now: o.Price, keep: o.KeepPrice},
		assets: mustLoadAssets(), streams: front.NewShares(maxStreams), survey: survey{wanted: broadcast.NewWake()}, overview: overview{started: time.Now()},
		names: hostnames.New(o.Resolver), times: newTimes(), ended: make(chan struct{}),
	}
	d.metrics = promhttp.HandlerFor(newRegistry(d), promhttp.HandlerOpts{})
	d.whole, d.basics = d.routes(), d.probes()
	return d
}

// Run does the work that goes on after a request for it, until ctx ends; it
// then returns nil.
func (d *Dashboard) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.surveys(ctx) })
	g.Go(func() error { return d.names.Run(ctx) })
	g.Go(func() error { return d.events.Run(ctx, d.log) })
	return g.Wait()
}

// Handler serves the whole of it.
func (d *Dashboard) Handler() http.Handler { return d.whole }

// Basics serves /healthz, /readyz, /probe and /api/v1/peer alone, for the clients'
// listener when the rest has one of its own: probes and other boxes come there.
func (d *Dashboard) Basics() http.Handler { return d.basics }

func (d *Dashboard) routes() chi.Router {
	r := d.router()
	for path := range d.assets {
		r.Get(path, d.file)
	}
	r.Get("/setup.sh", d.setup)
	r.Group(func(r chi.Router) {
		r.Use(d.guard)
		r.Method(http.MethodGet, "/metrics", d.metrics)
		d.serveAPI(r)
	})
	return r
}

func (d *Dashboard) probes() chi.Router {
	r := d.router()
	d.servePeer(newService(r, d))
	return r
}

// router has what every listener answers.
func (d *Dashboard) router() chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.GetHead) // some load balancers probe with HEAD
	r.NotFound(notFound)
	r.Get("/healthz", d.healthz)
	r.Get("/readyz", d.readyz)
	r.Get("/probe", d.probe)
	return r
}

// Server returns an HTTP server of Handler for a listener of its own. Answers
// are small, so that its limits are on whole requests and answers.
func (d *Dashboard) Server() *http.Server {
	s := &http.Server{
		Handler:        d.Handler(),
		ConnContext:    front.ConnContext,
		ConnState:      front.ConnState,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       logs.OfServer(d.log),
	}
	s.RegisterOnShutdown(d.EndStreams)
	return s
}

// notFound helps clients that took the box for a mirror.
func notFound(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "millpond has no page of this name. Archives are reached as http://BOX/archive.example.org/debian "+
		"in sources.list, or with the box as Acquire::http::Proxy.", http.StatusNotFound)
}
