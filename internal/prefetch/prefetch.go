// Package prefetch fetches the packages of an update before clients request
// them: when a suite has a new Release, every client of the site is about to
// request the new versions of what it has installed. It runs on request,
// through the API.
//
// A prefetch brings the Release files of the suites up to date, fetches the
// indices that replace those that clients used before, and reads which packages
// they list. A package is wanted if it is not held and an older version of it
// is: some client has that one. The most recently used come first, two at a
// time, from other boxes before the mirror like any file, and only while there
// is room: nothing is evicted for a file that no client has requested.
//
// It uses catalog (what is listed) and store (what is held), and fetch, which
// moves the bytes and counts them. Memory is bounded by maxPlan, not by the
// archive or the store.
package prefetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/mirror"
	"millpond/internal/store"
)

var (
	// ErrRunning says that another prefetch has not ended yet.
	ErrRunning = errors.New("a prefetch is running already")
	// ErrUnknownSuite says that no client has used the suite.
	ErrUnknownSuite = errors.New("no client has used this suite")
)

// Options are a Prefetcher's dependencies. All but Offline are required.
type Options struct {
	Catalog Catalog
	Store   Store
	Fetch   Fetcher
	Offline bool // no mirror may be used
	Log     *slog.Logger
}

// Catalog knows what suites list; *catalog.Catalog.
type Catalog interface {
	Suites() []catalog.SuiteInfo
	Packages(suite catalog.Location) iter.Seq2[catalog.Entry, error]
	Successors(suite catalog.Location, held func(digest.Digest) bool) ([]catalog.Entry, error)
	Listers(d digest.Digest) ([]catalog.Location, error)
}

// Store knows what is held; *store.Store.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
	Names(prefix, after string) iter.Seq2[store.Named, error]
	Usage() store.Usage
	DiskFree() (share float64, err error)
}

// Fetcher moves bytes; *fetch.Fetcher.
type Fetcher interface {
	// Refresh makes the catalog know the mirror's present generation of a suite.
	Refresh(ctx context.Context, suite catalog.Location) error
	// Keep has the store hold e and, of an index, the catalog learn it.
	// store.ErrNoSpace and store.ErrDisk say that it cannot be kept.
	Keep(ctx context.Context, e catalog.Entry) error
}

// State is what the running prefetch has done so far, or what the last one
// did. It is zero before the first. Files and bytes are those of indices and
// packages, not of Release files.
type State struct {
	Running        bool
	Suite          string    // URL of the only one, "" for all
	Started, Ended time.Time // Ended is zero while it runs

	Files, Bytes         int64 // wanted, as far as is known
	FilesDone, BytesDone int64 // held by now
	FilesFailed          int64
	NoRoom               int64  // files left out so that nothing is evicted
	Error                string // why it did not fetch all
}

// Prefetcher runs one prefetch at a time. Its methods may be called by several
// goroutines.
type Prefetcher struct {
	catalog Catalog
	store   Store
	fetcher Fetcher
	offline bool
	log     *slog.Logger
	wanted  chan []catalog.Location // the suites of the prefetch that is to run

	mu    sync.Mutex
	state State // guarded by mu
}

// New returns a Prefetcher. Nothing is fetched before Run.
func New(o Options) *Prefetcher {
	return &Prefetcher{
		catalog: o.Catalog, store: o.Store, fetcher: o.Fetch, offline: o.Offline, log: o.Log,
		wanted: make(chan []catalog.Location, 1),
	}
}

