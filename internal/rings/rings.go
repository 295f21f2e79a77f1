// Package rings serves generations of suites that are not in force: the one of a moment
// (snapshots), and those that groups of clients are to have (rings).
//
// A ring names for each suite the generation that its clients get. It takes what is in
// force, or what the ring before it has had for a delay, suites whose name says security
// at once. An administrator holds a ring, promotes it before its time, or rolls it back.
// A lane is a ring's part in one suite; it begins when a client of the ring is first
// given a Release of the suite, and is the ring's state on disk. The ring without a name
// is what is in force, since the box knows.
//
// The catalog keeps the generations: those of the last month as far as there is room,
// and those that a ring holds (Holds). This package pins their files in the store:
// Release files and the indices that are held, and of rings the packages that their
// clients used. Each has a share of the cache, and each archive or ring a part of that.
//
// Bytes and signatures stay the archive's own. What is in force is not touched: an older
// generation is served on purpose, to who asks for it. So apt's own checks count, too: it
// refuses a Release that has expired, and keeps its newer one after a rollback.
package rings

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millpond/internal/broadcast"
	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/store"
)

// Errors about rings that do not exist, or that cannot do what is asked.
var (
	ErrNoRing   = errors.New("there is no ring of this name")
	ErrNoLane   = errors.New("no client of the ring has used this suite")
	ErrNoFormer = errors.New("the ring has had no other generation of this suite before")
	ErrSetting  = errors.New("the ring is one of MILLPOND_RINGS, and is changed there")
	ErrFollowed = errors.New("another ring comes after this one")
)

// Catalog has the generations; *catalog.Catalog.
type Catalog interface {
	Suites() []catalog.SuiteInfo
	Generation(suite catalog.Location, id digest.Digest) (catalog.Generation, bool)
	Moments(suite catalog.Location) []catalog.Moment
	At(suite catalog.Location, t time.Time) (catalog.Generation, bool)
	Listed(suite catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error]
	ListedBy(d digest.Digest, fn func(suite catalog.Location, id digest.Digest) bool) error
	PackagesOf(suite catalog.Location, id digest.Digest) iter.Seq2[catalog.Entry, error]
	Successors(suite catalog.Location, held func(digest.Digest) bool) ([]catalog.Entry, error)
	ForgetPast(suite catalog.Location, id digest.Digest) error
	Progress() <-chan struct{}
}

// Store has the files; *store.Store.
type Store interface {
	Stat(d digest.Digest) (store.Info, error)
	All() iter.Seq2[store.Info, error]
	Pin(d digest.Digest, owner string) error
	Unpin(d digest.Digest, owner string) error
	Usage() store.Usage
}

// Fetcher gets files without a client; *fetch.Fetcher.
type Fetcher interface {
	Keep(ctx context.Context, e catalog.Entry) error
	Refresh(ctx context.Context, suite catalog.Location) error
}

// Options are what Rings stands on. All are required but Setting and Dated.
type Options struct {
	Catalog Catalog
	Store   Store
	Fetcher Fetcher
	Table   *kv.Table
	Setting Definitions // the rings of MILLPOND_RINGS
	// Dated has the dated archives: by the directory of an archive, that below which a
	// directory for each time has the archive as it was.
	Dated map[catalog.Location]catalog.Location
	Log   *slog.Logger
}

// Rings is safe for concurrent use. The locks pinning and mu are taken in this order.
type Rings struct {
	catalog Catalog
	store   Store
	fetcher Fetcher
	table   *kv.Table
	dated   map[catalog.Location]catalog.Location
	log     *slog.Logger
	now     func() time.Time // fixed but for tests

	wake   broadcast.Wake // for Run
	held   atomic.Pointer[map[held]bool]
	pins   pins
	faults faults
	// comparing has a place for the one comparison that runs.
	comparing chan struct{}

	mu    sync.Mutex // guards what follows
	rings map[string]*ring
}

