package aptest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"
)

// MirrorOptions are choices for the life of a mirror. The zero value is an
// honest HTTP mirror on a free loopback port.
type MirrorOptions struct {
	Listen string // "127.0.0.1:0" if empty; any 127.x.y.z gives a mirror on another host
	TLS    bool   // HTTPS with the certificate of CertPEM
	Forget bool   // drop all files of a former generation, where real mirrors keep some for a time
}

// Mirror serves generations of archives over HTTP, each under a base path. It
// answers GET and HEAD with ETag, Last-Modified, conditional requests, ranges
// and kept-alive connections, counts what it is asked and sends, and misbehaves
// as Inject tells it.
//
// Paths are those of URLs, percent-decoded, clean and with the base:
// "/debian/dists/…".
// Where a pattern is asked for, * stands for any characters, slashes included.
type Mirror struct {
	options MirrorOptions
	addr    string
	cert    *x509.Certificate // with TLS

	mu         sync.Mutex
	server     *httptest.Server       // guarded by mu; nil while down
	files      map[string]stamped     // guarded by mu
	generation map[string]*Generation // by base; guarded by mu
	log        []*Request             // guarded by mu, what it points to as well
	injections []*Injection           // guarded by mu
	closed     bool                   // guarded by mu

	hookMu sync.Mutex    // held while a hook runs, one at a time; before mu
	hook   func(Request) // guarded by hookMu
}

// Request is one request as the mirror saw it, and its answer.
type Request struct {
	Method, Host, Path                           string
	Range, IfRange, IfNoneMatch, IfModifiedSince string
	UserAgent, Authorization, CacheControl       string
	Target                                       string // as the request line has it, escapes and all
	Status                                       int    // 0 until answered, and if the connection was cut before
	Sent                                         int64  // body bytes handed to the connection
	Faults                                       int    // injections that matched
}

// NewMirror starts a mirror with no files. It is closed at the end of the test.
func NewMirror(tb testing.TB, o MirrorOptions) *Mirror {
	tb.Helper()
	setDefault(&o.Listen, "127.0.0.1:0")
	m := &Mirror{options: o, files: map[string]stamped{}, generation: map[string]*Generation{}}
	m.addr = o.Listen
	if err := m.Up(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	return m
}

// Up opens the mirror's port again after Down.
func (m *Mirror) Up() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server != nil || m.closed {
		return nil
	}
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		return fmt.Errorf("starting a mirror: %w", err)
	}
	m.addr = l.Addr().String()
	m.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: m, ErrorLog: quiet}}
	if m.options.TLS {
		m.server.StartTLS()
		m.cert = m.server.Certificate()
	} else {
		m.server.Start()
	}
	return nil
}

// Down closes the port and all connections: new ones are refused.
func (m *Mirror) Down() {
	m.mu.Lock()
	server := m.server
	m.server = nil
	m.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

// Close stops the mirror and returns when no handler runs.
func (m *Mirror) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.ClearFaults()
	m.Down()
}

// Addr is the mirror's host:port, the same for its whole life.
func (m *Mirror) Addr() string { return m.addr }

// URL returns the URL of a path: m.URL("/debian/" + file.Path).
func (m *Mirror) URL(p string) string {
	scheme := "http"
	if m.options.TLS {
		scheme = "https"
	}
	return scheme + "://" + m.addr + (&url.URL{Path: path.Join("/", p)}).EscapedPath()
}

// Source returns a line for sources.list: m.Source("/debian", "stable", "main").
func (m *Mirror) Source(base string, suiteAndComponents ...string) string {
	return "deb " + m.URL(base) + " " + strings.Join(suiteAndComponents, " ")
}

// CertPEM is the certificate of a TLS mirror, its own authority. It is valid
// for 127.0.0.1, ::1 and example.com.
func (m *Mirror) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert.Raw})
}

// CertPool holds the certificate of a TLS mirror.
func (m *Mirror) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(m.cert)
	return pool
}

