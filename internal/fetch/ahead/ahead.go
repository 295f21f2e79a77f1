// Package ahead reads indices before a client asks for them.
//
// apt fetches the indices of a suite when its Release has changed, and not
// again before the next one. A client that did so without this box, or before
// it was there, asks for packages that the box has no index of: they would be
// cached by name only, unverified and never shared. So when a client got such a
// file, or holds the present Release of a suite of which no index was read,
// the Reader fetches the indices that list what the client has.
//
// It works in the background: callers wait for nothing, one mirror is asked for
// one file at a time, and what could not be fetched is not asked for again for
// ten minutes. It ends with its lifetime. Lock order: Reader.mu, then memory.mu;
// neither is held while the disk or the network is waited for.
package ahead

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/mirror"
)

const (
	// maxHosts is how many mirrors are asked at once.
	maxHosts = 4
	// maxWaiting and maxPerHost bound the jobs that wait, in all and for one
	// mirror. Over them a client's question is dropped; the next one asks again.
	maxWaiting = 256
	maxPerHost = 16
	// maxAsked and maxTried bound what is remembered, some 100 bytes each.
	maxAsked = 4096
	maxTried = 4096
	// retryAfter is how long what was tried is not tried again.
	retryAfter = 10 * time.Minute
	// readTimeout ends the download of an index that hardly proceeds. At 100 kB/s,
	// 60 MB arrive in it, more than the largest index of Debian has.
	readTimeout = 10 * time.Minute
)

// Options are what a Reader works with. All are required.
type Options struct {
	Catalog *catalog.Catalog
	// Keep has the index e fetched, stored and learned.
	Keep func(ctx context.Context, e catalog.Entry) error
	// Refresh makes the catalog know the present Release of a suite.
	Refresh func(ctx context.Context, suite catalog.Location) error
	// OnRecord returns suites of l's archive that were used before.
	OnRecord func(l catalog.Location) ([]catalog.Location, error)
	// Go runs a goroutine; who ends lifetime waits for it.
	Go  func(func())
	Log *slog.Logger
}

// Reader is safe for concurrent use.
type Reader struct {
	Options
	lifetime context.Context
	tried    *memory // suites and indices

	mu      sync.Mutex // guards what follows
	waiting []job
	busy    map[string]bool // mirrors that are being asked
	asked   *memory         // what clients' files have led to
}

// job is a look for the indices that one file or suite needs.
type job struct {
	host string
	do   func(ctx context.Context)
}

// New returns a Reader that works until lifetime ends.
func New(lifetime context.Context, o Options) *Reader {
	return &Reader{
		Options: o, lifetime: lifetime, tried: newMemory(maxTried), asked: newMemory(maxAsked), busy: make(map[string]bool),
	}
}

// Unlisted notes that a client got the file l, which no index lists. If it is
// a package, the indices that may list it are read; so is first the Release of
// their suites, where it was not checked for a while or none is known.
func (r *Reader) Unlisted(l catalog.Location) {
	if catalog.Listable(l) {
		r.enqueue(r.question(l), l, func(ctx context.Context) { r.unlisted(ctx, l) })
	}
}

// Revalidated notes that a client holds the present Release of the suite in
// that directory: it will not fetch the indices that it has.
func (r *Reader) Revalidated(suite catalog.Location) {
	r.enqueue(question{r.Catalog.Revision(), suite, ""}, suite, func(ctx context.Context) {
		unread, err := r.Catalog.UnreadOf(suite)
		r.readAll(ctx, unread, err)
	})
}

// question is what two files have in common that need the same indices.
type question struct {
	revision uint64 // of the catalog: once it knows more, the answer may differ
	place    catalog.Location
	kind     string
}

// question tells files apart by architecture and, in an archive whose suites
// are known, by the upper part of the pool, else by directory.
func (r *Reader) question(l catalog.Location) question {
	q := question{revision: r.Catalog.Revision(), place: l.Dir()}
	if f, ok := deb.ParseFileName(l.Name()); ok {
		q.kind = f.Type + " " + f.Architecture
	}
	if base, rel, ok := l.SplitPool(); ok && len(r.Catalog.Around(l)) > 0 {
		parts := strings.SplitN(rel, "/", 3)
		q.place = base.Join("pool").Join(strings.Join(parts[:len(parts)-1], "/"))
	}
	return q
}

