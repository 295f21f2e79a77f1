package kv

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millpond/internal/disk"

	"github.com/dgraph-io/badger/v4"
)

// Snapshot calls use with the rows of some tables as they are at one moment: write writes
// them, as often as it is called, as size bytes, in the form of the file beside the
// database. While use runs, Close waits.
func (db *DB) Snapshot(rows []Kept, use func(size int64, write func(io.Writer) error) error) error {
	users, err := db.enter()
	if err != nil {
		return err
	}
	defer users.Done()
	at := time.Now()
	return db.badger.View(func(txn *badger.Txn) error {
		write := func(w io.Writer) error {
			k := newKeptWriter(w, at)
			err := guard(func() error { return db.writeKept(txn, k, rows, math.MaxInt64) })
			if err == nil {
				return k.finish()
			}
			if k.err == nil { // it was read that failed
				err = db.damaged(err)
			}
			return err
		}
		var size counter
		if err := write(&size); err != nil {
			return err
		}
		return use(int64(size), write)
	})
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// Restore makes the rows in file, which a Snapshot wrote, those with which the next Open
// of a database in dir begins. Rows of other tables than tables, and those that these leave
// out, are not taken. There must be no database in dir yet.
func Restore(dir, file string, tables []Kept) error {
	at, err := checkKept(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	return disk.Replace(dir+keptSuffix, func(w io.Writer) error {
		out := newKeptWriter(w, at)
		err := readKept(file, func(r keptRow) error {
			if slices.ContainsFunc(tables, func(k Kept) bool { return k.has(r) }) {
				return out.write(r)
			}
			return nil
		})
		return errors.Join(err, out.finish())
	})
}

// has reports whether a row is one of those that k names.
func (k Kept) has(r keptRow) bool {
	key, ok := bytes.CutPrefix(r.key, k.of(nil).prefix)
	return ok && (k.Rows == nil || len(key) > 0 && k.Rows(key, r.value))
}

// Exists reports whether there is a database in dir, or the rows with which one begins.
func Exists(dir string) (bool, error) {
	if _, err := os.Stat(dir + keptSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	empty, err := isEmpty(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return !empty, err
}
