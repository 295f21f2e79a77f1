package aptest

import (
	"bytes"
	"cmp"
	"io"
	"log"
	"net/http"
	"slices"
	"time"
)

// quiet drops the server's complaints about connections cut on purpose.
var quiet = log.New(io.Discard, "", 0)

// reply is the answer to one request: first a plan that faults change, then the
// writer that carries it out.
type reply struct {
	mirror *Mirror
	entry  *Request

	found    bool
	body     []byte
	modified time.Time
	etag     string

	delay       time.Duration   // before the headers
	hold        []chan struct{} // to wait for before the headers
	drop        bool
	status      int  // answer this in place of the file, if not 0
	empty       bool // the status has no text
	headers     [][2]string
	overrides   [][2]string // over the headers of the file
	raw         string      // in place of an answer, if not empty
	reset       bool        // the connection after raw
	ignoreRange bool
	noLength    bool
	stops       []stop    // in the body, by place
	rate        int64     // body bytes a second, if not 0
	due         time.Time // when what was sent so far is, at that rate

	w    http.ResponseWriter
	r    *http.Request
	sent int64
}

// stop is a place in the body: the connection waits there, or ends if there is
// nothing to wait for.
type stop struct {
	at   int64
	wait chan struct{}
}

func (r *reply) serve() {
	r.sleep(r.delay)
	for _, released := range r.hold {
		r.wait(released)
	}
	if r.drop {
		panic(http.ErrAbortHandler)
	}
	if r.raw != "" {
		r.sendRaw()
		return
	}
	slices.SortStableFunc(r.stops, func(x, y stop) int { return cmp.Compare(x.at, y.at) })
	h := r.Header()
	h.Set("Server", "aptest")
	for _, pair := range r.headers {
		h.Set(pair[0], pair[1])
	}
	switch {
	case r.r.Method != http.MethodGet && r.r.Method != http.MethodHead:
		http.Error(r, "GET and HEAD only", http.StatusMethodNotAllowed)
	case r.empty:
		h.Set("Content-Length", "0")
		r.WriteHeader(r.status)
	case r.status != 0:
		http.Error(r, http.StatusText(r.status), r.status)
	case !r.found:
		http.Error(r, "no such file", http.StatusNotFound)
	default:
		r.serveFile()
	}
}

func (r *reply) serveFile() {
	h := r.Header()
	h.Set("Content-Type", "application/octet-stream")
	if r.etag != "" {
		h.Set("ETag", r.etag)
	}
	if r.ignoreRange {
		r.r.Header.Del("Range")
	}
	http.ServeContent(r, r.r, "", r.modified, bytes.NewReader(r.body))
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header { return r.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(code int) {
	if r.ignoreRange {
		r.Header().Del("Accept-Ranges")
	}
	if r.noLength {
		r.Header().Del("Content-Length")
	}
	for _, pair := range r.overrides {
		r.Header().Del(pair[0])
		if pair[1] != "" {
			r.Header().Set(pair[0], pair[1])
		}
	}
	r.mirror.mu.Lock()
	r.entry.Status = code
	r.mirror.mu.Unlock()
	r.w.WriteHeader(code)
	if r.noLength {
		// Without this a small body would be measured at the end.
		r.flush()
	}
}

// Write implements http.ResponseWriter: it sends b with the stops and at the
// rate of the plan.
func (r *reply) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		for len(r.stops) > 0 && r.stops[0].at <= r.sent {
			r.halt(r.stops[0])
			r.stops = r.stops[1:]
		}
		part := b[n:]
		if len(r.stops) > 0 {
			part = part[:min(int64(len(part)), r.stops[0].at-r.sent)]
		}
		if r.rate > 0 {
			part = part[:min(int64(len(part)), max(1, r.rate/tick))]
		}
		m, err := r.send(part)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// tick is how many times a second a slow mirror sends.
const tick = 100

func (r *reply) send(b []byte) (int, error) {
	if err := r.pace(len(b)); err != nil {
		return 0, err
	}
	// Counted before the client can have it, so that a test that has read a
	// body finds it counted.
	r.count(len(b))
	n, err := r.w.Write(b)
	r.count(n - len(b))
	return n, err
}

func (r *reply) count(n int) {
	if r.r.Method == http.MethodHead {
		return // the server drops the body
	}
	r.sent += int64(n)
	r.mirror.mu.Lock()
	defer r.mirror.mu.Unlock()
	r.entry.Sent = r.sent
}

// late is how much a slow mirror that was kept waiting makes up for.
const late = 500 * time.Millisecond

// pace sends off what was written and waits until n bytes more are due at the rate.
func (r *reply) pace(n int) error {
	if r.rate == 0 {
		return nil
	}
	r.flush()
	now := time.Now()
	switch {
	case r.due.IsZero():
		r.due = now
	case now.Sub(r.due) > late:
		r.due = now.Add(-late)
	}
	r.due = r.due.Add(time.Duration(n) * time.Second / time.Duration(r.rate))
	r.sleep(time.Until(r.due))
	return r.r.Context().Err()
}

// sleep ends with the request.
func (r *reply) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.r.Context().Done():
	}
}

// halt waits at a stop, or cuts the connection; what was written before is on
// its way to the client.
func (r *reply) halt(s stop) {
	r.flush()
	if s.wait == nil {
		panic(http.ErrAbortHandler)
	}
	r.wait(s.wait)
}

// wait blocks until the channel is closed; if the client goes first, it ends
// the handler.
func (r *reply) wait(released chan struct{}) {
	select {
	case <-released:
	case <-r.r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

func (r *reply) flush() {
	// An error means that the client has gone, which the next write tells too.
	_ = http.NewResponseController(r.w).Flush()
}
