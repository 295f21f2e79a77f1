package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

var (
	// filler is the row that Purge writes. No keyspace begins with it.
	fillerKey = []byte("purge\x00")
	// Below the threshold of the value log, whose values do not fill a memtable.
	filler = make([]byte, 15<<10)
)

const (
	// flushWithin bounds the wait for the flush of a memtable, which a slow card
	// writes in some seconds.
	flushWithin = time.Minute
	flushPoll   = 10 * time.Millisecond
	// flushes is four times the tables that Badger leaves on level 0.
	flushes = 20
)

// Purge removes from the files what was deleted or overwritten before: Badger
// keeps that, the keys of deleted rows included, until a compaction comes by. It
// compacts all tables, which reads and writes the database once if that was not done
// lately. Others can read and write meanwhile. Values above 16 KiB are in the value
// log, which Purge leaves alone. A database that was set aside is removed, and the
// kept rows are written again. It must not be called during a Scan or an Update of
// the same goroutine.
func (db *DB) Purge() error {
	err := db.compact()
	if err == nil {
		// Scans that began before hold the files of tables that are no more.
		var leave func()
		if leave, err = db.outlast(); err == nil {
			leave()
		}
	}
	if err == nil {
		// What was removed is also in the copies.
		_, err = db.RemoveAside()
		err = errors.Join(err, db.Keep())
	}
	if err != nil {
		return fmt.Errorf("purging database %s: %w", db.dir, err)
	}
	return nil
}

// compact rewrites all tables without what nobody can see any more.
func (db *DB) compact() error {
	// Compaction keeps what an open transaction can see. Those that begin after this
	// one cannot see what was deleted before it.
	if err := db.update(false, func(txn *badger.Txn) error { return txn.Set(fillerKey, nil) }); err != nil {
		return err
	}
	leave, err := db.outlast()
	if err != nil {
		return err
	}
	defer leave()
	// Flatten leaves tables alone that are all on level 0. When there are some more
	// of them, Badger itself moves them down.
	for range flushes {
		if err := db.flush(); err != nil {
			return err
		}
		if slices.ContainsFunc(db.badger.Levels()[1:], func(l badger.LevelInfo) bool { return l.NumTables > 0 }) {
			return db.badger.Flatten(1)
		}
	}
	return fmt.Errorf("no compaction after %d flushes", flushes)
}

// outlast is enter for a call that first waits for those in progress.
func (db *DB) outlast() (leave func(), err error) {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil, db.errClosed()
	}
	before, now := db.users, new(sync.WaitGroup)
	now.Add(1)
	db.users = now
	db.mu.Unlock()
	before.Wait()
	return now.Done, nil
}

// flush returns when all that is in a memtable now is in a table. Badger has no call
// for that (DropPrefix does it, and stops all reads and writes for the time of a
// compaction), but a memtable that is full is flushed, and its log removed then.
func (db *DB) flush() error {
	before, err := db.room.logs()
	if err != nil {
		return err
	}
	for logs := before; slices.Equal(logs, before); {
		if err := db.fill(filler); err != nil {
			return err
		}
		if logs, err = db.room.logs(); err != nil {
			return err
		}
	}
	for end := time.Now().Add(flushWithin); ; time.Sleep(flushPoll) {
		left := slices.ContainsFunc(before, func(log string) bool {
			_, err := os.Stat(log)
			return !errors.Is(err, fs.ErrNotExist)
		})
		if !left {
			return db.fill(nil)
		}
		if time.Now().After(end) {
			return fmt.Errorf("no memtable was flushed in %s; is the disk full?", flushWithin)
		}
	}
}

// fill writes the row of Purge.
func (db *DB) fill(value []byte) error {
	if err := db.room.check(false); err != nil {
		return err
	}
	return db.badger.Update(func(txn *badger.Txn) error { return txn.Set(fillerKey, value) })
}
