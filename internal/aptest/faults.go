package aptest

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Fault is one way to misbehave, made by the functions below. Several may
// apply to one answer.
type Fault func(*reply, *Injection)

// Hold blocks before the headers until the injection is released or the client
// goes.
func Hold() Fault {
	return func(r *reply, in *Injection) { r.hold = append(r.hold, in.released) }
}

// Stall sends the headers and n body bytes, then blocks until the injection is
// released or the client goes. After a release the rest follows.
func Stall(n int64) Fault {
	return func(r *reply, in *Injection) { r.stops = append(r.stops, stop{n, in.released}) }
}

// Truncate declares the full length and closes the connection after n body
// bytes of the answer. A request for the rest, by Range, is answered in the same
// way: for a resume that ends well, inject it for one request.
func Truncate(n int64) Fault {
	return func(r *reply, _ *Injection) { r.stops = append(r.stops, stop{at: n}) }
}

// Slow sends at most rate body bytes a second.
func Slow(rate int64) Fault { return func(r *reply, _ *Injection) { r.rate = rate } }

// Corrupt sends the file with every bit of the n bytes at offset changed.
func Corrupt(offset, n int) Fault {
	return func(r *reply, _ *Injection) {
		r.body = bytes.Clone(r.body)
		for i := offset; i < min(offset+n, len(r.body)); i++ {
			r.body[i] ^= 0xff
		}
	}
}

// Longer appends n bytes to the file, and says so in Content-Length.
func Longer(n int) Fault {
	return func(r *reply, _ *Injection) { r.body = append(bytes.Clone(r.body), make([]byte, n)...) }
}

// Shorter drops the file's last n bytes: a complete answer with too few.
func Shorter(n int) Fault {
	return func(r *reply, _ *Injection) { r.body = r.body[:max(0, len(r.body)-n)] }
}

// OtherBody sends data in place of the file, as a portal's login page would
// come, with the validators of the file.
func OtherBody(data []byte) Fault {
	return func(r *reply, _ *Injection) { r.body, r.found = data, true }
}

// OtherFile sends the file of another path.
func OtherFile(p string) Fault {
	return func(r *reply, _ *Injection) { r.body = r.mirror.files[p].data }
}

// Status answers with a status code and a short text. headers are pairs of name
// and value: Status(429, "Retry-After", "1").
func Status(code int, headers ...string) Fault {
	return func(r *reply, _ *Injection) {
		r.status = code
		for i := 0; i+1 < len(headers); i += 2 {
			r.headers = append(r.headers, [2]string{headers[i], headers[i+1]})
		}
	}
}

// Login answers 401 to requests without one of the logins, values of an
// Authorization header (BasicLogin).
func Login(logins ...string) Fault {
	return func(r *reply, in *Injection) {
		if !slices.Contains(logins, r.entry.Authorization) {
			Status(http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="private"`)(r, in)
		}
	}
}

// BasicLogin is what a user's requests have as Authorization.
func BasicLogin(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Redirect answers 302 to a URL. To send each path to its like on another mirror,
// end the URL in "/*", which becomes the path: other.URL("/")+"*".
func Redirect(to string) Fault {
	return func(r *reply, in *Injection) {
		location := to
		if base, ok := strings.CutSuffix(to, "/*"); ok {
			location = base + (&url.URL{Path: r.entry.Path}).EscapedPath()
		}
		Status(http.StatusFound, "Location", location)(r, in)
	}
}

// RefusePlus answers 403 to a request that has a + without an escape, as storage
// does that reads it as a space.
func RefusePlus() Fault {
	return func(r *reply, in *Injection) {
		if strings.Contains(r.entry.Target, "+") {
			Status(http.StatusForbidden)(r, in)
		}
	}
}

// IgnoreRange answers with the whole file whatever Range is asked.
func IgnoreRange() Fault {
	return func(r *reply, _ *Injection) { r.ignoreRange = true }
}

// RefuseRange answers 416 to a request for a part.
func RefuseRange() Fault {
	return func(r *reply, in *Injection) {
		if r.entry.Range != "" {
			Status(http.StatusRequestedRangeNotSatisfiable)(r, in)
		}
	}
}

// NoContentLength sends in chunked encoding (with HTTP/1.0: until close).
func NoContentLength() Fault {
	return func(r *reply, _ *Injection) { r.noLength = true }
}

// NoETag leaves ETag out and Last-Modified in.
func NoETag() Fault { return func(r *reply, _ *Injection) { r.etag = "" } }

// NoValidators sends neither ETag nor Last-Modified.
func NoValidators() Fault {
	return func(r *reply, _ *Injection) { r.etag, r.modified = "", time.Time{} }
}

// CloseAfterEach closes the connection after the answer.
func CloseAfterEach() Fault {
	return func(r *reply, _ *Injection) { r.headers = append(r.headers, [2]string{"Connection", "close"}) }
}

// Drop closes the connection without an answer. For a refused connection see
// Mirror.Down.
func Drop() Fault { return func(r *reply, _ *Injection) { r.drop = true } }

// Injection is a set of faults at work on a mirror.
type Injection struct {
	mirror   *Mirror
	pattern  string
	faults   []Fault
	left     int           // requests it still applies to, -1 for all; guarded by mirror.mu
	hits     int           // guarded by mirror.mu
	changed  chan struct{} // closed and replaced at each hit; guarded by mirror.mu
	released chan struct{}
	done     bool // released is closed; guarded by mirror.mu
}

// Inject makes the mirror answer requests for paths that match with the faults,
// until the injection is released.
func (m *Mirror) Inject(pattern string, faults ...Fault) *Injection {
	return m.InjectTimes(-1, pattern, faults...)
}

// InjectTimes is Inject for the next n requests that match.
func (m *Mirror) InjectTimes(n int, pattern string, faults ...Fault) *Injection {
	in := &Injection{mirror: m, pattern: pattern, faults: faults, left: n, changed: make(chan struct{}), released: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.injections = append(m.injections, in)
	return in
}

// take reports whether the injection applies to a request, and counts it.
func (in *Injection) take(p string) bool {
	if in.done || in.left == 0 || !match(in.pattern, p) {
		return false
	}
	if in.left > 0 {
		in.left--
	}
	in.hits++
	close(in.changed)
	in.changed = make(chan struct{})
	return true
}

// Release ends the injection: no further request has the faults, and those that
// it holds or stalls go on.
func (in *Injection) Release() {
	in.mirror.mu.Lock()
	defer in.mirror.mu.Unlock()
	if !in.done {
		in.done = true
		close(in.released)
	}
}

// Hits counts the requests that had the faults.
func (in *Injection) Hits() int {
	in.mirror.mu.Lock()
	defer in.mirror.mu.Unlock()
	return in.hits
}

// Await returns when n requests have had the faults (with Hold and Stall: have
// arrived), or with the context's error.
func (in *Injection) Await(ctx context.Context, n int) error {
	for {
		in.mirror.mu.Lock()
		hits, changed := in.hits, in.changed
		in.mirror.mu.Unlock()
		if hits >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ClearFaults releases all injections.
func (m *Mirror) ClearFaults() {
	m.mu.Lock()
	injections := m.injections
	m.injections = nil
	m.mu.Unlock()
	for _, in := range injections {
		in.Release()
	}
}
