package keep

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"millpond/internal/catalog"
	"millpond/internal/digest"
	"millpond/internal/keep/closure"
	"millpond/internal/kv"
)

// ownerPrefix begins the owners of pins.
const ownerPrefix = "kept slice "

// record is what is kept of a suite. Its files are rows.
type record struct {
	Complete     digest.Digest // the generation in which it is complete, zero if there is none
	CompleteDate time.Time
	Since        time.Time // when it became so
	Wanted       digest.Digest
	WantedDate   time.Time
	Plan         uint32 // number of the plan of Wanted
	System       string // the line
	// Of is what the plan was made of: the generations of the system, and its slices.
	Of        digest.Digest
	Ready     bool  // the plan has room, and its rows are written
	Switched  bool  // Complete is Wanted, and the rows may still be as before
	Settled   bool  // the rows are as after the switch
	Files     int64 // of Wanted
	Bytes     int64
	Lacks     []closure.Lack
	MoreLacks int
}

// done reports whether the record says that the suite has what it is to have.
func (r *record) done() bool { return r.Ready && r.Switched && r.Settled }

// row is a file of a suite.
type row struct {
	digest   digest.Digest
	complete bool   // of the generation in which the suite is complete
	plan     uint32 // the last plan that needs it
	size     int64
	path     string // of its Location
}

// files are the table.
type files struct{ table *kv.Table }

// The first bytes of keys.
const (
	keyRecord = 'r'
	keyFile   = 'f'
)

func recordKey(dir string) string { return string(rune(keyRecord)) + dir }

// filePrefix begins the keys of a suite's files. No URL has a zero byte.
func filePrefix(dir string) []byte { return append(append([]byte{keyFile}, dir...), 0) }

func fileKey(dir string, d digest.Digest) []byte { return append(filePrefix(dir), d[:]...) }

func (r *row) encode() []byte {
	b := []byte{0}
	if r.complete {
		b[0] = 1
	}
	b = binary.AppendUvarint(b, uint64(r.plan))
	b = binary.AppendVarint(b, r.size)
	return append(b, r.path...)
}

var errRow = errors.New("the row of a kept file cannot be read")

func decodeRow(key, value []byte) (r row, err error) {
	if len(key) < digest.Size || len(value) == 0 {
		return row{}, errRow
	}
	copy(r.digest[:], key[len(key)-digest.Size:])
	r.complete = value[0] == 1
	plan, n := binary.Uvarint(value[1:])
	if n <= 0 {
		return row{}, errRow
	}
	size, m := binary.Varint(value[1+n:])
	if m <= 0 {
		return row{}, errRow
	}
	r.plan, r.size, r.path = uint32(plan), size, string(value[1+n+m:])
	return r, nil
}

func (f files) get(dir string, d digest.Digest) (row, bool, error) {
	key := fileKey(dir, d)
	value, err := f.table.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, err
	}
	r, err := decodeRow(key, value)
	return r, err == nil, err
}

// pageSize bounds the rows that a walk holds in memory.
const pageSize = 256

// of yields the files of a suite in the order of their digests. Between pages it holds
// no transaction, so rows may be changed meanwhile. An error is the last thing that it
// yields.
func (f files) of(dir string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		prefix := filePrefix(dir)
		for from := []byte(nil); ; {
			var page []row
			var last []byte
			var bad error
			err := f.table.Scan(prefix, from, func(k, v []byte) bool {
				r, err := decodeRow(k, v)
				if err != nil {
					bad = err
					return false
				}
				page, last = append(page, r), append(last[:0], k...)
				return len(page) < pageSize
			})
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if err = errors.Join(err, bad); err != nil {
				yield(row{}, err)
				return
			}
			if len(page) < pageSize {
				return
			}
			from = append(bytes.Clone(last), 0)
		}
	}
}

// record returns what is kept of a suite, zero if nothing is.
func (f files) record(dir string) (record, error) {
	return kv.GetJSON[record](f.table, recordKey(dir))
}

// save writes the records of suites, all or none.
func (f files) save(suites ...*suite) error {
	return f.table.Update(func(tx *kv.Tx) error {
		for _, s := range suites {
			value, err := json.Marshal(s.record)
			if err != nil {
				return err
			}
			if err := tx.Put([]byte(recordKey(s.dir.String())), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// suites returns the suites that have a record or a file.
func (f files) suites() (map[string]bool, error) {
	found := make(map[string]bool)
	err := f.table.Scan([]byte{keyRecord}, nil, func(k, _ []byte) bool {
		found[string(k[1:])] = true
		return true
	})
	return found, err
}

// entry is the file of a row, as fetch takes it. Files that are kept are listed by a
// signed Release, directly or through an index.
func (s *suite) entry(r row, c Catalog) catalog.Entry {
	l := catalog.Location{Scheme: s.dir.Scheme, Host: s.dir.Host, Path: r.path}
	return c.Vouch(catalog.Entry{Location: l, Kind: catalog.Content, Digest: r.digest, Size: r.size, Signed: true})
}

func (s *suite) fault(err error) error { return fmt.Errorf("%s: %w", s.dir, err) }
