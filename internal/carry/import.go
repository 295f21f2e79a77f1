package carry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/jobs"
	"millpond/internal/kv"
)

// Importer imports directories into a box.
type Importer struct {
	Store    Store
	Catalog  Catalog
	Releases Releases
	Journal  *kv.Table // the Importer's alone
	Meter    *jobs.Meter

	suites int // maxSuites if 0, which is for tests
}

// Import is what to import.
type Import struct {
	Dirs []string
	As   string // the URL that each of Dirs is a copy of; "" where their names tell
}

// run is one import in progress.
type run struct {
	*Importer
	report  *Report
	journal journal
	places  places
	tooBig  atomic.Int64 // files of this size and more have no room; 0 while all have

	mu    sync.Mutex // guards later
	later []item     // that found no room beside others; at most maxLater
}

// Import imports directories. The error says why it did not begin, or ended early: ctx's,
// if that ended, or that the box's disk failed. What was imported until then stays, and the
// next Import of the same directories goes on there.
func (im *Importer) Import(ctx context.Context, what Import) (*Report, error) {
	r := &run{Importer: im, report: newReport(), journal: journal{table: im.Journal}}
	if what.As != "" {
		base, err := ParseBase(what.As)
		if err != nil {
			return r.report, err
		}
		r.places = places{as: base, hasAs: true}
	}
	if err := r.journal.open(maxJournal); err != nil {
		return r.report, fmt.Errorf("reading which files were imported before: %w", err)
	}
	var sources []*source
	defer func() {
		for _, s := range sources {
			s.root.Close()
		}
	}()
	for _, dir := range what.Dirs {
		t, err := openTree(dir)
		if err != nil {
			return r.report, fmt.Errorf("%w; name a directory that the box may read", err)
		}
		sources = append(sources, &source{tree: t, suites: make(map[string]*suiteDir)})
	}
	for _, s := range sources {
		if err := r.survey(ctx, s); err != nil {
			return r.report, err
		}
	}
	for _, s := range sources {
		if err := r.bringSuites(ctx, s); err != nil {
			return r.report, err
		}
		if err := r.files(ctx, s); err != nil {
			return r.report, err
		}
	}
	return r.report, nil
}

// source is a directory that is imported.
type source struct {
	*tree
	suites map[string]*suiteDir // by their directories in the tree; at most maxSuites
}

// owner is the suite that a file is in, nil if there is none.
func (s *source) owner(rel string) *suiteDir {
	for dir := path.Dir(rel); ; dir = path.Dir(dir) {
		if d := s.suites[dir]; d != nil {
			return d
		}
		if dir == "." {
			return nil
		}
	}
}

// survey counts the files, and finds the suites.
func (r *run) survey(ctx context.Context, s *source) error {
	return s.walk(ctx, func(rel string, i fs.FileInfo) error {
		switch classify(rel) {
		case other:
			r.report.skip(NotArchives, rel, "")
		case releaseFile:
			dir := path.Dir(rel)
			if s.suites[dir] == nil && len(s.suites) >= cmp.Or(r.Importer.suites, maxSuites) {
				r.report.skip(TooMany, rel, "")
				return nil
			}
			if s.suites[dir] == nil {
				s.suites[dir] = &suiteDir{dir: dir}
			}
			r.Meter.More(1, i.Size())
		default:
			r.Meter.More(1, i.Size())
		}
		return nil
	}, r.report.skip)
}

// files imports the packages and sources, and counts the indices that are not taken.
func (r *run) files(ctx context.Context, s *source) error {
	parent := ctx
	g, ctx := errgroup.WithContext(parent)
	queue := make(chan item, queued)
	for range workers() {
		g.Go(func() error {
			w := r.newWorker(s.tree)
			return w.work(ctx, queue)
		})
	}
	g.Go(func() error {
		defer close(queue)
		return s.walk(ctx, func(rel string, i fs.FileInfo) error {
			switch classify(rel) {
			case indexFile:
				if o := s.owner(rel); o == nil || !o.taken {
					r.report.skip(notTaken(o), rel, "")
					r.Meter.Skip(1, i.Size())
				}
				return nil
			case packageFile:
			default:
				return nil
			}
			select {
			case queue <- item{rel: rel, info: i}:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}, func(Reason, string, string) {}) // the survey has told
	})
	if err := g.Wait(); err != nil {
		return err
	}
	w := r.newWorker(s.tree)
	w.alone = true
	later := r.later
	r.later = nil
	for _, it := range later {
		if err := w.take(parent, it); err != nil {
			return errors.Join(err, w.end())
		}
	}
	return w.end()
}

// notTaken is why the indices of a suite are not imported.
func notTaken(o *suiteDir) Reason {
	if o != nil && o.noURL {
		return NoURL
	}
	return NotListed
}

const queued = 256

// workers is how many files are hashed at once: a disk gives two readers more than one, and
// clients are served meanwhile.
func workers() int { return max(min(runtime.GOMAXPROCS(0), 4), 1) }

// item is a file to be imported.
type item struct {
	rel  string
	info fs.FileInfo
	// listed is what the file has to be, if a signed Release lists it.
	listed digest.Digest
}

// expected returns the digests that a file may have, none if nothing is known of its place.
func (r *run) expected(ctx context.Context, it item) (all []digest.Digest) {
	if !it.listed.IsZero() {
		return []digest.Digest{it.listed}
	}
	rel := path.Join(path.Dir(it.rel), decodeName(path.Base(it.rel)))
	l, ok := r.places.of(rel)
	if !ok {
		return nil
	}
	switch e := r.Catalog.Resolve(ctx, l, nil); {
	case e.Kind == catalog.Content && e.Signed:
		return []digest.Digest{e.Digest}
	case e.Kind == catalog.Unknown:
		return e.OneOf
	}
	return nil
}

// errDiffers says that a file is not what is listed at its place.
var errDiffers = errors.New("it differs from what is listed")
