package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/fetch"
	"millpond/internal/front"
	"millpond/internal/ledger"
	"millpond/internal/mirror"
)

// archive serves a file of an archive.
func (p *Proxy) archive(w *response, r *http.Request, t target, client netip.Addr) error {
	begun := time.Now()
	t, e, file, err := p.openNamed(r, t, client)
	l := e.Location
	w.outcome.file = l
	// Only hosts that answered get an account: names that do not exist would
	// fill the ledger.
	about := aboutFile(e)
	var status *mirror.StatusError
	if err == nil || errors.As(err, &status) {
		p.ledger.Request(client, about)
	}
	if err != nil {
		return needsLogin(t, status, p.inView(t.view, e, err))
	}
	defer file.Body.Close()
	if e.Kind == catalog.ReleaseFile && !file.Release.IsZero() && r.Method == http.MethodGet {
		// Before the bytes, so that a client that has read them finds its session set.
		p.given(r.Context(), t.view, client, file.Suite, generationOf(r.Header, file))
	}
	w.outcome.what = outcomeOf(file)
	w.credit = func(n int64) {
		from := file.Body.Origin()
		w.outcome.note(from)
		p.ledger.Delivered(client, about, from, n)
	}
	p.describe(w.Header(), e, file)
	if t.login != "" {
		w.Header().Set("Cache-Control", "private") // no cache on the way may give it to others
	}
	if held(file.Body) != nil {
		p.serving.Add(1)
		defer p.serving.Add(-1)
	}
	has := generationOf(r.Header, file) // send changes the header
	whole, err := send(w, r, file)
	if whole {
		p.remember(r, w, t, client, e, file)
	}
	if !p.after(w, r, t, e, file, sent{client: client, held: held(file.Body) != nil, has: has, whole: whole, err: err, begun: begun}) {
		p.cut(w, r)
	}
	return nil
}

// aboutFile is what the bytes of a file are counted as.
func aboutFile(e catalog.Entry) ledger.File {
	return ledger.File{Host: e.Location.Host, Package: e.Location.Package()}
}

// sent says how an answer with a file was sent.
type sent struct {
	client netip.Addr
	held   bool          // it is a blob
	has    digest.Digest // of a Release file: the generation that the client has then
	whole  bool
	err    error // of the file, if not
	begun  time.Time
}

// after does what follows an answer with a file, and reports whether it was whole, so that
// the connection can go on.
func (p *Proxy) after(w *response, r *http.Request, t target, e catalog.Entry, file *fetch.File, s sent) bool {
	p.noteServed(r, w, e, file, t.view, s.has, s.whole)
	if e.Kind == catalog.ReleaseFile && w.status == http.StatusNotModified && !t.view.past() {
		p.fetcher.Revalidated(e.Suite)
	}
	p.tell(w, t, e, s.client, s.held)
	attrs := func() []any {
		return []any{"client", s.client, "url", e.Location, "status", w.status, "bytes", w.written, "took", time.Since(s.begun), "digest", file.Digest}
	}
	switch {
	case s.whole:
		if wantsAll(r) && w.status == http.StatusOK {
			p.receipts.add(front.PartyOf(s.client), e)
			p.used(t.view, e)
		}
		if p.log.Enabled(r.Context(), slog.LevelDebug) {
			p.log.Debug("file served", attrs()...)
		}
	case w.err != nil || r.Context().Err() != nil:
		w.outcome.what = wasLeft
		p.log.Debug("client disconnected during a file", append(attrs(), "err", w.err)...)
	default:
		w.outcome.what = wasFailed
		p.log.Warn("file cut short for a client", append(attrs(), "failure", "failed", "err", s.err)...)
		p.noteFailure(r, s.err, w.status, fmt.Sprintf("cut short: %v", s.err))
	}
	return s.whole
}

// tell has Demand know what a client got.
func (p *Proxy) tell(w *response, t target, e catalog.Entry, client netip.Addr, held bool) {
	if p.demand == nil || t.login != "" || e.Kind != catalog.Content || w.written == 0 {
		return
	}
	begins := w.status == http.StatusOK || w.status == http.StatusPartialContent && strings.HasPrefix(w.Header().Get("Content-Range"), "bytes 0-")
	if begins || w.status == http.StatusPartialContent {
		p.demand.Served(e, w.written, begins && !p.receipts.has(front.PartyOf(client), e), held)
	}
}

