// Package keep holds slices of archives complete: of a suite all of its packages, or a
// selection with what that depends on, so that clients can install them while the
// mirror is away.
//
// A slice is complete in a generation of its suite: the Release, the indices and every
// file of the selection are held, verified, and pinned against eviction. When the suite
// has a new generation, its files are fetched beside the old ones, and the slice
// switches when all are held; only then are the pins of those released that the new
// one lacks. Suites of one line, bookworm with bookworm-updates and bookworm-security,
// are one system, as in one sources.list: dependencies are resolved over all of them
// (package closure), the highest version of a package counts, and they switch together.
// What the mirror does not have any more leaves the slice in its old generation until
// there is a newer one.
//
// What a generation needs is known before its packages are fetched; without room for it
// beside the old one nothing is. Files come two at a time, from other boxes before the
// mirror, and give way to clients like all that is fetched ahead.
//
// It uses catalog (generations), store (what is held, and pins) and fetch, and keeps in
// its table a row for each file of each suite, with the generations that need it, and a
// record for each suite; so a restart goes on where it was. Memory is bounded by the
// selection and, while a plan is made, by package closure. One goroutine, in Run, does
// the work.
package keep

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keep/closure"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Options are a Keeper's dependencies, and what it keeps. All but Slices are required.
type Options struct {
	Slices  []Slice
	Catalog Catalog
	Store   Store
	Fetch   Fetcher
	Table   *kv.Table // the Keeper's alone
	Log     *slog.Logger
}

// Catalog knows suites and their generations; *catalog.Catalog.
type Catalog interface {
	Generation(suite catalog.Location, id digest.Digest) (catalog.Generation, bool)
	Resolve(ctx context.Context, l catalog.Location, pin func(suite catalog.Location) digest.Digest) catalog.Entry
	Vouch(e catalog.Entry) catalog.Entry
}

// Store holds files and pins; *store.Store.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
	OpenVerified(ctx context.Context, d digest.Digest) (*store.Blob, error)
	Pin(d digest.Digest, owner string) error
	Unpin(d digest.Digest, owner string) error
	Usage() store.Usage
	All() iter.Seq2[store.Info, error]
	Watch(ctx context.Context) iter.Seq[store.Event]
}

// Fetcher moves bytes; *fetch.Fetcher.
type Fetcher interface {
	// Refresh makes the catalog know the mirror's present generation of a suite.
	Refresh(ctx context.Context, suite catalog.Location) error
	// Keep has the store hold e and, of an index, the catalog learn it.
	Keep(ctx context.Context, e catalog.Entry) error
}

// Lack is a dependency that nothing satisfies.
type Lack = closure.Lack

// State is how far the slice of one suite is.
type State struct {
	Suite  catalog.Location
	System string // the line that the suite is a part of; "" before it is known
	// Complete is the generation in which the slice is complete, Wanted the one that it
	// is to have; zero if there is none. Both are of the Release that they name.
	Complete, Wanted     digest.Digest
	CompleteDate         time.Time // of the Release
	WantedDate           time.Time
	Since                time.Time // when it became complete
	CompleteFiles        int64     // of Complete
	CompleteBytes        int64     // likewise
	Files, Bytes         int64     // of Wanted
	FilesHeld, BytesHeld int64     // of those
	FilesGone            int64     // of Complete, missing at present
	Lacks                []closure.Lack
	MoreLacks            int    // beyond Lacks
	Fault                string // why it does not have what it is to have
}

// Keeper keeps slices. Its methods may be called by several goroutines.
type Keeper struct {
	catalog Catalog
	store   Store
	fetcher Fetcher
	files   files
	log     *slog.Logger
	wake    broadcast.Wake
	turn    time.Duration // as the constant, but for tests
	suites  []*suite      // sorted by URL

	mu     sync.Mutex
	states map[*suite]State // guarded by mu
}

// New returns a Keeper. Nothing is fetched before Run.
func New(o Options) *Keeper {
	k := &Keeper{
		catalog: o.Catalog, store: o.Store, fetcher: o.Fetch, files: files{o.Table}, log: o.Log,
		wake: broadcast.NewWake(), turn: turn, suites: suitesOf(o.Slices), states: make(map[*suite]State),
	}
	for _, s := range k.suites {
		k.load(s)
	}
	return k
}

// load reads the record of a suite. What is held of it is looked at by Run.
func (k *Keeper) load(s *suite) {
	var err error
	if s.record, err = k.files.record(s.dir.String()); err != nil {
		k.log.Warn("record of a kept suite not readable, it is planned again", "suite", s.dir.String(), "err", err)
		s.record = record{}
	}
	t := State{Suite: s.dir}
	s.show(&t)
	k.states[s] = t
}

// State returns how far each slice is, sorted by URL.
func (k *Keeper) State() []State {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]State, len(k.suites))
	for i, s := range k.suites {
		all[i] = k.states[s]
	}
	return all
}

// Changed says that the suite in that directory has a new generation, or that what failed
// of it may go well now. It does not block.
func (k *Keeper) Changed(dir catalog.Location) {
	for _, s := range k.suites {
		if s.dir == dir {
			s.changed.Store(true)
			k.wake.Call()
		}
	}
}

// Complete returns the generation in which the slice of the suite in that directory is
// complete and whole, zero if there is none.
func (k *Keeper) Complete(dir catalog.Location) digest.Digest {
	t, ok := k.stateOf(dir)
	if !ok || t.FilesGone > 0 {
		return digest.Digest{}
	}
	return t.Complete
}

// Holds reports whether a slice needs that generation of the suite in that directory:
// then it is not to be forgotten.
func (k *Keeper) Holds(dir catalog.Location, id digest.Digest) bool {
	t, ok := k.stateOf(dir)
	return ok && (id == t.Complete || id == t.Wanted)
}

func (k *Keeper) stateOf(dir catalog.Location) (t State, ok bool) {
	for _, s := range k.suites {
		if s.dir == dir {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.states[s], true
		}
	}
	return t, false
}

// update changes the state of a suite.
func (k *Keeper) update(s *suite, change func(*State)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.states[s]
	change(&t)
	k.states[s] = t
}
