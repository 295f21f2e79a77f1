package kv

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"
)

// nearby is how many rows a walk steps over before it seeks, which takes as long as
// some tens of steps.
const nearby = 16

// walk looks keys up that are mostly in order and close to each other: in a start with
// 40,000 kept rows that takes a tenth of the time of as many calls of Get.
type walk struct {
	it   *badger.Iterator
	last []byte // the key looked up last
}

// find returns the item of key, nil if there is none. It is valid until the next call.
func (w *walk) find(key []byte) *badger.Item {
	if w.last == nil || bytes.Compare(key, w.last) < 0 {
		w.it.Seek(key)
	}
	for steps := 0; w.it.Valid() && bytes.Compare(w.it.Item().Key(), key) < 0; steps++ {
		if steps == nearby {
			w.it.Seek(key)
			break
		}
		w.it.Next()
	}
	w.last = append(w.last[:0], key...)
	if !w.it.Valid() || !bytes.Equal(w.it.Item().Key(), key) {
		return nil
	}
	return w.it.Item()
}

// newest returns the version of the last write of key, be it a deletion, and reads its
// value.
func (w *walk) newest(txn *badger.Txn, key []byte) (version uint64, found bool, err error) {
	if item := w.find(key); item != nil {
		return item.Version(), true, readValue(item, func([]byte) error { return nil })
	}
	it := txn.NewKeyIterator(key, badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	if it.Rewind(); !it.Valid() {
		return 0, false, nil
	}
	return it.Item().Version(), true, nil
}
