// Package dashboard is the box's face for people and machines: the page with
// the saved bytes, the JSON API under /api/v1, health and metrics.
//
// It reads snapshots that the packages below hand out and changes nothing.
// Every answer is bounded and of the moment: none may be kept by a cache. It
// names hosts and sums, not who fetched what, and has no access list of its
// own: on the clients' listener the proxy's applies.
package dashboard

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"millpond/internal/catalog"
	"millpond/internal/fetch"
	"millpond/internal/ledger"
	"millpond/internal/store"
)

// Options are the snapshots that the dashboard shows. All are required but
// ClientPort.
type Options struct {
	Version string
	Totals  func() (ledger.Counts, time.Time)
	Usage   func() store.Usage
	Catalog func() catalog.Stats
	Fetch   func() fetch.Stats
	// Ready returns what keeps the box from serving well, nil if nothing.
	Ready func() []Fault
	Log   *slog.Logger
	// ClientPort is where clients are served, if that is another port than the
	// one at which the page is read.
	ClientPort string
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
	metrics http.Handler
}

// New returns a Dashboard with a metrics registry of its own.
func New(o Options) *Dashboard {
	return &Dashboard{Options: o, metrics: promhttp.HandlerFor(newRegistry(o), promhttp.HandlerOpts{})}
}

// Handler serves the whole of it, to GET and HEAD.
func (d *Dashboard) Handler() http.Handler {
	r := d.health()
	r.Get("/", d.page)
	r.Get("/api/v1/summary", d.summary)
	r.Method(http.MethodGet, "/metrics", d.metrics)
	return r
}

// Health serves /healthz and /readyz alone, for the clients' listener when
// the rest has one of its own.
func (d *Dashboard) Health() http.Handler { return d.health() }

func (d *Dashboard) health() chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.GetHead) // some load balancers probe with HEAD
	r.NotFound(notFound)
	r.Get("/healthz", d.healthz)
	r.Get("/readyz", d.readyz)
	return r
}

// Server returns an HTTP server of Handler for a listener of its own. Answers
// are small, so that its limits are on whole requests and answers.
func (d *Dashboard) Server() *http.Server {
	return &http.Server{
		Handler:        d.Handler(),
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(d.Log.Handler(), slog.LevelWarn),
	}
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
	code, answer := http.StatusOK, Readiness{"ok", append([]Fault{}, d.Ready()...)}
	for _, f := range answer.Faults {
		if f.Fatal {
			code, answer.Status = http.StatusServiceUnavailable, "unavailable"
			break
		}
		answer.Status = "degraded"
	}
	d.json(w, code, answer)
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
