// Package store keeps content-addressed blobs on disk. It stands on kv for
// what is known about them and on the file system for their bytes.
//
//	blobs/ab/abcdef…     a blob, named by its SHA-256, mode 0444; 0400 if private
//	partial/abcdef…      an unfinished blob, sparse
//	partial/abcdef….map  which of its bytes are there, and which trusted
//	partial/new-…        an unfinished blob without a name, swept at start
//
// Bytes become a blob only in Commit, which has hashed all of them. A blob never
// changes. New ones take the place of old ones: first of what nobody vouches for,
// beyond its share, then of what no Release lists any more, then of what saves least
// for the bytes that it takes, by its requests, of which each counts half as much after
// a month; but of none that is pinned or open. Run makes room ahead of requests. A
// private blob came with a login only (Info.Private). Memory does not grow with the
// number of blobs. After kill -9 at any instant, Open finds every blob whose Commit had
// returned, and no torn one. The table of blobs is only a view of the directory: lost,
// it is built again, without pins, and without the names, sources and places that blobs
// came with, but for those of the rows that Pinned and Known choose; private ones stay
// private. Blobs can be listed by digest and by name.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"millpond/internal/broadcast"
	"millpond/internal/digest"
	"millpond/internal/disk"
	"millpond/internal/kv"
	"millpond/internal/recent"
)

var (
	// ErrNoSpace means that the quota or the disk has no room, even after
	// eviction. If the disk is full, the error wraps syscall.ENOSPC too.
	ErrNoSpace = errors.New("no room in the store")
	// ErrMismatch means that the bytes are not those that the digest names.
	ErrMismatch = errors.New("content does not match its digest")
	// ErrBusy means that another Partial of that digest is open.
	ErrBusy = errors.New("blob is being written")
	// ErrAbsent ends a short read at the first byte that is not there yet.
	ErrAbsent = errors.New("bytes not present yet")
)

// Options says where a Store lives and how large it may grow.
type Options struct {
	Dir   string       // blobs/ and partial/ live here; made if missing
	Table *kv.Table    // the Store's alone: sizes, last use, pins, names
	Quota Quota        // must not be zero
	Log   *slog.Logger // nil: none
	// Beside returns how many bytes others keep on the disk that count against the
	// quota too, as the database does. It is asked every few seconds. nil: none.
	Beside func() (int64, error)
	// Spare removes what others keep on the disk that is worth less than any blob, and
	// returns how many bytes that frees. It is called before blobs are evicted. nil: none.
	Spare func() (freed int64, err error)

	// LastCopy reports whether no neighbour has a blob, of several that share with each
	// other. It is asked about the next blobs to be evicted, and must answer from memory.
	// nil: there are no neighbours.
	LastCopy func(digest.Digest) bool

	// Damaged is told of each blob that was removed since it was damaged, whoever noticed
	// it, and does not block. nil: nobody is.
	Damaged func(Info)

	// Now is the time of uses; nil: time.Now. For tests.
	Now func() time.Time
	// Fault, if not nil, is called before each "create" of a file, "write" and
	// "sync" of file bytes, and "chmod", "name", "syncdir", "remove", "read" and "hash" of a
	// blob, and its error is taken for the disk's. For tests.
	Fault func(op string) error
}

