// Package kv is the one Badger database of a box: opened once, and split into
// tables that share nothing but the file handles.
//
// It stands on Badger v4 and holds metadata only (sizes, catalog rows, the
// ledger, DHT records), never the bytes of a file. A table is a key prefix; a
// Datastore is the same under go-datastore's interface, for libp2p.
//
// A write that has returned survives the death of the process, kill -9
// included, because Badger's log is a shared memory map that the kernel owns;
// only Sync makes it survive a power cut. Memory is bounded by the options here and does
// not grow with the number of rows.
//
// A database that is damaged is set aside, and a new one takes its place with the rows
// that are also kept beside it. What goes bad under the running process gives errors that
// wrap ErrDamaged, or, where Badger reads it in a goroutine of its own, ends the process;
// the next Open sets it aside.
//
// Badger writes through memory maps. What it writes so has its blocks on the disk
// before, and on a disk that is nearly full, or refuses writes, writes give ErrRefused
// while reads go on. Where the disk cannot read a page of the database back, reading a
// row gives EIO. Badger's own goroutines, which compact and write, cannot be guarded
// so: there it ends the process, and so does a disk that refuses to write a page
// that it has reserved. On a file system that copies on write (btrfs, ZFS),
// blocks cannot be reserved for good, and only the margin is left.
package kv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// gcEvery is the interval at which space is reclaimed. When there is none to
// reclaim, no data is read.
const gcEvery = 10 * time.Minute

// DB is an open database. Its methods, and those of its tables, may be
// called from several goroutines; after Close they return an error wrapping
// fs.ErrClosed.
type DB struct {
	dir       string
	log       *slog.Logger
	badger    *badger.DB
	lock      *os.File // holds the flock on dir
	room      *room
	kept      []Kept
	recovered Recovery

	keeping sync.Mutex // held while the file of kept rows is written; taken before mu

	mu     sync.Mutex
	closed bool            // guarded by mu
	users  *sync.WaitGroup // guarded by mu; calls in progress that began after the last Purge
	fault  error           // guarded by mu; the first damage that was read
}

// Open opens or makes the database in dir. A directory that another process
// (or another DB of this one) has open gives an error wrapping ErrLocked, and a disk
// without OpenRoom one that wraps syscall.ENOSPC. A damaged database is set aside, and a
// new one is made with the rows of kept, as they were last written beside it: Recovered
// tells. All tables are read for that, at the speed of the disk. Badger's messages are
// logged: its errors as warnings, the rest at debug level.
func Open(dir string, log *slog.Logger, kept ...Kept) (*DB, error) {
	r := &room{dir: dir}
	return open(badgerOptions(dir, badgerLog{log, r}), r, log, kept...)
}

// badgerOptions is tuned for a small machine. Badger has one memtable on the
// heap, and up to NumMemtables+2 while it writes faster than the disk does,
// each about a third larger than MemTableSize; table indices and blocks are read
// in place from memory maps, which the kernel drops when it needs the memory. That
// requires tables without compression, and then Badger needs neither a block cache
// nor an index cache.
func badgerOptions(dir string, log badgerLog) badger.Options {
	opt := badger.DefaultOptions(dir).
		WithLogger(log).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithNumCompactors(2). // the minimum that Badger accepts
		// Rows are small: what is larger than this is kept out of the tables,
		// so that compaction does not copy it again and again.
		WithValueThreshold(16 << 10).
		// Twice that is reserved on the disk.
		WithValueLogFileSize(4 << 20).
		WithSyncWrites(false).
		// Every caller is the only writer of its rows, so that transactions
		// cannot conflict and the bookkeeping for it is waste.
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		// What goes bad under the running box is an error rather than a wrong row.
		WithChecksumVerificationMode(options.OnBlockRead).
		WithVerifyValueChecksum(true).
		// lockDir takes the lock that Badger would: Badger's error for a
		// directory in use differs from others only in its text.
		WithBypassLockGuard(true)
	// Tables of 1 MB at every level. Compaction builds ten or so at once, each
	// in a buffer of twice the size; Badger's 2 MB, doubled at each level down,
	// made that most of the memory. The price is an open file for each MB.
	opt.BaseTableSize = 1 << 20
	if strconv.IntSize == 32 {
		// Badger builds a table in a buffer of twice BaseTableSize. When that is full,
		// ristretto's Allocator begins again at its start on these machines, and
		// overwrites what it has built (an int shifted by 32 bits). So a memtable has
		// to fit. Where Badger compacts level 0 into itself, the buffer is too small
		// whatever this is.
		opt.BaseTableSize = memTableSize
	}
	opt.TableSizeMultiplier = 1
	return opt
}

// closeWithin bounds Close. A disk takes what is in memory, 40 MB at most, in a second;
// one that refuses it is tried again for ever.
const closeWithin = 10 * time.Second