// ring is a ring with its lanes.
type ring struct {
	Definition
	setting bool // it is one of MILLPOND_RINGS
	lanes   map[catalog.Location]*lane
}

// held names a generation that rings hold.
type held struct {
	suite      catalog.Location
	generation digest.Digest
}

// Open reads what the table has of earlier runs. What a ring had that does not exist any
// more is forgotten.
func Open(o Options) (*Rings, error) {
	r := &Rings{
		catalog: o.Catalog, store: o.Store, fetcher: o.Fetcher, table: o.Table, dated: o.Dated, log: o.Log,
		now: time.Now, wake: broadcast.NewWake(), comparing: make(chan struct{}, 1), rings: map[string]*ring{"": newRing(Definition{}, true)},
	}
	r.pins.of, r.pins.bytes = make(map[digest.Digest]*pin), make(map[string]int64)
	for _, d := range o.Setting {
		r.rings[d.Name] = newRing(d, true)
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	r.hold()
	return r, nil
}

func newRing(d Definition, setting bool) *ring {
	return &ring{Definition: d, setting: setting, lanes: make(map[catalog.Location]*lane)}
}

// evaluateEvery is how exact delays are.
const evaluateEvery = 10 * time.Second

const (
	// sweepEvery is how often pins are compared with what they are for, without need: with
	// 50,000 pins it takes some seconds. A superseded generation is in use for an hour, so
	// that its indices are pinned by then.
	sweepEvery = 30 * time.Minute
	// sweepApart is how long after one the next one is for lack of room.
	sweepApart = time.Minute
)

// Run moves rings to what is due, and keeps pins in step, until ctx ends; then it
// returns nil.
func (r *Rings) Run(ctx context.Context) error {
	if err := r.findPins(ctx); err != nil {
		r.log.Warn("pins of rings and snapshots not found, and not released until the next start", "err", err)
	}
	tick := time.NewTicker(evaluateEvery)
	defer tick.Stop()
	var swept time.Time
	for {
		progress := r.catalog.Progress()
		moved := r.evaluate()
		if r.pins.crowded.Load() && time.Since(swept) >= sweepApart || moved || time.Since(swept) >= sweepEvery {
			r.pins.crowded.Store(false)
			r.sweep(ctx)
			swept = time.Now()
		}
		r.prepare(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-progress:
		case <-r.wake:
		case <-tick.C:
		}
	}
}

// RingOf returns the ring that a client is bound to by its address, "" if none: that with
// the narrowest range.
func (r *Rings) RingOf(client netip.Addr) (name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bits := -1
	for _, ring := range r.rings {
		for _, p := range ring.Clients {
			if p.Contains(client) && p.Bits() > bits {
				name, bits = ring.Name, p.Bits()
			}
		}
	}
	return name
}

// Has reports whether there is a ring of that name.
func (r *Rings) Has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return name != "" && r.rings[name] != nil
}

// Holds reports whether a ring holds a generation. It is for the catalog, and takes no
// lock.
func (r *Rings) Holds(suite catalog.Location, id digest.Digest) bool {
	all := r.held.Load()
	return all != nil && (*all)[held{suite, id}]
}

// hold tells the catalog which generations rings hold. The caller holds mu, or is Open.
func (r *Rings) hold() {
	all := make(map[held]bool)
	for _, ring := range r.rings {
		for suite, l := range ring.lanes {
			for _, s := range l.Steps {
				all[held{suite, s.Generation}] = true
			}
		}
	}
	r.held.Store(&all)
}

// names are those of all rings, each after the one that it comes after.
func (r *Rings) names() []string {
	depth := func(name string) (n int) {
		for at := r.rings[name]; at != nil && at.Name != "" && n <= MaxRings; at = r.rings[at.After] {
			n++
		}
		return n
	}
	names := slices.Sorted(maps.Keys(r.rings))
	slices.SortStableFunc(names, func(a, b string) int { return depth(a) - depth(b) })
	return names
}

// isMissing reports whether a file is simply not held.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
