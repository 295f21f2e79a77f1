package kv

import (
	"bytes"
	"fmt"

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
	leave, err := t.db.enter()
	if err != nil {
		b.err = err
		return b
	}
	defer leave()
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
	return b.write(len(key)+len(value), func() error { return b.wb.Set(b.table.key(key), bytes.Clone(value)) })
}

// Delete adds the removal of key; a missing key is no error.
func (b *Batch) Delete(key []byte) error {
	return b.write(len(key), func() error { return b.wb.Delete(b.table.key(key)) })
}

// write does fn, which writes n bytes, if the disk has room.
func (b *Batch) write(n int, fn func() error) error {
	return b.do(func() error {
		if b.due -= n; b.due <= 0 {
			if err := b.table.db.room.check(false); err != nil {
				return err
			}
			b.due = checkEvery
		}
		return fn()
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
	var leave func()
	if err == nil {
		leave, err = b.table.db.enter()
	}
	if err == nil {
		defer leave()
		err = fn()
	}
	if err != nil {
		return b.table.fault(fmt.Errorf("writing a batch: %w", err))
	}
	return nil
}