// Publish makes g what the mirror has under base ("/debian"), all at once. Of
// the generation that was there, files of the pool and by-hash stay.
func (m *Mirror) Publish(base string, g *Generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if former := m.generation[base]; former != nil {
		for name := range former.files {
			if m.options.Forget || !stays(name) {
				delete(m.files, path.Join(base, name))
			}
		}
	}
	for name, f := range g.files {
		m.files[path.Join(base, name)] = f
	}
	m.generation[base] = g
}

func stays(name string) bool {
	return strings.HasPrefix(name, "pool/") || strings.Contains(name, "/by-hash/")
}

// Put adds or replaces a file that belongs to no generation.
func (m *Mirror) Put(p string, data []byte, modified time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path.Join("/", p)] = stamped{data, modified}
}

// Delete takes a file away.
func (m *Mirror) Delete(p string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, path.Join("/", p))
}

// OnRequest sets a function that runs before each request is answered, for one
// request at a time. It may call the mirror, but for Down and Close: to publish
// another generation between any two requests, say. nil removes it.
func (m *Mirror) OnRequest(hook func(Request)) {
	m.hookMu.Lock()
	defer m.hookMu.Unlock()
	m.hook = hook
}

// Log returns all requests so far, in order of arrival.
func (m *Mirror) Log() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := make([]Request, len(m.log))
	for i, r := range m.log {
		log[i] = *r
	}
	return log
}

// Requests counts the requests so far for paths that match.
func (m *Mirror) Requests(pattern string) int {
	n := 0
	for _, r := range m.Log() {
		if match(pattern, r.Path) {
			n++
		}
	}
	return n
}

// BytesSent counts the body bytes sent for paths that match, those of error
// answers and cut ones included. What a client that went away did not read, but
// the kernel took, counts as sent.
func (m *Mirror) BytesSent(pattern string) int64 {
	var n int64
	for _, r := range m.Log() {
		if match(pattern, r.Path) {
			n += r.Sent
		}
	}
	return n
}

// ResetLog forgets all requests so far.
func (m *Mirror) ResetLog() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = nil
}

// ServeHTTP implements http.Handler, for a mirror behind another listener.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	entry := &Request{
		// For flat repositories apt asks for "/base/./Release".
		Method: r.Method, Host: r.Host, Path: path.Clean("/" + r.URL.Path),
		Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range"),
		IfNoneMatch: r.Header.Get("If-None-Match"), IfModifiedSince: r.Header.Get("If-Modified-Since"),
		UserAgent: r.UserAgent(), Target: r.RequestURI, Authorization: r.Header.Get("Authorization"), CacheControl: r.Header.Get("Cache-Control"),
	}
	m.runHook(*entry)
	rep := m.arrive(entry)
	rep.w, rep.r = w, r
	rep.serve()
}

func (m *Mirror) runHook(r Request) {
	m.hookMu.Lock()
	defer m.hookMu.Unlock()
	if m.hook != nil {
		m.hook(r)
	}
}

// arrive logs a request and plans its answer from the files and faults of this
// instant.
func (m *Mirror) arrive(entry *Request) *reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, entry)
	rep := &reply{mirror: m, entry: entry}
	if f, ok := m.files[entry.Path]; ok {
		rep.found, rep.modified = true, f.modified
		rep.body = f.data
		rep.etag = fmt.Sprintf(`"%x-%x"`, len(f.data), f.modified.UnixNano())
	}
	for _, in := range m.injections {
		if in.take(entry.Path) {
			entry.Faults++
			for _, fault := range in.faults {
				fault(rep, in)
			}
		}
	}
	return rep
}

// match reports whether a path matches a pattern with * for any characters.
func match(pattern, p string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == p
	}
	p, ok := strings.CutPrefix(p, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(p, part)
		if !ok {
			return false
		}
		p = rest
	}
	return strings.HasSuffix(p, parts[len(parts)-1])
}
