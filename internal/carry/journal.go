package carry

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"syscall"

	"millpond/internal/digest"
	"millpond/internal/kv"
)

// journal says which digests files had, by what the file system tells of a file: its path,
// size, time of change and number. It is rows of 'j', 16 bytes of a hash of these, and the
// digest.
type journal struct {
	table *kv.Table
	empty bool // when it was opened: no file is looked up in vain
}

// open readies the journal for an import. One that has more rows than most is emptied: what
// they tell is found out again.
func (j *journal) open(most int) error {
	n, err := j.prune(most)
	j.empty = n == 0
	return err
}

// key names a file. It changes with whatever writes to the file.
func key(tree, rel string, i fs.FileInfo) []byte {
	h := sha256.New()
	h.Write([]byte(tree + "\x00" + rel + "\x00"))
	b := binary.BigEndian.AppendUint64(nil, uint64(i.Size()))
	b = binary.BigEndian.AppendUint64(b, uint64(i.ModTime().UnixNano()))
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		b = binary.BigEndian.AppendUint64(b, uint64(s.Dev))
		b = binary.BigEndian.AppendUint64(b, uint64(s.Ino))
	}
	h.Write(b)
	return append([]byte{'j'}, h.Sum(nil)[:16]...)
}

// prune empties the journal if it has more rows than most, and returns how many it has then.
func (j *journal) prune(most int) (n int, err error) {
	var keys [][]byte
	err = j.table.Scan([]byte{'j'}, nil, func(k, _ []byte) bool {
		n++
		return n <= most
	})
	if err != nil || n <= most {
		return n, err
	}
	for {
		keys = keys[:0]
		err := j.table.Scan([]byte{'j'}, nil, func(k, _ []byte) bool {
			keys = append(keys, append([]byte(nil), k...))
			return len(keys) < pruneAtOnce
		})
		if err != nil || len(keys) == 0 {
			return 0, err
		}
		b := j.table.Batch()
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				b.Cancel()
				return 0, err
			}
		}
		if err := b.Flush(); err != nil {
			return 0, err
		}
	}
}

const pruneAtOnce = 10_000

// find returns the digest of a file that was hashed before, zero if none is known.
func (j *journal) find(key []byte) (digest.Digest, error) {
	if j.empty {
		return digest.Digest{}, nil
	}
	value, err := j.table.Get(key)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(value) != digest.Size {
		return digest.Digest{}, nil
	}
	if err != nil {
		return digest.Digest{}, err
	}
	return digest.Digest(value), nil
}

// entry is a row to be written.
type entry struct {
	key []byte
	d   digest.Digest
}

func (j *journal) write(all []entry) error {
	return j.table.Update(func(tx *kv.Tx) error {
		for _, e := range all {
			if err := tx.Put(e.key, e.d[:]); err != nil {
				return err
			}
		}
		return nil
	})
}
