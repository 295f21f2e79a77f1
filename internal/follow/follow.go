// Package follow keeps suites up to date without a client: those that clients use, and
// those that a setting names (Entry).
//
// A followed suite is checked with its mirror on a schedule with jitter (schedule.go).
// Package fetch takes a new Release of it into force when what clients use of the
// generation is held; then, and whenever one came into force through a client's request,
// the Follower fetches what is missing: the files that replace those that were used in
// earlier generations, and the indices that the setting names. Once for each generation
// it tells the Prefetcher.
//
// It promises that each suite of the setting is followed, that at most maxFollowed suites
// are, that one mirror is asked for one suite at a time, and that failing suites are asked
// about less and less often. Offline, it does nothing. It uses catalog and store, and
// fetch, through interfaces. The one lock is held while nothing is waited for.
package follow

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/store"
)

const (
	// maxFollowed bounds the followed suites, about 500 bytes each. At one request to
	// check each, they are 4,000 an hour. Over it, those of clients that were not used for
	// the longest time give way.
	maxFollowed = 1000
	// unused is how long a suite is followed that no client uses any more.
	unused = 14 * 24 * time.Hour
)

// Options are a Follower's dependencies. All but Prefetch, Entries and Offline are
// required.
type Options struct {
	Catalog  Catalog
	Store    Store
	Fetch    Fetcher
	Prefetch Prefetcher // nil: nobody is told
	Entries  []Entry    // of the setting
	Offline  bool       // nothing is followed
	Log      *slog.Logger
}

// Catalog knows what suites list; *catalog.Catalog.
type Catalog interface {
	Suites() []catalog.SuiteInfo
	Generation(suite catalog.Location, id digest.Digest) (catalog.Generation, bool)
	Successors(suite catalog.Location, held func(digest.Digest) bool) ([]catalog.Entry, error)
	Indices(suite catalog.Location, w catalog.Wanted) ([][]catalog.Entry, error)
	HeldOf(suite catalog.Location, held func(digest.Digest) bool) (int, error)
	Progress() <-chan struct{}
}

// Store knows what is held; *store.Store.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
}

// Fetcher moves bytes; *fetch.Fetcher.
type Fetcher interface {
	// Refresh makes the catalog know the mirror's present generation of a suite.
	Refresh(ctx context.Context, suite catalog.Location) error
	// Keep has the store hold e and, of an index, the catalog learn it.
	Keep(ctx context.Context, e catalog.Entry) error
	// Checked returns when a suite was last confirmed with the mirror (zero if
	// that is not known), and why it could not be since, "" if it could.
	Checked(suite catalog.Location) (at time.Time, stale string)
}

// Prefetcher fetches packages ahead of clients.
type Prefetcher interface {
	// Changed is told that a followed suite has a new generation in force, and its
	// indices are read, or cannot be had; once for each generation, again when the last
	// of these could be had after all, and again after a start, since the box may have
	// been stopped before it had everything. It does not block.
	Changed(suite catalog.Location)
}

// Follower may be used by several goroutines.
type Follower struct {
	catalog  Catalog
	store    Store
	fetch    Fetcher
	prefetch Prefetcher
	entries  map[catalog.Location][]Entry
	offline  bool
	log      *slog.Logger
	ended    broadcast.Wake // a suite's turn is over
	began    time.Time

	mu      sync.Mutex                  // guards what follows
	suites  map[catalog.Location]*suite // the followed ones
	leftOut int                         // how many more clients use
}

// suite is what is known of a followed suite.
type suite struct {
	dir      catalog.Location
	entries  []Entry   // of the setting; none of one that clients use
	used     time.Time // by clients
	now      digest.Digest
	date     time.Time // of now, the generation in force
	running  bool
	next     time.Time // when its mirror is asked
	failures int       // in a row

	tried    digest.Digest // the generation of which the last turn fetched what was missing
	attempts int           // to get all of it
	settled  digest.Digest // the generation of which all is held, or was tried often enough
	lacking  bool          // not all of settled is held

	held, total int
	fault       string
}

// New returns a Follower. Nothing is asked for before Run.
func New(o Options) *Follower {
	f := &Follower{
		catalog: o.Catalog, store: o.Store, fetch: o.Fetch, prefetch: o.Prefetch, offline: o.Offline, log: o.Log,
		entries: make(map[catalog.Location][]Entry), ended: broadcast.NewWake(), suites: make(map[catalog.Location]*suite), began: time.Now(),
	}
	for _, e := range o.Entries {
		for _, dir := range e.Dirs() {
			f.entries[dir] = append(f.entries[dir], e)
		}
	}
	return f
}

// Follows reports whether the suite in that directory is followed.
func (f *Follower) Follows(dir catalog.Location) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.suites[dir] != nil
}

// Depth returns how much of a suite is fetched before clients ask for it; "" if it is
// not followed.
func (f *Follower) Depth(dir catalog.Location) Depth {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.suites[dir]; s != nil {
		return s.depth()
	}
	return ""
}

// depth is that of the entry that goes deepest.
func (s *suite) depth() Depth {
	if len(s.entries) == 0 {
		return Used
	}
	d := Indices
	for _, e := range s.entries {
		d = deeper(d, e.Depth)
	}
	return d
}

// Suite is a followed suite.
type Suite struct {
	Location    catalog.Location // its directory
	Entries     []Entry          // of the setting; none if clients use it
	Depth       Depth
	Used        time.Time // by clients; zero if none has
	Checked     time.Time // last confirmed with the mirror; zero if it never was
	Next        time.Time // when the mirror is asked again
	Date        time.Time // of the generation in force; zero if there is none
	Held, Total int       // files of its Release that clients use or the setting names
	Fault       string    // what went wrong last; "" if nothing did
}

// Setting reports whether the setting names the suite; else clients use it.
func (s Suite) Setting() bool { return len(s.Entries) > 0 }

// State returns the followed suites, those of the setting first, each by its URL.
func (f *Follower) State() []Suite {
	f.mu.Lock()
	all := make([]Suite, 0, len(f.suites))
	for _, s := range f.suites {
		all = append(all, Suite{
			Location: s.dir, Entries: s.entries, Depth: s.depth(), Used: s.used, Next: s.next, Date: s.date,
			Held: s.held, Total: s.total, Fault: s.fault,
		})
	}
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b Suite) int { return a.compare(b) })
	return all
}

// Check fills in when each of the suites was last confirmed with its mirror, for those
// that are shown.
func (f *Follower) Check(suites []Suite) {
	for i := range suites {
		suites[i].Checked, _ = f.fetch.Checked(suites[i].Location)
	}
}
