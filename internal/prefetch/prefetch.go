// Package prefetch fetches the packages of an update before clients request
// them: when a suite has a new Release, every client of the site is about to
// request the new versions of what it has installed.
//
// It begins by itself when it is told that a suite has changed (Changed): then it
// fetches the new versions of what clients requested within 90 days (package uses), by
// architecture, of the suites of the same release, what is requested most first, and of
// source packages what was requested as source. What those depend on and has a name that
// is new to the release comes with them (depends.go). A day's budget limits the bytes, from
// mirrors and other boxes (package account, which also keeps what this costs and what
// it is good for). And it begins when somebody asks for it (Start): then it has the suites
// brought up to date, and fetches of each package of which an older version is held the newest
// one, the most recently used first; the budget counts these bytes, but does not end it.
//
// Two files come at a time, from other boxes before the mirror like any file, and none
// while a client waits for a download. Room is what is free and what the older versions
// have that are held and that no suite has in force (superseded; of a package whose name
// is new, those of names that differ in their numbers): nothing else is evicted
// for a file that no client has requested.
//
// It uses catalog (what is listed) and store (what is held), fetch, which moves the
// bytes and counts them, and follow, which brings suites up to date. Memory is bounded
// by maxPlan and maxPart, not by the archive or the store.
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

	"golang.org/x/sync/errgroup"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/mirror"
	"millpond/internal/prefetch/account"
	"millpond/internal/prefetch/uses"
	"millpond/internal/store"
)

var (
	// ErrRunning says that another prefetch has not ended yet.
	ErrRunning = errors.New("a prefetch is running already")
	// ErrUnknownSuite says that no client has used the suite.
	ErrUnknownSuite = errors.New("no client has used this suite")
)

// Options are a Prefetcher's dependencies. All but Offline, Budget and Now are required.
type Options struct {
	Table   *kv.Table // the Prefetcher's alone
	Catalog Catalog
	Store   Store
	Fetch   Fetcher
	Follow  Follower
	Offline bool  // no mirror may be used
	Budget  int64 // bytes a day that Changed may cost; 0 ignores it
	Log     *slog.Logger
	// Now is when clients request something and what is in use; time.Now if it is nil. The
	// budget's days are the machine's.
	Now func() time.Time
}

// Catalog knows what suites list; *catalog.Catalog.
type Catalog interface {
	Suites() []catalog.SuiteInfo
	Packages(suite catalog.Location) iter.Seq2[catalog.Entry, error]
	PackagesOf(suite catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error]
	Listed(suite catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error]
	Moments(suite catalog.Location) []catalog.Moment
	Sources(suite catalog.Location) iter.Seq2[catalog.Entry, error]
	Listers(d digest.Digest) ([]catalog.Location, error)
	InForce(d digest.Digest) (bool, error)
	Vouch(e catalog.Entry) catalog.Entry
}

// Store knows what is held; *store.Store.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
	OpenVerified(ctx context.Context, d digest.Digest) (*store.Blob, error)
	Names(prefix, after string) iter.Seq2[store.Named, error]
	DiskFree() (share float64, err error)
}

// Fetcher moves bytes; *fetch.Fetcher, but for the type of Brought.
type Fetcher interface {
	// Ahead has the store hold e, in free room or that of the blobs in replaces.
	// store.ErrNoSpace and store.ErrDisk say that it cannot be kept.
	Ahead(ctx context.Context, e catalog.Entry, replaces []digest.Digest) (Brought, error)
	// ClientsWait reports whether a client waits for a download.
	ClientsWait() bool
}

// Follower brings suites up to date; *follow.Follower.
type Follower interface {
	// Update makes the catalog know the present generation of a suite, and what the
	// indices list that replace those which clients used.
	Update(ctx context.Context, suite catalog.Location) error
}

// Brought is what was taken for a file that was fetched ahead; fetch.Brought.
type Brought struct {
	Peers, Mirrors int64 // bytes from them, whatever became of them
	Asked          bool  // somebody asked for the file before it was held
}

// State is what the running prefetch has done so far, or what the last one
// did, but for automatic ones that found nothing to fetch after another one. It is zero
// before the first. Files and bytes are those of packages; what brings
// the suites up to date is what their clients' updates take in any case.
type State struct {
	Running        bool
	Automatic      bool      // begun by the change of a suite
	Suite          string    // URL of the only one, "" for several
	Started, Ended time.Time // Ended is zero while it runs

	Files, Bytes         int64 // wanted, as far as is known
	FilesDone, BytesDone int64 // held by now
	FilesFailed          int64
	NoRoom               int64  // files left out so that nothing is evicted
	NoBudget             int64  // files left out as the day's budget is too small
	Error                string // why it did not fetch all
}

