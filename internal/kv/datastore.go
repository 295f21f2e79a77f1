package kv

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/dgraph-io/badger/v4"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// Datastore returns the keyspace called name under go-datastore's interface. Names
// are as for Table; a Table and a Datastore of one name share nothing. Its
// Close does nothing, since the database is not its own.
//
// Queries come in key order and read the matching keys only. A query without
// another order holds a page of rows at a time and, between pages, nothing of
// the database: results that are never closed cost nothing, and rows written
// during a query may or may not be seen.
func (db *DB) Datastore(name string) ds.Batching {
	return datastore{db.keyspace('d', name)}
}

type datastore struct{ table *Table }

var _ ds.Batching = datastore{}

// dsError turns a missing key into go-datastore's bare error, which libp2p
// compares with ==.
func dsError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ds.ErrNotFound
	}
	return err
}

func (d datastore) Get(_ context.Context, key ds.Key) ([]byte, error) {
	value, err := d.table.Get(key.Bytes())
	return value, dsError(err)
}

func (d datastore) Has(ctx context.Context, key ds.Key) (bool, error) {
	_, err := d.GetSize(ctx, key)
	if errors.Is(err, ds.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (d datastore) GetSize(_ context.Context, key ds.Key) (int, error) {
	size := -1
	err := d.table.db.view(func(txn *badger.Txn) error {
		item, err := txn.Get(d.table.key(key.Bytes()))
		if err != nil {
			return err
		}
		size, err = valueSize(item)
		return err
	})
	if err != nil {
		return -1, dsError(d.table.fault(rowFault("reading", key.Bytes(), err)))
	}
	return size, nil
}

// valueSize is exact, where Badger's ValueSize guesses for large values.
func valueSize(item *badger.Item) (size int, err error) {
	err = readValue(item, func(value []byte) error {
		size = len(value)
		return nil
	})
	return size, err
}

func (d datastore) Put(_ context.Context, key ds.Key, value []byte) error {
	return d.table.Put(key.Bytes(), value)
}

func (d datastore) Delete(_ context.Context, key ds.Key) error {
	return d.table.Delete(key.Bytes())
}

func (d datastore) Sync(context.Context, ds.Key) error { return d.table.db.Sync() }

func (d datastore) Close() error { return nil }

// Query answers q. Prefix means the strict children of that key.
func (d datastore) Query(_ context.Context, q query.Query) (query.Results, error) {
	prefix := path.Clean("/" + q.Prefix)
	if prefix == "/" {
		prefix = "" // all keys, "/" itself among them
	} else {
		prefix += "/"
	}
	p := &pages{table: d.table, prefix: []byte(prefix), keysOnly: q.KeysOnly}
	rest := q
	rest.Prefix = ""
	if len(q.Orders) > 0 && isKeyOrder(q.Orders[0]) {
		rest.Orders = nil // keys differ, so that no further order matters
	}
	return query.NaiveQueryApply(rest, query.ResultsFromIterator(q, query.Iterator{Next: p.next})), nil
}

func isKeyOrder(o query.Order) bool {
	switch o.(type) {
	case query.OrderByKey, *query.OrderByKey:
		return true
	}
	return false
}

// A page ends at either of these; the second keeps large values from adding up.
const (
	pageRows  = 256
	pageBytes = 256 << 10
)

// pages walks the rows under prefix, a page for each read of the database.
type pages struct {
	table    *Table
	prefix   []byte
	keysOnly bool

	rows []query.Entry
	from []byte // where the next page begins; nil before the first
	done bool   // no page follows rows
}

func (p *pages) next() (query.Result, bool) {
	if len(p.rows) == 0 && !p.done {
		if err := p.read(); err != nil {
			p.done = true
			return query.Result{Error: err}, true
		}
	}
	if len(p.rows) == 0 {
		return query.Result{}, false
	}
	row := p.rows[0]
	p.rows = p.rows[1:]
	return query.Result{Entry: row}, true
}

func (p *pages) read() error {
	p.rows = nil
	p.done = true
	size := 0
	err := p.table.db.view(func(txn *badger.Txn) error {
		return p.table.scan(txn, p.prefix, p.from, func(item *badger.Item) (more bool, err error) {
			key := item.Key()[len(p.table.prefix):]
			if len(p.rows) == pageRows || size >= pageBytes {
				p.from = append(p.from[:0], key...)
				p.done = false
				return false, nil
			}
			row := query.Entry{Key: string(key)}
			if p.keysOnly {
				row.Size, err = valueSize(item)
			} else {
				row.Value, err = copyValue(item)
				row.Size = len(row.Value)
				size += len(row.Value)
			}
			p.rows = append(p.rows, row)
			return true, err
		})
	})
	if err != nil {
		p.rows = nil
		return p.table.fault(rowFault("querying", p.prefix, err))
	}
	return nil
}

// Batch returns a batch that keeps its operations in memory until Commit, as
// go-datastore specifies, and is not atomic.
func (d datastore) Batch(context.Context) (ds.Batch, error) {
	return &dsBatch{table: d.table, ops: make(map[ds.Key]op)}, nil
}

// op is the last operation of a batch on a key.
type op struct {
	value  []byte
	delete bool
}

type dsBatch struct {
	table *Table
	ops   map[ds.Key]op
}

func (b *dsBatch) Put(_ context.Context, key ds.Key, value []byte) error {
	b.ops[key] = op{value: value}
	return nil
}

func (b *dsBatch) Delete(_ context.Context, key ds.Key) error {
	b.ops[key] = op{delete: true}
	return nil
}

func (b *dsBatch) Commit(context.Context) error {
	batch := b.table.Batch()
	defer batch.Cancel()
	for key, op := range b.ops {
		var err error
		if op.delete {
			err = batch.Delete(key.Bytes())
		} else {
			err = batch.Put(key.Bytes(), op.value)
		}
		if err != nil {
			return err
		}
	}
	return batch.Flush()
}
