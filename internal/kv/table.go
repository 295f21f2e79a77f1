package kv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// MaxValue is the size of the largest value in bytes: these are rows, not files.
const MaxValue = 1 << 20

// ErrTxnTooBig means that an Update wrote more than one transaction can hold:
// about 1.2 MB of keys and values, or 12,000 rows. A Batch has no such limit.
var ErrTxnTooBig = badger.ErrTxnTooBig

// Table is a keyspace of its own. Keys are up to 64,000 bytes long and may be
// empty; values are up to MaxValue.
type Table struct {
	db     *DB
	prefix []byte
}

// Table returns the keyspace called name, which must not be empty nor contain
// a zero byte. Tables of different names, and Datastores, share nothing.
func (db *DB) Table(name string) *Table { return db.keyspace('t', name) }

// keyspace marks its keys by kind, name and a zero byte. No such mark is the
// beginning of another, since names contain no zero byte; and none begins with
// the "!badger!" that Badger keeps for itself.
func (db *DB) keyspace(kind byte, name string) *Table {
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		panic(fmt.Sprintf("kv: table name %q is empty or contains a zero byte", name))
	}
	prefix := append([]byte{kind}, name...)
	return &Table{db: db, prefix: append(prefix, 0)}
}

// key returns the key as Badger has it, in memory of its own.
func (t *Table) key(k []byte) []byte {
	full := make([]byte, 0, len(t.prefix)+len(k))
	return append(append(full, t.prefix...), k...)
}

// fault adds the name of the table to err.
func (t *Table) fault(err error) error {
	return fmt.Errorf("table %s: %w", t.prefix[1:len(t.prefix)-1], err)
}

// rowFault adds the key to err. A missing key becomes fs.ErrNotExist.
func rowFault(doing string, key []byte, err error) error {
	if errors.Is(err, badger.ErrKeyNotFound) {
		err = fs.ErrNotExist
	}
	return fmt.Errorf("%s %.100q: %w", doing, key, err)
}

// Get returns a copy of the value, or an error wrapping fs.ErrNotExist if
// there is none.
func (t *Table) Get(key []byte) ([]byte, error) {
	var value []byte
	err := t.db.view(func(txn *badger.Txn) error {
		var err error
		value, err = get(txn, t.key(key))
		return err
	})
	if err != nil {
		return nil, t.fault(rowFault("reading", key, err))
	}
	return value, nil
}

func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, err
	}
	return copyValue(item)
}

// readValue calls fn with the value of an item. Badger has an empty one for a value
// that it cannot find in the value log.
func readValue(item *badger.Item, fn func(value []byte) error) error {
	return item.Value(func(value []byte) error {
		if len(value) == 0 && item.ValueSize() > 0 {
			return fmt.Errorf("%w: the value of %.100q is not in the value log", ErrDamaged, item.Key())
		}
		return fn(value)
	})
}

func copyValue(item *badger.Item) (value []byte, err error) {
	err = readValue(item, func(v []byte) error {
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// Put stores value under key. When it has returned nil, the row outlives the
// process.
func (t *Table) Put(key, value []byte) error {
	return t.Update(func(tx *Tx) error { return tx.Put(key, value) })
}

// Delete removes key; a missing key is no error.
func (t *Table) Delete(key []byte) error {
	return t.Update(func(tx *Tx) error { return tx.Delete(key) })
}

// Tx is a transaction on one table. It is valid during the call of Update, on
// its goroutine.
type Tx struct {
	table *Table
	txn   *badger.Txn
}

// Update runs fn in one transaction: all of its writes happen, or none when fn
// or Update returns an error. A transaction that grows too large gives an
// error wrapping ErrTxnTooBig. Updates that read rows and write them again
// must not run at the same time as other writers of these rows: conflicts are
// not detected.
//
// The error wraps ErrRefused on a disk that is nearly full or does not work.
func (t *Table) Update(fn func(tx *Tx) error) error { return t.update(false, fn) }

// Free is Update for what frees room on the disk: a full one does not refuse it.
func (t *Table) Free(fn func(tx *Tx) error) error { return t.update(true, fn) }

func (t *Table) update(frees bool, fn func(tx *Tx) error) error {
	err := t.db.update(frees, func(txn *badger.Txn) error {
		return fn(&Tx{table: t, txn: txn})
	})
	if err != nil {
		return t.fault(err)
	}
	return nil
}

// Put stores a copy of value under key.
func (tx *Tx) Put(key, value []byte) error {
	if err := checkValue(value); err != nil {
		return rowFault("writing", key, err)
	}
	if err := tx.txn.Set(tx.table.key(key), bytes.Clone(value)); err != nil {
		return rowFault("writing", key, err)
	}
	return nil
}

// Delete removes key; a missing key is no error.
func (tx *Tx) Delete(key []byte) error {
	if err := tx.txn.Delete(tx.table.key(key)); err != nil {
		return rowFault("deleting", key, err)
	}
	return nil
}

func checkValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("value of %d bytes is larger than %d", len(value), MaxValue)
	}
	return nil
}

// Scan calls fn for each key that starts with prefix, from key from on (nil:
// from the start), in byte order, until fn returns false. Key and value are
// valid during the call only. All calls see the table as it was when Scan
// began; fn may write to it.
func (t *Table) Scan(prefix, from []byte, fn func(key, value []byte) bool) error {
	err := t.db.view(func(txn *badger.Txn) error {
		return t.scan(txn, prefix, from, func(item *badger.Item) (more bool, err error) {
			err = readValue(item, func(value []byte) error {
				more = callScanned(fn, item.Key()[len(t.prefix):], value)
				return nil
			})
			return more, err
		})
	})
	if err != nil {
		return t.fault(rowFault("scanning", prefix, err))
	}
	return nil
}

// scan is Scan on the items of a transaction; the keys in them are Badger's.
func (t *Table) scan(txn *badger.Txn, prefix, from []byte, fn func(item *badger.Item) (more bool, err error)) error {
	// Prefetching starts a goroutine for each value, which pays for values
	// in the value log only; here those are rare.
	it := txn.NewIterator(badger.IteratorOptions{Prefix: t.key(prefix)})
	defer it.Close()
	start := prefix
	if bytes.Compare(from, prefix) > 0 {
		start = from
	}
	for it.Seek(t.key(start)); it.Valid(); it.Next() {
		if more, err := fn(it.Item()); err != nil || !more {
			return err
		}
	}
	return nil
}
