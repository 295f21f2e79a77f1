package kv

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// purged marks the row that Purge writes and drops, for Badger flushes its
// memtables for a prefix that has rows only. No keyspace begins with it.
var purged = []byte("purge\x00")

// Purge removes from the files what was deleted or overwritten before: Badger
// keeps that, the keys of deleted rows included, until a compaction comes by. It
// compacts all tables, which reads and writes the database once; other writers
// wait for the first part of it, the flush of the memtables. Values above 16 KiB
// are in the value log, which Purge leaves alone. It must not be called during a
// Scan or an Update of the same goroutine.
func (db *DB) Purge() error {
	if err := db.purge(); err != nil {
		return fmt.Errorf("purging database %s: %w", db.dir, err)
	}
	return nil
}

func (db *DB) purge() error {
	// Compaction keeps what an open transaction can see. Those that begin after this
	// one cannot see what was deleted before it.
	if err := db.update(func(txn *badger.Txn) error { return txn.Set(purged, nil) }); err != nil {
		return err
	}
	leave, err := db.outlast()
	if err != nil {
		return err
	}
	defer leave()
	if err := db.flush(); err != nil {
		return err
	}
	return db.badger.Flatten(1)
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

// flush writes Badger's memtables to tables, and begins a new log.
func (db *DB) flush() error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.badger.DropPrefix(purged)
}