// enqueue has do run for a file at l's mirror, unless that was done for q.
func (r *Reader) enqueue(q question, l catalog.Location, do func(ctx context.Context)) {
	host := l.Scheme + "://" + l.Host
	r.mu.Lock()
	defer r.mu.Unlock()
	here := 0
	for _, j := range r.waiting {
		if j.host == host {
			here++
		}
	}
	if r.lifetime.Err() != nil || len(r.waiting) >= maxWaiting || here >= maxPerHost || !r.asked.first(q) {
		return
	}
	r.waiting = append(r.waiting, job{host, do})
	r.start()
}

// start runs what can run. r.mu is held.
func (r *Reader) start() {
	if r.lifetime.Err() != nil {
		r.waiting = nil
	}
	for len(r.busy) < maxHosts {
		i := slices.IndexFunc(r.waiting, func(j job) bool { return !r.busy[j.host] })
		if i < 0 {
			return
		}
		j := r.waiting[i]
		r.waiting = slices.Delete(r.waiting, i, i+1)
		r.busy[j.host] = true
		r.Go(func() {
			j.do(r.lifetime)
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.busy, j.host)
			r.start()
		})
	}
}

// unlisted reads the indices that may list l.
func (r *Reader) unlisted(ctx context.Context, l catalog.Location) {
	suites, err := r.suites(l)
	if err != nil {
		r.Log.Error("catalog not readable", "url", l.String(), "err", err)
		return
	}
	for _, suite := range suites {
		r.refresh(ctx, suite)
	}
	// Where the indices of the file's architecture do not list it, that of all
	// comes next.
	for range 2 {
		unread, err := r.Catalog.Unread(l)
		r.readAll(ctx, unread, err)
		if len(unread) == 0 || r.Catalog.Resolve(ctx, l, nil).Kind == catalog.Content {
			return
		}
	}
}

// suites returns those that may list l: of its archive, as the catalog knows
// them or clients used them before; or else, in case it is another mirror of
// an archive that is known, under the names that they have there. With the
// same Release the catalog knows its indices, too. Flat archives of the same host
// may be other people's, and come last.
func (r *Reader) suites(l catalog.Location) ([]catalog.Location, error) {
	around := r.Catalog.Around(l)
	if slices.ContainsFunc(around, l.InArchiveOf) {
		return around, nil
	}
	found, err := r.OnRecord(l)
	if len(found) == 0 && err == nil {
		found, err = r.Catalog.Counterparts(l)
	}
	return append(found, around...), err
}

func (r *Reader) refresh(ctx context.Context, suite catalog.Location) {
	if ctx.Err() != nil || !r.tried.first(suite) {
		return
	}
	if err := r.Refresh(ctx, suite); err != nil {
		r.Log.Debug("suite of an unlisted package not checked", "suite", suite.String(), "err", err)
	}
}

// readAll reads indices, one after the other.
func (r *Reader) readAll(ctx context.Context, unread [][]catalog.Entry, err error) {
	if err != nil {
		r.Log.Error("catalog not readable", "err", err)
	}
	for _, forms := range unread {
		r.read(ctx, forms)
	}
}

// index identifies one for the memory.
type index struct{ release, digest digest.Digest }

// read has an index learned, from the first of its compressions that the
// mirror has.
func (r *Reader) read(ctx context.Context, forms []catalog.Entry) {
	var err error
	for _, e := range forms {
		e = r.Catalog.Resolve(ctx, e.Location, nil) // a client may have fetched it, or its successor
		if ctx.Err() != nil || !e.Index || !r.tried.first(index{e.Release, e.Digest}) {
			return
		}
		if err = r.keep(ctx, e); err == nil {
			r.Log.Info("index of clients fetched", "url", e.Location.String())
			return
		}
		var status *mirror.StatusError
		if !errors.As(err, &status) {
			break
		}
	}
	if ctx.Err() == nil {
		r.Log.Warn("index of clients not fetched; its packages are cached by name and not shared",
			"url", forms[0].Location.String(), "err", err)
	}
}

func (r *Reader) keep(ctx context.Context, e catalog.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.Keep(ctx, e)
}
