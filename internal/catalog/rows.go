package catalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"

	"millpond/internal/digest"
	"millpond/internal/kv"
	"millpond/internal/recent"
)

// Keys begin with one of these. A row stands twice, by path and by digest, so
// that both can be looked up; the one by path is written first and deleted
// last, so that a table's rows by path always lead to all of its rows. The names
// in by-hash that a Release lists stand by path only.
const (
	keyNext   = 'n' // → the next table id
	keySuite  = 's' // URL of the directory → suiteRecord
	keyTable  = 't' // table id → kind, digest, number of rows, filter: makes its rows visible
	keyPath   = 'p' // table id, path → digest, size
	keyDigest = 'd' // digest, table id, path → size
)

// tableID numbers tables. Ids are never used twice.
type tableID uint32

const idSize = 4

// rows is the part of the catalog on disk: what each table lists.
type rows struct {
	kv     *kv.Table
	counts *sync.Mutex // held by newID
	lately *recent.Map[tablePath, row]
}

// tablePath names a row. A visible table never changes, so that neither does the row.
type tablePath struct {
	table tableID
	path  string
}

// maxLately bounds the rows in memory, of some 250 bytes each: more than the packages that
// the clients of a site install in an update.
const maxLately = 8192

func newRows(t *kv.Table) rows {
	return rows{t, new(sync.Mutex), recent.New[tablePath, row](maxLately)}
}

// row is one listed file. Size is -1 if the list does not have it.
type row struct {
	path   string
	digest digest.Digest
	size   int64
}

// listing is one place where a digest is listed.
type listing struct {
	table tableID
	path  string
	size  int64
}

func tableKey(k byte, id tableID) []byte {
	return binary.BigEndian.AppendUint32([]byte{k}, uint32(id))
}

func pathKey(id tableID, path string) []byte {
	key := make([]byte, 0, 1+idSize+len(path))
	key = append(key, keyPath)
	key = binary.BigEndian.AppendUint32(key, uint32(id))
	return append(key, path...)
}

func digestKey(d digest.Digest, id tableID, path string) []byte {
	key := make([]byte, 0, 1+digest.Size+idSize+len(path))
	key = append(append(key, keyDigest), d[:]...)
	key = binary.BigEndian.AppendUint32(key, uint32(id))
	return append(key, path...)
}

// get returns the row of path, whose hash is h, in a table; ok is false if
// there is none.
func (r rows) get(t *table, path string, h uint64) (f row, ok bool, err error) {
	if !t.filter.has(h) {
		return row{}, false, nil
	}
	f, err = r.lately.Get(tablePath{t.id, path}, func() (row, error) { return r.read(t.id, path) })
	if errors.Is(err, fs.ErrNotExist) {
		return row{}, false, nil
	}
	return f, err == nil, err
}

// read reads the row of a path, and returns an error that wraps fs.ErrNotExist if there is
// none.
func (r rows) read(id tableID, path string) (row, error) {
	value, err := r.kv.Get(pathKey(id, path))
	if err != nil {
		return row{}, err
	}
	f := row{path: path}
	n := copy(f.digest[:], value)
	var ok bool
	if f.size, ok = parseSize(value[n:]); !ok || n < digest.Size {
		return row{}, fmt.Errorf("row of %q in table %d is damaged", path, id)
	}
	return f, nil
}

func parseSize(b []byte) (int64, bool) {
	size, n := binary.Varint(b)
	return size, n > 0
}

// listed calls fn for each place where d is listed, in tables that are not
// (or no longer) visible too, until fn returns false. Of each table it takes
// the first limit places: none hides another by listing a digest many times.
func (r rows) listed(d digest.Digest, limit int, fn func(listing) bool) error {
	prefix := append([]byte{keyDigest}, d[:]...)
	var from []byte
	for {
		var last tableID
		n, skip := 0, false
		err := r.kv.Scan(prefix, from, func(key, value []byte) bool {
			key = key[len(prefix):]
			size, ok := parseSize(value)
			if len(key) < idSize || !ok {
				return true
			}
			id := tableID(binary.BigEndian.Uint32(key))
			if id != last {
				last, n = id, 0
			}
			if skip = n == limit; skip {
				return false
			}
			n++
			return fn(listing{id, string(key[idSize:]), size})
		})
		if err != nil || !skip || last == math.MaxUint32 {
			return err
		}
		from = binary.BigEndian.AppendUint32(slices.Clone(prefix), uint32(last)+1)
	}
}

// all calls fn for each row of a table until fn returns false.
func (r rows) all(id tableID, fn func(row) bool) error { return r.from(id, nil, fn) }

