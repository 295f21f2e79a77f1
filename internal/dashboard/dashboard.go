// Package dashboard is the box's face for people and machines: the page with
// the saved bytes (package web), the JSON API under /api/v1 with its OpenAPI
// document, a stream of what is new each second, health, metrics, and the
// script that sets up a client.
//
// It reads snapshots that the packages below hand out. Every answer is
// bounded, and of the moment: none but the page's own files may be kept by a
// cache. What changes something needs the admin token in a header. It has no
// access list of its own: on the clients' listener the proxy's applies.
package dashboard

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

// Options are the snapshots that the dashboard shows, and the few things that
// an administrator may do. All are required but those that say so.
type Options struct {
	Version string
	Totals  func() (ledger.Counts, time.Time)
	Usage   func() store.Usage
	Catalog func() catalog.Stats
	Fetch   func() fetch.Stats
	Ledger  Ledger
	Store   Store
	Suites  func() []catalog.SuiteInfo
	// Checked returns when a suite was last confirmed with the mirror (zero if
	// that is not known), and why it could not be since, "" if it could.
	Checked func(suite catalog.Location) (at time.Time, stale string)
	// Describe says what a blob is; catalog's.
	Describe  func(digest.Digest) (catalog.Entry, bool)
	Transfers func() []Transfer // downloads under way, the oldest first
	Prefetch  Prefetcher
	Events    *Events
	Settings  []Setting // without secrets
	Swarm     Swarm     // nil for a box in no swarm
	// Ready returns what keeps the box from serving well, nil if nothing.
	Ready func() []Fault
	Log   *slog.Logger
	// ClientPort is where clients are served, if that is another port than the
	// one at which the page is read.
	ClientPort string
	AdminToken string // "": admin actions are off
}

// Ledger has the figures over time and by name; *ledger.Ledger.
type Ledger interface {
	Series(step ledger.Step, from, to time.Time) ([]ledger.Point, error)
	Clients(after string) iter.Seq2[ledger.Account, error]
	Hosts(after string) iter.Seq2[ledger.Account, error]
	Packages(after string) iter.Seq2[ledger.Account, error]
	Package(name string) (ledger.Account, []ledger.Asker, error)
}

// Store has the blobs; *store.Store.
type Store interface {
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

// Fault is one reason why the box is degraded.
type Fault struct {
	What string `json:"what"` // the part: "store", "mirror deb.example.org"
	Why  string `json:"why"`  // in plain words
	// Fatal: the box cannot serve, and traffic should go elsewhere.
	Fatal bool `json:"fatal"`
}

// Dashboard answers everything that is not for an archive.
type Dashboard struct {
	Options
	metrics     http.Handler
	assets      map[string]asset
	description []byte        // of the API
	streams     chan struct{} // a place for each open page
	survey      survey
	names       *hostnames

	ended   chan struct{} // closed when streams are to end
	endOnce sync.Once
}

// New returns a Dashboard with a metrics registry of its own. Run must be
// called for GET /api/v1/slice and for the names of clients.
func New(o Options) *Dashboard {
	d := &Dashboard{
		Options: o, metrics: promhttp.HandlerFor(newRegistry(o), promhttp.HandlerOpts{}), assets: mustLoadAssets(),
		streams: make(chan struct{}, maxStreams), survey: survey{wanted: make(chan struct{}, 1)}, ended: make(chan struct{}),
		names: newHostnames(net.DefaultResolver),
	}
	var err error
	if d.description, err = describe(o.Version, d.operations()); err != nil {
		panic(err) // the table of operations is part of the program
	}
	return d
}

// Run does the work that goes on after a request for it, until ctx ends; it
// then returns nil.
func (d *Dashboard) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.surveys(ctx) })
	g.Go(func() error { return d.names.run(ctx) })
	return g.Wait()
}

// Handler serves the whole of it.
func (d *Dashboard) Handler() http.Handler {
	r := d.basics()
	for path := range d.assets {
		r.Get(path, d.file)
	}
	r.Get("/setup.sh", d.setup)
	for _, o := range d.operations() {
		if o.path == "peer" { // among the basics
			continue
		}
		h := http.Handler(o.handler)
		if o.admin {
			h = d.authorize(h)
		}
		r.Method(o.verb(), apiRoot+o.path, h)
	}
	r.Method(http.MethodGet, "/metrics", d.metrics)
	return r
}

// Basics serves /healthz, /readyz and /api/v1/peer alone, for the clients'
// listener when the rest has one of its own: probes and other boxes come there.
func (d *Dashboard) Basics() http.Handler { return d.basics() }

func (d *Dashboard) basics() chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.GetHead) // some load balancers probe with HEAD
	r.NotFound(notFound)
	r.Get("/healthz", d.healthz)
	r.Get("/readyz", d.readyz)
	r.Get("/api/v1/peer", d.peer)
	return r
}

// Server returns an HTTP server of Handler for a listener of its own. Answers
// are small, so that its limits are on whole requests and answers.
func (d *Dashboard) Server() *http.Server {
	s := &http.Server{
		Handler:        d.Handler(),
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(d.Log.Handler(), slog.LevelWarn),
	}
	s.RegisterOnShutdown(d.EndStreams)
	return s
}

// notFound helps whoever took the box for a mirror.
func notFound(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "millpond has no page of this name. Archives are reached as http://BOX/archive.example.org/debian "+
		"in sources.list, or with the box as Acquire::http::Proxy.", http.StatusNotFound)
}

// healthz says that the process answers; nothing more, since a restart would
// not mend a mirror that is away.
func (d *Dashboard) healthz(w http.ResponseWriter, _ *http.Request) {
	d.json(w, http.StatusOK, map[string]string{"status": "ok", "version": d.Version})
}

// Readiness is what GET /readyz returns, with 503 if a fault is fatal, else
// 200.
type Readiness struct {
	Status string  `json:"status"` // "ok", "degraded" or "unavailable"
	Faults []Fault `json:"faults"` // never null
}

// readyz says whether clients should come here, and what is degraded.
func (d *Dashboard) readyz(w http.ResponseWriter, _ *http.Request) {
	answer, code := d.readiness(), http.StatusOK
	if answer.Status == "unavailable" {
		code = http.StatusServiceUnavailable
	}
	d.json(w, code, answer)
}

func (d *Dashboard) readiness() Readiness {
	r := Readiness{"ok", append([]Fault{}, d.Ready()...)}
	for _, f := range r.Faults {
		if f.Fatal {
			r.Status = "unavailable"
			break
		}
		r.Status = "degraded"
	}
	return r
}

// fail answers a request that the box could not serve.
func (d *Dashboard) fail(w http.ResponseWriter, err error) {
	d.Log.Error("an answer could not be given", "err", err)
	http.Error(w, "The box could not answer: "+err.Error(), http.StatusInternalServerError)
}

// json writes v.
func (d *Dashboard) json(w http.ResponseWriter, code int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		d.Log.Error("an answer could not be encoded", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(b, '\n')) // a client that left is nobody's error
}