// Store is a directory of blobs. One process holds it (the lock is kv's), and
// all methods may be called by several goroutines at once. None may be called
// after Close, save Close of what is still open.
//
// Lock order: meta, then mu. A hit takes mu only, so that it never waits for
// the disk.
type Store struct {
	dir     string
	table   *kv.Table
	lately  *recent.Map[digest.Digest, row] // of table
	log     *slog.Logger
	quota   int64                      // bytes
	minFree int64                      // bytes to leave free on the disk
	space   func() (disk.Space, error) // for tests
	measure func() (int64, error)      // Options.Beside
	spare   func() (int64, error)      // Options.Spare
	// lastCopy is Options.LastCopy.
	lastCopy func(digest.Digest) bool
	onDamage func(Info)       // Options.Damaged
	now      func() time.Time // Options.Now
	room     room
	fault    func(op string) error
	missing  broadcast.Wake   // for takeStock
	closed   chan struct{}    // ends watchers
	durable  [256]atomic.Bool // which fan-out directories survive a power cut

	// meta serializes changes of the table and of the files in blobs/.
	meta sync.Mutex
	// oldest is where eviction begins to read the index of last uses, of each
	// prefix: there is nothing before it. From the start it would have to walk over
	// more and more deleted keys. Guarded by meta; there are buckets+1 at most.
	oldest map[string][]byte

	mu        sync.Mutex // guards all below
	count     counters
	open      map[digest.Digest]int       // Blobs open
	removing  digest.Digest               // the blob that is being removed, if any
	uses      map[digest.Digest]time.Time // not yet in the table; at most maxUses
	flushSoon chan struct{}               // signals Run that uses is half full
	evictSoon chan struct{}               // signals Run that less is free than marks says
	partials  map[digest.Digest]*Partial  // open ones with a digest
	unnamed   map[*Partial]struct{}       // open ones without
	idle      map[digest.Digest]idle      // partial files that are not open; at most maxIdle
	watchers  map[*watcher]struct{}
	inUse     map[digest.Digest]use // used since they were verified last; at most maxUses
	trouble   Trouble
	failed    error                       // what the disk last failed with, until a write succeeds
	syncing   map[*Partial]time.Time      // being committed, since when; about maxSyncing
	lost      map[digest.Digest]time.Time // blobs that could not be read, and since when; at most maxLost
}

// counters are kept in step with disk and table, in bytes but for blobs.
type counters struct {
	blobs     int64
	bytes     int64
	pinned    int64 // of bytes
	unlisted  int64 // likewise, and not pinned
	partial   int64 // reserved by partials, open or idle
	unwritten int64 // of partial: not on disk yet, or forgotten
	idle      int64 // of partial: held by idle ones
	beside    int64 // as Options.Beside last said
	shares    shares
}

// Usage is what a store holds and may hold.
type Usage struct {
	Blobs      int64
	Bytes      int64 // of blobs
	Pinned     int64 // of Bytes
	Partial    int64 // bytes reserved by unfinished ones
	Beside     int64 // bytes in the quota beside these: of others, and what small files take beyond their size
	QuotaBytes int64
	// LowMark is how far what is not worth evicting anything for may fill the store, of
	// QuotaBytes (PartialInFreeRoom). Beyond it there is room for clients alone.
	LowMark int64
}

