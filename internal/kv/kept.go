package kv

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"millpond/internal/disk"

	"github.com/dgraph-io/badger/v4"
)

const (
	// keepEvery is how old the file of kept rows is at most, but for how long its
	// writing takes. It is written as a whole.
	keepEvery = 5 * time.Minute
	// maxKept bounds the keys and values in it, in bytes: some seconds of a slow
	// card's writing. Rows beyond it are left out, those of the last Kept first.
	maxKept = 32 << 20
	// keptMagic begins the file.
	keptMagic = "millpond kept rows 1\n"
)

// Kept names rows that nothing can rebuild. They are also written to a file beside the
// database, from which Open takes them if that is damaged. Of several, the first are
// those that matter most.
type Kept struct {
	Table     string                       // a Table's name; or
	Datastore string                       // a Datastore's
	Rows      func(key, value []byte) bool // which of its rows; nil: all
}

func (k Kept) of(db *DB) *Table {
	if k.Datastore != "" {
		return db.keyspace('d', k.Datastore)
	}
	return db.Table(k.Table)
}

// keptRow is a row of the file. The key is as Badger has it.
type keptRow struct {
	key, value []byte
	version    uint64 // Badger's, which grows with each write
}

// Keep writes the kept rows to the file beside the database: a snapshot that replaces
// the last one as a whole, and survives a power cut.
func (db *DB) Keep() error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	return db.keep()
}

