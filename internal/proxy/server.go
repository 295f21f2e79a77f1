package proxy

import (
	"net/http"
	"time"

	"millpond/internal/logs"
)

const (
	// headerTimeout bounds the arrival of one request's header.
	headerTimeout = 20 * time.Second
	// idleTimeout is how long a connection may wait for its next request. apt
	// keeps one open while it unpacks an index.
	idleTimeout = 3 * time.Minute
	// maxHeader holds the longest path of a Location three times over,
	// percent-encoded, and what apt sends with it.
	maxHeader = 16 << 10
)

// Server returns the HTTP server that p is made for; the caller gives it a
// Listener of p. It has no ReadTimeout and no WriteTimeout: those count from
// the start of a request, and would cut large files on slow links and requests
// in a pipeline that wait for them. Stalls are bounded by p itself. On the way
// down its Shutdown comes before p's.
func (p *Proxy) Server() *http.Server {
	s := &http.Server{
		Handler:           p,
		ConnContext:       p.ConnContext,
		ConnState:         p.connState,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          logs.OfServer(p.log),
	}
	s.RegisterOnShutdown(p.repeats.stop)
	return s
}
