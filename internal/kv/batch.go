package kv

import (
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Batch gathers many writes into few transactions: much faster than a Put for
// each, but not atomic as a whole; part of it may be on disk before Flush. A
// Batch is for one goroutine.
type Batch struct {
	table *Table
	wb    *badger.WriteBatch
	err   error // why there is no wb
	due   int   // bytes until the disk is looked at again
}

// checkEvery is how many bytes of a Batch are written between two looks at the disk.
const checkEvery = 64 << 10

// Batch begins a batch of writes. Flush or Cancel ends it; Cancel after Flush
// does nothing, so that it can be deferred.
func (t *Table) Batch() *Batch {
	b := &Batch{table: t}
	users, err := t.db.enter()
	if err != nil {
		b.err = err
		return b
	}
	defer users.Done()
	b.wb = t.db.badger.NewWriteBatch()
	// Each pending transaction holds up to 1.2 MB; Badger's 16 of them would
	// take as much memory as all the rest.
	b.wb.SetMaxPendingTxns(2)
	return b
}

// Put adds a copy of a row. A later write of the same key wins.
func (b *Batch) Put(key, value []byte) error {
	if err := checkValue(value); err != nil {
		return b.table.fault(rowFault("writing", key, err))
	}
	return b.write(key, value, (*badger.WriteBatch).Set)
}

// Delete adds the removal of key; a missing key is no error.
func (b *Batch) Delete(key []byte) error { return b.write(key, nil, deleteRow) }

func deleteRow(wb *badger.WriteBatch, key, _ []byte) error { return wb.Delete(key) }

// write does fn with a copy of the row, which Badger keeps, if the disk has room.
func (b *Batch) write(key, value []byte, fn func(wb *badger.WriteBatch, key, value []byte) error) error {
	return b.do(func() error {
		n := len(b.table.prefix) + len(key)
		if b.due -= n + len(value); b.due <= 0 {
			if err := b.table.db.room.check(false); err != nil {
				return err
			}
			b.due = checkEvery
		}
		row := make([]byte, 0, n+len(value))
		row = append(append(append(row, b.table.prefix...), key...), value...)
		return fn(b.wb, row[:n:n], row[n:])
	})
}

// Flush writes what is left. When it has returned nil, all rows of the batch
// outlive the process.
func (b *Batch) Flush() error { return b.do(b.wb.Flush) }

// Cancel discards what is not yet written.
func (b *Batch) Cancel() {
	// A database closed by now has nothing left to cancel.
	_ = b.do(func() error { b.wb.Cancel(); return nil })
}

func (b *Batch) do(fn func() error) error {
	err := b.err
	var users *sync.WaitGroup
	if err == nil {
		users, err = b.table.db.enter()
	}
	if err == nil {
		defer users.Done()
		err = fn()
	}
	if err != nil {
		return b.table.fault(fmt.Errorf("writing a batch: %w", err))
	}
	return nil
}