// Prefetcher runs one prefetch at a time. Its methods may be called by several
// goroutines.
type Prefetcher struct {
	catalog Catalog
	store   Store
	fetcher Fetcher
	follow  Follower
	offline bool
	budget  int64
	log     *slog.Logger
	now     func() time.Time
	wanted  chan []catalog.Location // the suites of the prefetch that is to run

	uses     *uses.Table
	account  *account.Account
	changes  changes
	requests requests

	mu    sync.Mutex // guards what follows
	state State
	// before is that of the prefetch before, which is shown again after one that nobody
	// asked for and that found nothing to fetch.
	before State
}

// New returns a Prefetcher. Nothing is fetched before Run.
func New(o Options) (*Prefetcher, error) {
	s := &Prefetcher{
		catalog: o.Catalog, store: o.Store, fetcher: o.Fetch, follow: o.Follow, offline: o.Offline, budget: o.Budget, log: o.Log, now: o.Now,
		wanted: make(chan []catalog.Location, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.uses, err = uses.Open(o.Table, s.now, o.Log); err == nil {
		s.account, err = account.Open(o.Table, o.Budget, o.Log)
	}
	if err == nil {
		err = s.changes.open(o.Table, o.Log)
	}
	if err != nil {
		return nil, fmt.Errorf("opening what was fetched ahead: %w", err)
	}
	return s, nil
}

// State returns what the running or last prefetch did.
func (s *Prefetcher) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Figures are what fetching ahead has cost, and what it was good for.
type Figures = account.Figures

// Cost is what was fetched ahead, and what became of it.
type Cost = account.Cost

// Wave is a prefetch, as it is in the account.
type Wave = account.Wave

// Figures returns the present ones.
func (s *Prefetcher) Figures() Figures { return s.account.Figures() }

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
	state, ok := s.begin(State{Suite: suite})
	if !ok {
		return State{}, ErrRunning
	}
	s.wanted <- dirs // has room: Run took the last ones before they ended
	return state, nil
}

// begin makes t the state of a prefetch that begins now, unless one is running.
func (s *Prefetcher) begin(t State) (State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Running {
		return s.state, false
	}
	t.Running, t.Started = true, time.Now()
	s.before, s.state = s.state, t
	return t, true
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

// Run does the prefetches that Start and Changed begin, and writes down what is noted,
// until ctx ends; then it returns nil. What a prefetch had not fetched by then is left
// for the next.
func (s *Prefetcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.prefetchAll(ctx); return nil })
	g.Go(func() error { s.keepBooks(ctx); return nil })
	err := g.Wait()
	s.writeBooks()
	return err
}

// prefetchAll does one prefetch after the other.
func (s *Prefetcher) prefetchAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case dirs := <-s.wanted:
			s.logEnd(ctx, s.prefetch(ctx, dirs))
		case <-s.changes.wake:
			s.prefetchChanged(ctx)
		}
	}
}

// prefetch fetches the update wave of suites.
func (s *Prefetcher) prefetch(ctx context.Context, dirs []catalog.Location) State {
	r := newRun(true, dirs)
	var current []catalog.Location
	for _, dir := range dirs {
		if err := s.follow.Update(ctx, dir); err != nil {
			r.faults.add(fmt.Errorf("%s: %w", dir, err))
			continue
		}
		current = append(current, dir)
	}
	plan := newPlan(s.catalog.Suites())
	for _, dir := range current {
		if err := s.survey(ctx, plan, dir); err != nil {
			r.faults.add(fmt.Errorf("%s: %w", dir, err))
		}
	}
	r.faults.add(s.fetchPlan(ctx, r, plan))
	return s.end(ctx, r)
}

// held reports whether the store has d.
func (s *Prefetcher) held(d digest.Digest) bool {
	_, err := s.store.Stat(d)
	return err == nil
}

// logEnd logs what a prefetch did.
func (s *Prefetcher) logEnd(ctx context.Context, t State) {
	level := slog.LevelInfo
	if t.Automatic && t.Files == 0 {
		level = slog.LevelDebug
	}
	if t.Error != "" || t.FilesFailed > 0 {
		level = slog.LevelWarn
	}
	suite := t.Suite
	if suite == "" {
		suite = "all"
		if t.Automatic {
			suite = "those that changed"
		}
	}
	s.log.Log(ctx, level, "prefetch ended", "suite", suite, "files", t.FilesDone, "bytes", t.BytesDone,
		"wanted", t.Files, "failed", t.FilesFailed, "no_room", t.NoRoom, "no_budget", t.NoBudget, "duration", t.Ended.Sub(t.Started), "err", t.Error)
}
