package prefetch

import (
	"context"
	"errors"
	"path"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/deb"
	"millpond/internal/digest"
	"millpond/internal/prefetch/uses"
)

const (
	// flushEvery is how far the figures may be behind after the process was killed.
	flushEvery = time.Second
	// sweepEvery is how long it may take until a file that was evicted unused counts as
	// wasted.
	sweepEvery = time.Hour
	// maxRequests bounds what was requested since the last flush: some clients' whole
	// updates. What is beyond it is not noted.
	maxRequests = 8192
)

// requests are packages that clients got, not noted yet.
type requests struct {
	mu    sync.Mutex
	queue []request // guarded by mu; at most maxRequests
}

type request struct {
	digest digest.Digest
	name   string // of the file
}

// Served notes that a client got n bytes of the content e, which counts as a request of
// it if anew; from the held file if held, else from a download. It does not block.
func (s *Prefetcher) Served(e catalog.Entry, n int64, anew, held bool) {
	if e.Kind != catalog.Content || n <= 0 {
		return
	}
	s.account.Served(e.Digest, n, held)
	if anew && e.Signed {
		s.requests.add(request{e.Digest, e.Location.Name()})
	}
}

func (q *requests) add(r request) {
	if _, _, ok := packageOf(r.name); !ok {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) < maxRequests {
		q.queue = append(q.queue, r)
	}
}

func (q *requests) take() []request {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.queue
	q.queue = nil
	return all
}

// packageOf returns the package and the version that a file's name tells, the Line left
// open. Of a source package the .dsc alone stands for it.
func packageOf(name string) (k uses.Key, version string, ok bool) {
	f, ok := deb.ParseFileName(name)
	switch {
	case !ok:
		return uses.Key{}, "", false
	case f.Architecture == deb.Source:
		if path.Ext(name) != ".dsc" {
			return uses.Key{}, "", false
		}
		f.Version, _ = deb.SourceVersion(name)
	}
	return uses.Key{Package: f.Package, Architecture: f.Architecture, Type: f.Type}, f.Version, f.Version != ""
}

// noteRequests notes what clients got, for each release that lists it.
func (s *Prefetcher) noteRequests() {
	all := s.requests.take()
	if len(all) == 0 {
		return
	}
	lines := linesOf(s.catalog.Suites())
	for _, r := range all {
		dirs, err := s.catalog.Listers(r.digest)
		if err != nil {
			s.log.Warn("a request is not noted: the catalog does not say which suites list the file", "file", r.name, "err", err)
			continue
		}
		k, version, _ := packageOf(r.name)
		noted := make(map[string]bool)
		for _, dir := range dirs {
			if k.Line = lines[dir]; k.Line != "" && !noted[k.Line] {
				noted[k.Line] = true
				s.uses.Requested(k, version)
			}
		}
	}
}

// keepBooks writes down what is noted, and wakes prefetchAll when a change is due.
func (s *Prefetcher) keepBooks(ctx context.Context) {
	flush, sweep := time.NewTicker(flushEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			s.account.Sweep(s.held)
		case <-flush.C:
		}
		s.writeBooks()
		if len(s.changes.due()) > 0 {
			s.changes.wake.Call()
		}
	}
}

// writeBooks writes down what is noted. What cannot be written is written the next time.
func (s *Prefetcher) writeBooks() {
	s.noteRequests()
	if err := errors.Join(s.uses.Flush(), s.account.Flush(), s.changes.flush()); err != nil {
		s.log.Warn("what was requested and fetched ahead is not written down yet", "err", err)
	}
}