// open gets the file of a target, if it may be asked for. The entry says what
// it is, also beside an error.
func (p *Proxy) open(r *http.Request, t target, client netip.Addr) (catalog.Entry, *fetch.File, error) {
	q, err := p.request(r, t, client)
	if err != nil {
		return q.Entry, nil, err
	}
	p.refresh(t.view, q)
	get := p.fetcher.Get
	if r.Method == http.MethodHead || q.Kind == catalog.Content && hasAlready(r.Header, q.Digest) {
		get = p.fetcher.Peek
	}
	file, err := get(r.Context(), q)
	if err == nil && q.Kind == catalog.ReleaseFile && !q.Revalidate && q.Generation.IsZero() && hasNewer(r.Header, file) {
		file.Body.Close()
		q.Revalidate = true
		file, err = get(r.Context(), q)
	}
	return q.Entry, file, err
}

// generationOf returns the generation that a client has after it got a Release file.
// A client with a newer Release keeps that one, as apt does: what the mirror has
// under the names in it belongs to it, or is not there.
func generationOf(h http.Header, file *fetch.File) digest.Digest {
	if file.Pending && hasNewer(h, file) {
		return catalog.OtherGeneration
	}
	return file.Release
}

// hasNewer reports whether a client has, by its date, a newer file than the box. It
// got that elsewhere, so the mirror may have it by now.
func hasNewer(h http.Header, file *fetch.File) bool {
	since, err := http.ParseTime(h.Get("If-Modified-Since"))
	return err == nil && since.After(file.Modified)
}

// request returns what fetch is asked for a target, if it may be asked for.
// Beside an error it has the location at least.
func (p *Proxy) request(r *http.Request, t target, client netip.Addr) (fetch.Request, error) {
	l, err := p.vet(r, t)
	if err != nil {
		return fetch.Request{Entry: catalog.Entry{Location: l}}, err
	}
	if err := p.checkView(t.view); err != nil {
		return fetch.Request{Entry: catalog.Entry{Location: l}}, err
	}
	q := fetch.Request{Entry: p.resolve(r.Context(), l, client, t.view), Login: t.login, Revalidate: wantsRevalidation(r.Header), Party: front.PartyOf(client), Via: r.Header.Values("Via")}
	q.Again = wantsAll(r) && p.receipts.has(q.Party, q.Entry)
	return q, p.see(r.Context(), t.view, client, &q)
}

// etag is the strong validator of the bytes with a digest.
func etag(d digest.Digest) string { return `"` + d.String() + `"` }

// hasAlready reports whether a condition says that the client has the bytes with
// digest d. The answer is 304 then, for which nothing has to be fetched; what
// else stood in the condition is dropped, so that nothing in it can change that.
func hasAlready(h http.Header, d digest.Digest) bool {
	if h.Get("If-None-Match") == "" {
		return false
	}
	for tag := range strings.SplitSeq(h.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == etag(d) {
			h.Set("If-None-Match", etag(d))
			return true
		}
	}
	return false
}

// resolve asks the catalog what l is for a client in a view.
func (p *Proxy) resolve(ctx context.Context, l catalog.Location, client netip.Addr, v view) catalog.Entry {
	return p.catalog.Resolve(ctx, l, func(suite catalog.Location) digest.Digest {
		return p.generationIn(ctx, v, client, suite)
	})
}

// The fields of most answers. They are shared by all headers, and never changed.
var (
	fieldHit  = []string{"HIT"}
	fieldMiss = []string{"MISS"}

	fieldPackage = []string{"application/vnd.debian.binary-package"}
	fieldText    = []string{"text/plain; charset=utf-8"}
	fieldBytes   = []string{"application/octet-stream"}

	fieldForever = []string{"public, max-age=31536000, immutable"}
	fieldNoCache = []string{"no-cache"}
)

// fields are those that have this box's name.
type fields struct{ via, hit, miss []string }

func fieldsOf(via string) fields {
	return fields{via: []string{"1.1 " + via}, hit: []string{via + "; hit"}, miss: []string{via + "; fwd=miss"}}
}

// describe sets the header fields that do not depend on the request.
func (p *Proxy) describe(h http.Header, e catalog.Entry, file *fetch.File) {
	h["Content-Type"] = contentType(e)
	h["Via"] = p.fields.via
	h["Cache-Control"] = cacheControl(e)
	h["X-Cache"] = fieldMiss
	if isHit(file) {
		h["X-Cache"] = fieldHit
	}
	h["Cache-Status"] = p.cacheStatus(file)
	if !file.Digest.IsZero() {
		h.Set("ETag", etag(file.Digest))
	}
	if file.Age > 0 {
		h.Set("Age", strconv.FormatInt(int64(file.Age/time.Second), 10))
	}
	if file.Stale != "" {
		why := quotable(file.Stale)
		h.Add("Warning", fmt.Sprintf(`110 %s "Response is Stale"`, p.via))
		h.Add("Warning", fmt.Sprintf(`111 %s "Revalidation Failed: %s"`, p.via, why))
	}
}