// Close ends the use of the database. It waits for calls in progress, writes the kept
// rows, and what is in memory, to the disk. If the disk does not take that in 10 s, Close
// gives up with an error: nothing is lost, since the logs have it, and the database is
// locked until the process ends. A second Close does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	users := db.users
	db.mu.Unlock()
	users.Wait() // a Purge among them waits for those before it
	done := make(chan error, 1)
	go func() { done <- db.finish() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("closing database %s: %w", db.dir, err)
		}
		return nil
	case <-time.After(closeWithin):
		return fmt.Errorf("closing database %s: the disk did not take its tables within %v, the next start reads its logs: %w",
			db.dir, closeWithin, db.room.failure())
	}
}

// finish writes what is in memory, and lets the directory go.
func (db *DB) finish() error {
	if err := db.keep(); err != nil {
		db.log.Warn("rows that nothing can rebuild not written beside the database", "err", err)
	}
	// The last table takes the room of the log that is not needed any more.
	err := errors.Join(db.room.dropSpares(), guard(db.badger.Close))
	_ = db.room.keepReserve(0) // of what is free now; without it, the next start says why
	return errors.Join(err, unlockDir(db.lock))
}

// enter begins a call that uses Badger, which must not be used once it is
// closed: its files are unmapped then. Each enter without an error needs a call
// of Done of what it returns.
func (db *DB) enter() (users *sync.WaitGroup, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, db.errClosed()
	}
	db.users.Add(1)
	return db.users, nil
}

func (db *DB) errClosed() error { return fmt.Errorf("database %s: %w", db.dir, fs.ErrClosed) }

// view runs fn in a read-only transaction: it sees one state of the database. An error
// of Badger other than that a key is missing means damage, and so does its panic.
func (db *DB) view(fn func(txn *badger.Txn) error) error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	err = guard(func() error { return db.badger.View(fn) })
	if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
		return db.damaged(err)
	}
	return err
}

// update runs fn in a transaction that is written as a whole or not at all. One that
// frees room on the disk is refused later than others.
func (db *DB) update(frees bool, fn func(txn *badger.Txn) error) error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	if err := db.room.check(frees); err != nil {
		return err
	}
	return db.badger.Update(fn)
}

// Err returns why the database takes no ordinary writes now, which wraps ErrRefused or
// fs.ErrClosed; or nil.
func (db *DB) Err() error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	if err := db.room.check(false); err != nil {
		return fmt.Errorf("database %s: %w", db.dir, err)
	}
	return nil
}

// Run reclaims space, and writes the kept rows, until ctx ends, then returns nil.
func (db *DB) Run(ctx context.Context) error {
	gc, keep := time.NewTicker(gcEvery), time.NewTicker(keepEvery)
	defer gc.Stop()
	defer keep.Stop()
	for {
		// The next attempt may succeed: no reason to stop the box.
		select {
		case <-ctx.Done():
			return nil
		case <-gc.C:
			if err := db.room.keepReserve(2 * Margin); err != nil {
				db.log.Warn("room for the next start of the database not reserved", "err", err)
			}
			if err := db.reclaim(ctx); err != nil {
				db.log.Warn("database space not reclaimed", "err", err)
			}
		case <-keep.C:
			if err := db.Keep(); err != nil {
				db.log.Warn("rows that nothing can rebuild not written beside the database", "err", err)
			}
		}
	}
}

// reclaim rewrites value log files of which at least half is dead.
func (db *DB) reclaim(ctx context.Context) error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	if db.room.check(false) != nil {
		return nil // what is moved takes room first
	}
	for ctx.Err() == nil {
		// Each call deals with one file at most.
		err := db.badger.RunValueLogGC(0.5)
		if errors.Is(err, badger.ErrNoRewrite) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Sync makes all finished writes survive a power cut. A killed process loses
// none anyway.
func (db *DB) Sync() error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	if err := db.badger.Sync(); err != nil {
		return fmt.Errorf("syncing database %s: %w", db.dir, err)
	}
	return nil
}

// badgerLog hands Badger's messages to slog. Badger's Info names every
// table that it opens, which an operator need not read.
type badgerLog struct {
	log  *slog.Logger
	room *room
}

var _ badger.Logger = badgerLog{}

// Errorf has the only word of what Badger does in the background.
func (l badgerLog) Errorf(format string, args ...any) {
	l.room.noteFailure(args)
	l.print(slog.LevelWarn, format, args)
}
func (l badgerLog) Warningf(format string, args ...any) { l.print(slog.LevelWarn, format, args) }
func (l badgerLog) Infof(format string, args ...any)    { l.print(slog.LevelDebug, format, args) }
func (l badgerLog) Debugf(format string, args ...any)   { l.print(slog.LevelDebug, format, args) }

func (l badgerLog) print(level slog.Level, format string, args []any) {
	// Badger calls Debugf for each write: formatting would be wasted.
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "the database library reports something", "err", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