// from is all from the key start on; nil is before all.
func (r rows) from(id tableID, start []byte, fn func(row) bool) error {
	prefix := tableKey(keyPath, id)
	return r.kv.Scan(prefix, start, func(key, value []byte) bool {
		f := row{path: string(key[len(prefix):])}
		n := copy(f.digest[:], value)
		f.size, _ = parseSize(value[n:])
		return fn(f)
	})
}

// ids returns the tables that have rows, complete or not. It looks at one row
// of each.
func (r rows) ids() ([]tableID, error) {
	var found []tableID
	for next := uint64(0); next <= 1<<32-1; {
		some := false
		err := r.kv.Scan([]byte{keyPath}, tableKey(keyPath, tableID(next)), func(key, _ []byte) bool {
			if len(key) > idSize {
				id := binary.BigEndian.Uint32(key[1:])
				found, some, next = append(found, tableID(id)), true, uint64(id)+1
			}
			return false
		})
		if err != nil || !some {
			return found, err
		}
	}
	return found, nil
}

// newID returns an id that no table ever had, so that rows left over from
// another table can never appear in this one.
func (r rows) newID() (tableID, error) {
	r.counts.Lock()
	defer r.counts.Unlock()
	next := uint32(1)
	value, err := r.kv.Get([]byte{keyNext})
	switch {
	case err == nil && len(value) == idSize:
		next = binary.BigEndian.Uint32(value)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	if err := r.kv.Put([]byte{keyNext}, binary.BigEndian.AppendUint32(nil, next+1)); err != nil {
		return 0, err
	}
	return tableID(next), nil
}

// dropChunk bounds the rows that a drop holds in memory.
const dropChunk = 4096

// drop deletes the rows of a table. Stopped half-way, it can be done again.
func (r rows) drop(ctx context.Context, id tableID) error {
	for ctx.Err() == nil {
		var chunk []row
		err := r.all(id, func(f row) bool {
			chunk = append(chunk, f)
			return len(chunk) < dropChunk
		})
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			return nil
		}
		if err := r.delete(id, chunk); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (r rows) delete(id tableID, chunk []row) error {
	b := r.kv.Batch()
	defer b.Cancel()
	for _, f := range chunk {
		if err := b.Delete(digestKey(f.digest, id, f.path)); err != nil {
			return err
		}
		if err := b.Delete(pathKey(id, f.path)); err != nil {
			return err
		}
	}
	return b.Flush()
}

// writer writes the rows of one table. It is for one goroutine.
type writer struct {
	id    tableID
	batch *kv.Batch
	// seen holds hashes of the paths, for the filter, and because a second
	// row of the same path is left out: drop would not find its digest.
	seen map[uint64]struct{}
	rows int   // so far; one with a long path counts as several
	max  int   // rows
	err  error // of the disk
}

// writer begins a new table.
func (r rows) writer() (*writer, error) {
	id, err := r.newID()
	if err != nil {
		return nil, err
	}
	return &writer{id: id, batch: r.kv.Batch(), seen: make(map[uint64]struct{}), max: signedLimits.rows}, nil
}

// put writes the row of a file, by path and by digest.
func (w *writer) put(f row) error {
	size, ok, err := w.enter(f)
	if err != nil || !ok {
		return err
	}
	return w.write(digestKey(f.digest, w.id, f.path), size)
}

func (w *writer) write(key, value []byte) error {
	if err := w.batch.Put(key, value); err != nil {
		w.err = err
		return err
	}
	return nil
}

// putPath writes the row by path only.
func (w *writer) putPath(f row) error {
	_, _, err := w.enter(f)
	return err
}

// enter writes the row by path, unless there is one or no Location could have
// that path, and returns the size as it is written.
func (w *writer) enter(f row) (size []byte, ok bool, err error) {
	h := hashPath(f.path)
	if _, ok := w.seen[h]; ok || len(f.path) > maxPath {
		return nil, false, nil
	}
	weight := 1 + len(f.path)/longPath
	if w.rows+weight > w.max {
		return nil, false, fmt.Errorf("more than %d files are listed", w.max)
	}
	w.rows += weight
	w.seen[h] = struct{}{}
	var value [digest.Size + binary.MaxVarintLen64]byte
	n := copy(value[:], f.digest[:])
	n += binary.PutVarint(value[n:], f.size)
	return value[digest.Size:n], true, w.write(pathKey(w.id, f.path), value[:n])
}

// finish ends the writing of what is the table of the file d. All rows are on
// disk then, and visible once the table has a record.
func (w *writer) finish(k kind, d digest.Digest) (*table, error) {
	if err := w.batch.Flush(); err != nil {
		return nil, err
	}
	t := &table{id: w.id, kind: k, digest: d, rows: int64(w.rows), filter: newFilter(len(w.seen))}
	for h := range w.seen {
		t.filter.add(h)
	}
	return t, nil
}

// cancel discards rows not yet written; after finish it does nothing.
func (w *writer) cancel() { w.batch.Cancel() }
