package proxy

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/proxy/plain"
)

const (
	// repeatFor is how long an answer is repeated before the whole walk is made again. A
	// suite's use and a blob that rots are noticed that much later at most.
	repeatFor = 10 * time.Second
	// maxSeen is how many of an answer's clients with other generations are told apart.
	maxSeen = 4
	// maxInline is how large a file may be to be kept in memory, so that it leaves with its
	// header in one call of the kernel.
	maxInline = 8 << 10
	// maxTarget is what net/http reads at once, so that no longer request is found plain.
	maxTarget = 4 << 10
	// maxPins is how many suites an entry may depend on.
	maxPins = 16
)

// repeats are answers with held files that were given a moment ago, so that a plain
// request for one of them is answered without net/http, catalog and store (repeatconn.go).
// An answer is kept when its request has come a second time. It has the file open on its
// own, without keeping the blob in the store: one that was removed has no name any more,
// and its answer is dropped. Beyond the limit the oldest goes.
type repeats struct {
	limit int
	off   atomic.Bool   // on the way down net/http answers all
	rules atomic.Uint64 // changes with the lists and policies that answers depend on

	mu      sync.Mutex // guards all below, and what says so in a repeat
	answers map[repeatKey]*repeat
	order   *list.List                 // of *repeat, the oldest first
	asked   [1024]uint64               // hashes of keys that came lately
	leaving map[*pipelineConn]struct{} // closed by the server while an answer is under way
	left    broadcast.Signal           // one of leaving has left
}

func newRepeats(limit int) *repeats {
	return &repeats{
		limit: limit, answers: make(map[repeatKey]*repeat), order: list.New(), leaving: make(map[*pipelineConn]struct{}),
	}
}

// repeatKey is what the answer to a plain request depends on, beside its client.
type repeatKey struct {
	local        netip.AddrPort // that the request came in at
	target, host string         // as package plain reads them
	since, match string         // likewise, of an answer that nothing has changed
}

// repeat is an answer.
type repeat struct {
	key      repeatKey
	target   target
	revision uint64 // of the catalog
	until    time.Time
	status   int
	header   []byte // status line and fields, but the date and the age
	ageAt    int    // where in header the age is to stand; -1 for none
	file     *os.File
	fd       int
	size     int64       // of file
	body     int64       // how much of it is sent: all or nothing
	inline   []byte      // all of it, up to maxInline; else nil
	about    *fetch.File // without a body

	seen    []seen        // guarded by repeats.mu; at most maxSeen
	readers int           // likewise; it is closed when it is dropped and has none
	dropped bool          // likewise
	place   *list.Element // likewise
	timer   *time.Timer
}

// seen is what the catalog says of the file to a client that was given these generations.
type seen struct {
	pins  []pin
	entry catalog.Entry
}

type pin struct {
	suite      catalog.Location
	generation digest.Digest
}

// isNew notes that a key came, and reports whether it had not lately. mu is held.
func (s *repeats) isNew(key repeatKey) bool {
	hash := maphash.Comparable(fileSeed, key)
	at := &s.asked[hash%uint64(len(s.asked))]
	before := *at
	*at = hash
	return before != hash
}

// take returns the answer for a request, nil if there is none in force; put has to be called.
func (s *repeats) take(local netip.AddrPort, r plain.Request, revision uint64, now time.Time) *repeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[repeatKey{local, string(r.Target), string(r.Host), string(r.Since), string(r.Match)}]
	if a == nil {
		return nil
	}
	if a.revision != revision || now.After(a.until) {
		s.drop(a)
		return nil
	}
	a.readers++
	return a
}

func (s *repeats) put(a *repeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.readers--
	a.closeUnread()
}

// drop takes an answer out of those in force. mu is held.
func (s *repeats) drop(a *repeat) {
	if a.dropped {
		return
	}
	a.dropped = true
	a.timer.Stop()
	delete(s.answers, a.key)
	s.order.Remove(a.place)
	a.closeUnread()
}

func (a *repeat) closeUnread() {
	if a.dropped && a.readers == 0 {
		a.file.Close() // it was only read
	}
}

// forget drops an answer.
func (s *repeats) forget(a *repeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(a)
}

// stop has net/http answer all from now on.
func (s *repeats) stop() {
	s.off.Store(true)
	s.clear()
}

// clear drops all answers, and those that are under way are not kept.
func (s *repeats) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules.Add(1)
	for _, a := range s.answers {
		s.drop(a)
	}
}

// entryFor returns what the file is to a client with these generations.
func (s *repeats) entryFor(a *repeat, generation func(suite catalog.Location) digest.Digest) (catalog.Entry, bool) {
	s.mu.Lock()
	all := a.seen
	s.mu.Unlock()
	for i := range all {
		if !slices.ContainsFunc(all[i].pins, func(p pin) bool { return generation(p.suite) != p.generation }) {
			return all[i].entry, true
		}
	}
	return catalog.Entry{}, false
}

// wait returns when all answers that were under way are sent, and cuts them when ctx ends.
func (s *repeats) wait(ctx context.Context) error {
	for {
		left := s.left.Wait()
		s.mu.Lock()
		n := len(s.leaving)
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-left:
		case <-ctx.Done():
			s.mu.Lock()
			for c := range s.leaving {
				c.TCPConn.Close()
			}
			s.mu.Unlock()
			return fmt.Errorf("downloads were cut: %w", ctx.Err())
		}
	}
}