// quotable is what stands in the quotation marks of a field.
func quotable(why string) string {
	return strings.NewReplacer(`"`, "'", `\`, "/").Replace(reason(why))
}

// cacheStatus is how the answer came about (RFC 9211). X-Cache stays beside it:
// other caches for apt send it, and scripts read it.
func (p *Proxy) cacheStatus(file *fetch.File) []string {
	switch {
	case file.Stale != "":
		return []string{fmt.Sprintf(`%s; fwd=stale; detail="%s"`, p.via, quotable(file.Stale))}
	case isHit(file):
		return p.fields.hit
	}
	return p.fields.miss
}

// contentType is always set, since net/http would guess from the bytes.
func contentType(e catalog.Entry) []string {
	switch path.Ext(e.Location.Name()) {
	case ".deb", ".udeb", ".ddeb":
		return fieldPackage
	}
	if e.Kind == catalog.ReleaseFile {
		return fieldText
	}
	return fieldBytes
}

// cacheControl says what a cache between the client and the box may do. Only
// under a name that is a hash there never are other bytes: names in pool/ are
// used again, by archives that build a version anew or have none in their names.
// Asking whether the digest is still the same costs such a cache a 304.
func cacheControl(e catalog.Entry) []string {
	if e.Kind == catalog.Content && strings.Contains(e.Location.Path, "/by-hash/") {
		return fieldForever
	}
	return fieldNoCache
}

// isHit reports whether nothing had to be fetched for this client.
func isHit(file *fetch.File) bool {
	known := held(file.Body) != nil || !file.Release.IsZero()
	return known && file.Body.Origin() == ledger.FromStore
}

// held returns the open file of a body that is a held blob, nil for others.
func held(b fetch.Body) *os.File {
	if b, ok := b.(interface{ File() *os.File }); ok {
		return b.File()
	}
	return nil
}

// send writes the answer that file gives to r and reports whether all of it
// was written; the error is the body's.
func send(w *response, r *http.Request, file *fetch.File) (whole bool, err error) {
	if file.Size < 0 {
		return stream(w, r, file)
	}
	onlyIfEqual(r.Header, file.Modified)
	onlyRanges(r.Header)
	blob := held(file.Body)
	// For several ranges net/http reads in a goroutine of its own, which a
	// Body does not allow. Ignoring them is (RFC 9110, section 14.2).
	if blob == nil && strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	c := &content{body: file.Body, size: file.Size}
	if blob != nil {
		http.ServeContent(w, r, "", file.Modified, blob)
	} else {
		http.ServeContent(w, r, "", file.Modified, c)
	}
	// ServeContent keeps a failed copy to itself.
	if r.Method == http.MethodHead || w.status != http.StatusOK && w.status != http.StatusPartialContent {
		return true, nil
	}
	if length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); c.err == nil && w.err == nil && (err != nil || length != w.written) {
		c.err = io.ErrUnexpectedEOF
	}
	return c.err == nil && w.err == nil, c.err
}

// stream sends a file whose size is not known yet: in chunks to HTTP/1.1, up
// to the end of the connection to HTTP/1.0. A Range is ignored.
func stream(w *response, r *http.Request, file *fetch.File) (whole bool, err error) {
	if !file.Modified.IsZero() {
		w.Header().Set("Last-Modified", file.Modified.UTC().Format(http.TimeFormat))
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return true, nil
	}
	_, err = w.ReadFrom(file.Body)
	return err == nil, err
}

// onlyIfEqual drops a condition by date that is not our very date. RFC 9110
// has the client's copy count as current if it is no older than ours; but an
// archive may be rolled back, and a client with the newer state must get the
// older one then.
func onlyIfEqual(h http.Header, modified time.Time) {
	since := h.Get("If-Modified-Since")
	if since == "" {
		return
	}
	if t, err := http.ParseTime(since); err != nil || t.Unix() != modified.Unix() {
		h.Del("If-Modified-Since")
	}
}

// content is a Body as http.ServeContent reads it. It keeps the error, which
// ServeContent drops.
type content struct {
	body fetch.Body
	size int64
	err  error
}

func (c *content) Read(b []byte) (int, error) {
	n, err := c.body.Read(b)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// Seek implements io.Seeker; the end is known without the body.
func (c *content) Seek(off int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		off, whence = c.size+off, io.SeekStart
	}
	return c.body.Seek(off, whence)
}
