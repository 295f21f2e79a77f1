package blobproto

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"millpond/internal/digest"
	"millpond/internal/peer"
)

const (
	// writeTimeout is how long a write to a peer may block, and the time in which
	// a peer must send its request.
	writeTimeout = 30 * time.Second
	// retryAfter is the wait sent to a peer when all slots are taken.
	retryAfter = time.Second
	idleServer = 2 * time.Minute // longer than idleClient, or a request could reach a stream that is closing
)

// ServerOptions configure a Server.
type ServerOptions struct {
	// Rate is in bytes per second to all peers together; 0: unlimited.
	Rate int64
	// Kind returns what the peer id is to this box.
	Kind func(id string) peer.Kind
	// Fetches reports whether this box downloads for the peer id what it lacks.
	Fetches func(id string) bool
	// Unlimited reports whether the peer id is exempt from Rate.
	Unlimited func(id string) bool
	// Given counts body bytes as they leave.
	Given func(id string, n int64)
	Log   *slog.Logger
}

// Server sends blobs to peers.
type Server struct {
	options ServerOptions
	uploads *uploads
}

// NewServer returns a Server; Serve makes it serve.
func NewServer(o ServerOptions) *Server { return &Server{options: o, uploads: newUploads(o.Rate)} }

// SetRate changes the rate to all peers together, in bytes per second; 0:
// unlimited.
func (s *Server) SetRate(bytesPerSecond int64) { s.uploads.setRate(bytesPerSecond) }

// Serve serves what inv has on the streams that l accepts, until ctx ends. The
// remote address of a stream must be the peer's ID. busy, unless it is nil,
// reports whether clients are being served at full speed: peers then wait. When
// Serve returns nothing uses inv any more.
func (s *Server) Serve(ctx context.Context, l net.Listener, inv peer.Inventory, busy func() bool) error {
	h := &handler{Server: s, inventory: inv, busy: busy}
	server := &http.Server{
		Handler:           h.mux(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: writeTimeout,
		IdleTimeout:       idleServer,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(l)
	h.drain()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// handler serves requests during one Serve.
type handler struct {
	*Server
	inventory peer.Inventory
	busy      func() bool

	mu      sync.Mutex     // guards closed, and running against late additions
	closed  bool           // no more requests
	running sync.WaitGroup // requests
}

func (h *handler) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob/{digest}", h.blob) // and HEAD
	mux.HandleFunc("GET /manifest/{digest}", h.manifest)
	mux.HandleFunc("GET /pieces/{digest}", h.pieces)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.enter() {
			panic(http.ErrAbortHandler)
		}
		defer h.running.Done()
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		mux.ServeHTTP(w, r)
	})
}

// enter reports whether a request may begin.
func (h *handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.running.Add(1)
	return true
}

// drain refuses new requests and waits for the running ones.
func (h *handler) drain() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.running.Wait()
}

// asker is the peer that a request came from.
func (h *handler) asker(r *http.Request) peer.Asker {
	return peer.Asker{ID: r.RemoteAddr, Kind: h.options.Kind(r.RemoteAddr)}
}

// digestOf returns the digest that a request names. If there is none, it answers
// the request and returns false.
func digestOf(w http.ResponseWriter, r *http.Request) (digest.Digest, bool) {
	d, err := digest.Parse(r.PathValue("digest"))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	return d, err == nil
}

func (h *handler) blob(w http.ResponseWriter, r *http.Request) {
	d, ok := digestOf(w, r)
	if !ok {
		return
	}
	id := r.RemoteAddr
	up, ok := h.uploads.begin(id, h.options.Unlimited(id), h.busy)
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer up.end()
	content, err := h.inventory.Open(r.Context(), h.asker(r), d, peer.Request{Off: offsetOf(r), Fetch: h.fetchOf(r)})
	if err != nil {
		h.refuse(w, d, err)
		return
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	body := &pacedWriter{ResponseWriter: w, r: r, upload: up, gave: func(n int64) { h.options.Given(id, n) }}
	if content.Size() < 0 {
		body.WriteHeader(http.StatusOK)
		if r.Method != http.MethodHead {
			_, _ = body.ReadFrom(content) //nolint:contextcheck // it waits under the request's context; body.err has the error
		}
	} else {
		w.Header().Set("ETag", `"`+d.String()+`"`)
		if strings.Contains(r.Header.Get("Range"), ",") {
			r.Header.Del("Range") // no box asks for two, and the answer would be multipart
		}
		http.ServeContent(body, r, "", time.Time{}, content)
	}
	if body.err != nil {
		h.options.Log.Debug("upload broken off", "peer", id, "digest", d.Short(), "err", body.err)
		panic(http.ErrAbortHandler) // or an unfinished chunked body would look whole
	}
}

// fetchOf returns what r asks this box to do about a blob that it lacks.
func (h *handler) fetchOf(r *http.Request) peer.Fetch {
	for _, f := range []peer.Fetch{peer.FetchAnywhere, peer.FetchFromMirror} {
		if r.Header.Get(fetchHeader) == strconv.Itoa(int(f)) && h.options.Fetches(r.RemoteAddr) {
			return f
		}
	}
	return peer.NoFetch
}

// offsetOf returns where r begins to read; 0 if it does not say so in the way that boxes
// do.
func offsetOf(r *http.Request) int64 {
	text, _ := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	first, _, _ := strings.Cut(text, "-")
	off, _ := strconv.ParseInt(first, 10, 64)
	return max(off, 0)
}

func (h *handler) manifest(w http.ResponseWriter, r *http.Request) {
	d, ok := digestOf(w, r)
	if !ok {
		return
	}
	pieces, err := h.inventory.Manifest(r.Context(), h.asker(r), d)
	if err != nil {
		h.refuse(w, d, err)
		return
	}
	answer(w, appendManifest(nil, pieces))
}

func (h *handler) pieces(w http.ResponseWriter, r *http.Request) {
	d, ok := digestOf(w, r)
	if !ok {
		return
	}
	size, have, err := h.inventory.Pieces(h.asker(r), d)
	if err == nil && size < 0 { // no pieces before the size is known
		err = fs.ErrNotExist
	}
	if err != nil {
		h.refuse(w, d, err)
		return
	}
	answer(w, appendPieces(nil, size, have))
}

func answer(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}

// refuse answers a request that failed with err.
func (h *handler) refuse(w http.ResponseWriter, d digest.Digest, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.options.Log.Debug("upload failed", "digest", d.Short(), "err", err)
	w.WriteHeader(http.StatusServiceUnavailable)
}