// remember keeps the answer that a request got, all of which was sent, to be repeated.
func (p *Proxy) remember(r *http.Request, w *response, t target, client netip.Addr, e catalog.Entry, file *fetch.File) {
	s := p.repeats
	if s.limit == 0 || s.off.Load() || !isRepeatable(r, w, t, e, file) {
		return
	}
	key := keyOf(r, w)
	revision := p.catalog.Revision()
	s.mu.Lock()
	a := s.answers[key]
	skip := a == nil && s.isNew(key) || a != nil && (a.revision != revision || a.about.Digest != e.Digest || len(a.seen) == maxSeen)
	s.mu.Unlock()
	if skip {
		return
	}
	now, ok := p.seenBy(r.Context(), client, e)
	if !ok {
		return
	}
	if a == nil {
		p.keepAnswer(&repeat{key: key, target: t, revision: revision, seen: []seen{now}}, w, file)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules.Load() == w.rules {
		a.seen = append(slices.Clone(a.seen), now)
	}
}

func keyOf(r *http.Request, w *response) repeatKey {
	key := repeatKey{local: localAddr(r), target: r.RequestURI}
	if key.target[0] == '/' {
		key.host = r.Host
	}
	if w.status == http.StatusNotModified {
		key.since, key.match = r.Header.Get("If-Modified-Since"), r.Header.Get("If-None-Match")
	}
	return key
}

// isRepeatable reports whether a request's answer depends on nothing but its key and the
// client, and is that of a held file that everybody may have: all of the file, or that a
// Release has not changed.
func isRepeatable(r *http.Request, w *response, t target, e catalog.Entry, file *fetch.File) bool {
	if _, own := t.own(r); own || t.login != "" || t.view != (view{}) {
		return false
	}
	if w.raw == nil || r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.Close || r.TLS != nil || r.RequestURI == "" || len(r.RequestURI) >= maxTarget ||
		!file.Public || file.Stale != "" || file.Pending || !isHit(file) {
		return false
	}
	if e.Kind == catalog.ReleaseFile {
		since, match := r.Header["If-Modified-Since"], r.Header["If-None-Match"]
		return w.status == http.StatusNotModified && e.Location.Name() != "Release.gpg" && len(since)+len(match) == 1
	}
	return w.status == http.StatusOK && wantsAll(r) && file.Size > 0 && w.written == file.Size && e.Kind == catalog.Content && !e.Index
}

// seenBy returns which generations of a client have the catalog say that the file is e.
func (p *Proxy) seenBy(ctx context.Context, client netip.Addr, e catalog.Entry) (seen, bool) {
	if e.Kind == catalog.ReleaseFile { // all get what is in force
		e.Release = digest.Digest{}
		return seen{entry: e}, true
	}
	var pins []pin
	got := p.catalog.Resolve(ctx, e.Location, func(suite catalog.Location) digest.Digest {
		d := p.generationIn(ctx, view{}, client, suite)
		if len(pins) <= maxPins && !slices.Contains(pins, pin{suite, d}) {
			pins = append(pins, pin{suite, d})
		}
		return d
	})
	same := got.Kind == e.Kind && got.Digest == e.Digest && got.Size == e.Size && !got.Index
	return seen{pins, got}, same && len(pins) <= maxPins
}

// keepAnswer completes an answer, and has it in force for repeatFor.
func (p *Proxy) keepAnswer(a *repeat, w *response, file *fetch.File) {
	err := a.render(w)
	if err == nil {
		err = a.open(file)
	}
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			p.log.Debug("answer not kept to be repeated", "digest", file.Digest, "err", err)
		}
		return
	}
	about := *file
	about.Body = nil
	a.about = &about
	a.until = time.Now().Add(repeatFor)
	s := p.repeats
	s.mu.Lock()
	defer s.mu.Unlock()
	a.timer = time.AfterFunc(repeatFor, func() { s.forget(a) })
	if old := s.answers[a.key]; old != nil {
		s.drop(old)
	}
	s.answers[a.key] = a
	a.place = s.order.PushBack(a)
	for s.order.Len() > s.limit {
		s.drop(s.order.Front().Value.(*repeat))
	}
	if s.off.Load() || s.rules.Load() != w.rules { // meanwhile
		s.drop(a)
	}
}

// render writes the header of an answer as net/http did: the fields in their order, and
// the date behind them.
func (a *repeat) render(w *response) error {
	var b bytes.Buffer
	a.status, a.ageAt = w.status, -1
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	before, after := make(http.Header), make(http.Header)
	for name, values := range w.Header() {
		switch {
		case name < "Age":
			before[name] = values
		case name > "Age":
			after[name] = values
		}
	}
	if err := before.Write(&b); err != nil {
		return err
	}
	if w.Header().Get("Age") != "" {
		a.ageAt = b.Len()
	}
	err := after.Write(&b)
	a.header = b.Bytes()
	return err
}

// open opens the file of an answer, and reads it if it is small.
func (a *repeat) open(file *fetch.File) (err error) {
	blob := held(file.Body)
	if b, ok := file.Body.(interface{ Stored() *os.File }); ok {
		blob = b.Stored()
	}
	if a.file, a.fd, err = again(blob); err != nil {
		return err
	}
	a.size = file.Size
	if a.status != http.StatusOK {
		return nil
	}
	a.body = a.size
	if file.Size <= maxInline {
		a.inline = make([]byte, file.Size)
		if _, err = a.file.ReadAt(a.inline, 0); err != nil {
			a.file.Close() // it was only read
		}
	}
	return err
}