// keep is Keep for a caller that has entered. A damaged database keeps the file that
// was written before.
func (db *DB) keep() error {
	if len(db.kept) == 0 || db.Damage() != nil {
		return nil
	}
	db.keeping.Lock()
	defer db.keeping.Unlock()
	file := db.dir + keptSuffix
	// The file must never be ahead of the database, or Open takes that for damaged.
	err := db.badger.Sync()
	if err == nil {
		err = disk.Replace(file, func(w io.Writer) error {
			k := newKeptWriter(w, time.Now())
			err := guard(func() error {
				return db.badger.View(func(txn *badger.Txn) error { return db.writeKept(txn, k, db.kept, maxKept) })
			})
			switch {
			case err == nil:
				return k.finish()
			case k.err == nil: // it was read that failed
				err = db.damaged(err)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

// writeKept writes the rows of tables that there is room for.
func (db *DB) writeKept(txn *badger.Txn, w *keptWriter, tables []Kept, most int64) error {
	room := most
	for i, k := range tables {
		t := k.of(db)
		err := t.scan(txn, nil, nil, func(item *badger.Item) (more bool, err error) {
			err = readValue(item, func(value []byte) error {
				key := item.Key()
				if k.Rows != nil && !k.Rows(key[len(t.prefix):], value) {
					return nil
				}
				if room -= int64(len(key) + len(value)); room < 0 {
					return nil
				}
				return w.write(keptRow{key, value, item.Version()})
			})
			return room >= 0, err
		})
		if err != nil {
			return err
		}
		if room < 0 {
			db.log.Warn("more rows than the file beside the database has room for: the last ones of a table are not in it, nor are later tables",
				"table", string(t.prefix[1:len(t.prefix)-1]), "later", len(tables)-i-1, "most_bytes", most)
			return nil
		}
	}
	return nil
}

// restore puts the rows of the file into the database, which is new, and writes the
// file again, with their versions there.
func (db *DB) restore() error {
	file := db.dir + keptSuffix
	at, err := checkKept(file)
	if errors.Is(err, fs.ErrNotExist) || len(db.kept) == 0 {
		return nil
	}
	if err != nil {
		// There is no more to be had, and the box can do without.
		db.log.Error("the rows kept beside the database cannot be read, and are not restored", "err", err)
		return nil
	}
	wb := db.badger.NewWriteBatch()
	defer wb.Cancel()
	wb.SetMaxPendingTxns(2) // as in Batch
	err = readKept(file, func(r keptRow) error { return wb.Set(bytes.Clone(r.key), bytes.Clone(r.value)) })
	if err == nil {
		err = wb.Flush()
	}
	if err != nil {
		return fmt.Errorf("restoring the rows of %s: %w", file, err)
	}
	if db.recovered.At.IsZero() {
		db.recovered.At = time.Now()
	}
	db.recovered.Restored = at
	return db.keep()
}

// compareKept returns an error wrapping ErrDamaged if the database is older than the
// file of kept rows: then it has lost some, which Badger does not notice where the end
// of its manifest or of a log is missing. A key that is not there may have been
// deleted; strict takes it for lost.
func (db *DB) compareKept(strict bool) error {
	file := db.dir + keptSuffix
	if _, err := checkKept(file); err != nil || len(db.kept) == 0 {
		return nil // nothing to compare with
	}
	rows, lost := 0, 0
	err := guard(func() error {
		return db.badger.View(func(txn *badger.Txn) error {
			w := walk{it: txn.NewIterator(badger.IteratorOptions{})}
			defer w.it.Close()
			return readKept(file, func(r keptRow) error {
				version, found, err := w.newest(txn, r.key)
				rows++
				if !found {
					lost++
				}
				switch {
				case err != nil:
					return err
				case found && version < r.version:
					return fmt.Errorf("%w: row %.100q is older than in %s", ErrDamaged, r.key, file)
				case !found && strict:
					return fmt.Errorf("%w: row %.100q of %s is missing", ErrDamaged, r.key, file)
				}
				return nil
			})
		})
	})
	if err == nil && rows > 0 && lost == rows {
		// As after a kill between the making of a new one and the restoring.
		err = fmt.Errorf("%w: it has none of the %d rows of %s", ErrDamaged, rows, file)
	}
	return err
}

// keptWriter writes the file: the magic, the time, rows, a length of 0, and the
// SHA-256 of all that.
type keptWriter struct {
	out *bufio.Writer
	sum hash.Hash
	buf []byte
	err error
}

func newKeptWriter(w io.Writer, at time.Time) *keptWriter {
	sum := sha256.New()
	k := &keptWriter{sum: sum, out: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)}
	k.buf = binary.AppendVarint([]byte(keptMagic), at.Unix())
	_, k.err = k.out.Write(k.buf)
	return k
}

func (k *keptWriter) write(r keptRow) error {
	k.buf = binary.AppendUvarint(k.buf[:0], uint64(len(r.key)))
	k.buf = append(k.buf, r.key...)
	k.buf = binary.AppendUvarint(k.buf, uint64(len(r.value)))
	k.buf = append(k.buf, r.value...)
	k.buf = binary.AppendUvarint(k.buf, r.version)
	if k.err == nil {
		_, k.err = k.out.Write(k.buf)
	}
	return k.err
}

func (k *keptWriter) finish() error {
	if k.err == nil {
		k.err = k.out.WriteByte(0)
	}
	if err := errors.Join(k.err, k.out.Flush()); err != nil {
		return err
	}
	_, err := k.out.Write(k.sum.Sum(nil))
	return errors.Join(err, k.out.Flush())
}

// checkKept reads the file and returns when it was written. The error wraps
// fs.ErrNotExist if there is none.
func checkKept(file string) (at time.Time, err error) {
	f, err := os.Open(file)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	sum, size := sha256.New(), info.Size()-sha256.Size
	if _, err := io.CopyN(sum, f, max(size, 0)); err != nil {
		return time.Time{}, fmt.Errorf("reading %s: %w", file, err)
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil || want != [sha256.Size]byte(sum.Sum(nil)) {
		return time.Time{}, fmt.Errorf("%s does not match its checksum", file)
	}
	return parseKept(io.NewSectionReader(f, 0, size), func(keptRow) error { return nil })
}

// readKept calls fn for each row of a file that checkKept found right. The row is
// valid during the call.
func readKept(file string, fn func(keptRow) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = parseKept(f, fn)
	return err
}

// parseKept reads what keptWriter wrote, up to the checksum.
func parseKept(in io.Reader, fn func(keptRow) error) (at time.Time, err error) {
	r := bufio.NewReaderSize(in, 64<<10)
	magic := make([]byte, len(keptMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != keptMagic {
		return at, errors.New("not a file of kept rows of this version of millpond")
	}
	sec, err := binary.ReadVarint(r)
	if err != nil {
		return at, fmt.Errorf("reading when the rows were written: %w", err)
	}
	at = time.Unix(sec, 0)
	var row keptRow
	for {
		if row.key, err = readBytes(r, row.key, 1<<16); err != nil || len(row.key) == 0 {
			return at, err
		}
		if row.value, err = readBytes(r, row.value, MaxValue); err != nil {
			return at, err
		}
		if row.version, err = binary.ReadUvarint(r); err != nil {
			return at, fmt.Errorf("reading a version: %w", err)
		}
		if err := fn(row); err != nil {
			return at, err
		}
	}
}

// readBytes reads a length of at most limit, and so many bytes into the room of buf.
func readBytes(r *bufio.Reader, buf []byte, limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, fmt.Errorf("reading a length: %w", err)
	}
	if n > limit {
		return nil, fmt.Errorf("a text of %d bytes, more than %d", n, limit)
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, fmt.Errorf("reading a text of %d bytes: %w", n, err)
	}
	return buf, nil
}