// Open opens the store in o.Dir, or makes it, and brings directory and table
// in step: it takes about 10 µs per blob.
func Open(o Options) (*Store, error) {
	s := &Store{
		dir:       o.Dir,
		table:     o.Table,
		lately:    recent.New[digest.Digest, row](maxLately),
		log:       o.Log,
		fault:     o.Fault,
		measure:   o.Beside,
		spare:     o.Spare,
		lastCopy:  o.LastCopy,
		onDamage:  o.Damaged,
		now:       o.Now,
		closed:    make(chan struct{}),
		open:      make(map[digest.Digest]int),
		uses:      make(map[digest.Digest]time.Time),
		flushSoon: make(chan struct{}, 1),
		evictSoon: make(chan struct{}, 1),
		partials:  make(map[digest.Digest]*Partial),
		unnamed:   make(map[*Partial]struct{}),
		idle:      make(map[digest.Digest]idle),
		oldest:    make(map[string][]byte),
		watchers:  make(map[*watcher]struct{}),
		inUse:     make(map[digest.Digest]use),
		missing:   broadcast.NewWake(),
		syncing:   make(map[*Partial]time.Time),
		lost:      make(map[digest.Digest]time.Time),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.measure == nil {
		s.measure = func() (int64, error) { return 0, nil }
	}
	if s.spare == nil {
		s.spare = func() (int64, error) { return 0, nil }
	}
	if s.lastCopy == nil {
		s.lastCopy = func(digest.Digest) bool { return false }
	}
	if s.onDamage == nil {
		s.onDamage = func(Info) {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.fault == nil {
		s.fault = func(string) error { return nil }
	}
	s.space = func() (disk.Space, error) { return disk.Of(s.dir) }
	if err := s.prepare(o.Quota); err != nil {
		return nil, fmt.Errorf("opening store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) prepare(q Quota) error {
	for _, dir := range []string{s.partialDir(), filepath.Join(s.dir, "blobs"), s.dir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := disk.SyncDir(dir); err != nil {
			return err
		}
	}
	d, err := disk.Of(s.dir)
	if err != nil {
		return err
	}
	s.minFree = min(max(d.Total/100, LeastFree), mostFree)
	if s.quota, err = q.of(d.Total); err != nil {
		return err
	}
	if s.count.beside, err = s.measure(); err != nil {
		return err
	}
	return s.reconcile()
}

// Close writes down last uses and the maps of open partials, and ends
// watchers. It does not close the table.
func (s *Store) Close() error {
	s.mu.Lock()
	var open []*Partial
	for _, p := range s.partials {
		open = append(open, p)
	}
	for p := range s.unnamed {
		open = append(open, p)
	}
	s.mu.Unlock()
	var errs []error
	for _, p := range open {
		errs = append(errs, p.Close())
	}
	errs = append(errs, s.Flush())
	close(s.closed)
	return errors.Join(errs...)
}

const (
	flushEvery = 5 * time.Second
	sweepEvery = time.Hour
)

// Run keeps the store in order until ctx ends, then returns nil. It writes last uses to
// the table, evicts when little is free in the quota or on the disk (marks), drops
// partial files that have been idle for a week, and verifies every blob about once a
// month, and those in use as often as they are used (usedWork). When the files of blobs
// are missing it forgets these blobs.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	limit := rate.NewLimiter(scrubRate, hashChunk)
	g.Go(func() error { s.scrub(ctx, limit); return nil })
	g.Go(func() error { s.scrubUsed(ctx, limit); return nil })
	g.Go(func() error { s.takeStock(ctx); return nil })
	g.Go(func() error { s.keepHouse(ctx); return nil })
	return g.Wait()
}

func (s *Store) keepHouse(ctx context.Context) {
	flush, sweep := time.NewTicker(flushEvery), time.NewTicker(sweepEvery)
	defer flush.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			s.sweepIdle(time.Now().Add(-maxIdleAge))
		case <-s.flushSoon:
		case <-s.evictSoon:
			s.relieve()
		case <-flush.C:
			s.relieve()
			s.tryDisk()
		}
		if err := s.Flush(); err != nil {
			s.log.Warn("last uses of blobs not written", "err", err)
		}
	}
}

// Usage returns what the store holds now.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, end := s.marks(s.quota + s.minFree) // the disk is another matter
	return Usage{
		Blobs: s.count.blobs, Bytes: s.count.bytes, Pinned: s.count.pinned, Partial: s.count.partial, Beside: s.count.beside + s.count.shares.extra,
		QuotaBytes: s.quota, LowMark: s.quota - end,
	}
}

// Limit is how much the store can hold.
type Limit struct {
	Bytes int64 // the quota, or less if there is no room on the disk for that
	Disk  int64 // the size of the file system
	Free  int64 // on it
}

// Limit measures it: what others keep on the disk, outside of the quota, counts.
func (s *Store) Limit() (Limit, error) {
	d, err := s.space()
	if err != nil {
		return Limit{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.count.bytes + s.count.shares.extra + s.count.partial - s.count.unwritten + s.count.beside
	return Limit{Bytes: max(min(s.quota, held+d.Free-s.minFree), 0), Disk: d.Total, Free: d.Free}, nil
}

// DiskFree returns which share of the disk is free for the store, 0 to 1.
func (s *Store) DiskFree() (float64, error) {
	d, err := disk.Of(s.dir)
	if err != nil {
		return 0, err
	}
	return float64(d.Free) / float64(max(d.Total, 1)), nil
}

func (s *Store) fanOut(b byte) string {
	return filepath.Join(s.dir, "blobs", fmt.Sprintf("%02x", b))
}

func (s *Store) blobPath(d digest.Digest) string {
	name := d.String()
	return s.dir + "/blobs/" + name[:2] + "/" + name
}

func (s *Store) partialDir() string { return filepath.Join(s.dir, "partial") }

func (s *Store) partialPath(d digest.Digest) string {
	return filepath.Join(s.partialDir(), d.String())
}