// State returns what the running or last prefetch did.
func (s *Prefetcher) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Start begins a prefetch of the suite with that URL, or for "" of all that
// clients have used, and returns without waiting for it. The error is
// ErrRunning, mirror.ErrOffline, or ErrUnknownSuite with those that are known.
func (s *Prefetcher) Start(suite string) (State, error) {
	if s.offline {
		return State{}, mirror.ErrOffline
	}
	dirs, err := s.named(suite)
	if err != nil {
		return State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Running {
		return State{}, ErrRunning
	}
	s.state = State{Running: true, Suite: suite, Started: time.Now()}
	s.wanted <- dirs // has room: Run took the last ones before they ended
	return s.state, nil
}

// maxNamed bounds the suites that an error names.
const maxNamed = 20

// named returns the directory of a suite, or all for "".
func (s *Prefetcher) named(suite string) ([]catalog.Location, error) {
	var all []catalog.Location
	var urls []string
	for _, info := range s.catalog.Suites() {
		url := info.Location.String()
		if url == suite {
			return []catalog.Location{info.Location}, nil
		}
		all, urls = append(all, info.Location), append(urls, url)
	}
	if suite == "" {
		return all, nil
	}
	known := "none so far"
	if n := len(urls); n > maxNamed {
		known = strings.Join(urls[:maxNamed], ", ") + fmt.Sprintf(" and %d more", n-maxNamed)
	} else if n > 0 {
		known = strings.Join(urls, ", ")
	}
	return nil, fmt.Errorf("%w: %.300q; known are: %s", ErrUnknownSuite, suite, known)
}

// Run does the prefetches that Start begins, and returns nil when ctx ends.
// What a prefetch had not fetched by then is left for the next.
func (s *Prefetcher) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case dirs := <-s.wanted:
			fault := s.prefetch(ctx, dirs)
			s.logEnd(ctx, s.end(fault))
		}
	}
}

// prefetch fetches the update wave of suites and returns why it
// did not fetch all.
func (s *Prefetcher) prefetch(ctx context.Context, dirs []catalog.Location) string {
	var faults faults
	var current []catalog.Location
	for _, dir := range dirs {
		if err := s.follow(ctx, dir); err != nil {
			faults.add(fmt.Errorf("%s: %w", dir, err))
			continue
		}
		current = append(current, dir)
	}
	plan := newPlan(s.catalog.Suites())
	for _, dir := range current {
		if err := s.survey(ctx, plan, dir); err != nil {
			faults.add(fmt.Errorf("%s: %w", dir, err))
		}
	}
	faults.add(s.fetch(ctx, plan.best()))
	if ctx.Err() != nil {
		return "the box is shutting down"
	}
	return faults.String()
}

// follow makes the catalog know the present generation of a suite and what
// its indices list.
func (s *Prefetcher) follow(ctx context.Context, dir catalog.Location) error {
	if err := s.fetcher.Refresh(ctx, dir); err != nil {
		return err
	}
	indices, err := s.catalog.Successors(dir, s.held)
	if err != nil {
		return err
	}
	return s.fetch(ctx, indices)
}

// held reports whether the store has d.
func (s *Prefetcher) held(d digest.Digest) bool {
	_, err := s.store.Stat(d)
	return err == nil
}

// end notes how the prefetch ended.
func (s *Prefetcher) end(fault string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Running, s.state.Ended, s.state.Error = false, time.Now(), fault
	return s.state
}

// logEnd logs what a prefetch did.
func (s *Prefetcher) logEnd(ctx context.Context, t State) {
	level := slog.LevelInfo
	if t.Error != "" || t.FilesFailed > 0 {
		level = slog.LevelWarn
	}
	suite := t.Suite
	if suite == "" {
		suite = "all"
	}
	s.log.Log(ctx, level, "prefetch ended", "suite", suite, "files", t.FilesDone, "bytes", t.BytesDone,
		"wanted", t.Files, "failed", t.FilesFailed, "no_room", t.NoRoom, "duration", t.Ended.Sub(t.Started), "err", t.Error)
}

// faults are the errors of suites, the first few as text.
type faults struct {
	texts []string
	more  int // errors beyond those
}

func (f *faults) add(err error) {
	switch {
	case err == nil:
	case len(f.texts) < 3:
		f.texts = append(f.texts, err.Error())
	default:
		f.more++
	}
}

// String is "" if there are none.
func (f *faults) String() string {
	all := strings.Join(f.texts, "; ")
	if f.more > 0 {
		all += fmt.Sprintf("; and %d more", f.more)
	}
	return all
}
