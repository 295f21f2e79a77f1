package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A walk finds what single reads find, in whatever order the keys are asked for.
func TestWalk(t *testing.T) {
	t.Parallel()
	db := openKept(t, t.TempDir()+"/db")
	defer db.Close()
	table := db.Table("sums")
	b := table.Batch()
	for i := 0; i < 4000; i += 2 {
		if err := b.Put(fmt.Appendf(nil, "%05d", i), []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 4000; i += 10 {
		if err := table.Delete(fmt.Appendf(nil, "%05d", i)); err != nil {
			t.Fatal(err)
		}
	}
	at := 0
	r := rand.New(rand.NewPCG(1, 2))
	err := db.view(func(txn *badger.Txn) error {
		w := walk{it: txn.NewIterator(badger.IteratorOptions{})}
		defer w.it.Close()
		for range 4000 {
			switch r.IntN(20) {
			case 0:
				at = r.IntN(4100) // anywhere, also behind the last key
			case 1:
				at += r.IntN(200) // too far to step
			default:
				at += r.IntN(4)
			}
			key := table.key(fmt.Appendf(nil, "%05d", at))
			got, found, err := w.newest(txn, key)
			if err != nil {
				return err
			}
			item, err := txn.Get(key)
			if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
			if live := err == nil; live != (at%2 == 0 && at < 4000 && at%10 != 0) || live && got != item.Version() {
				t.Errorf("key %d: version %d, a read says %v", at, got, live)
			}
			if want := at%2 == 0 && at < 4000; found != want { // a deletion is found too
				t.Errorf("key %d: found is %v, want %v", at, found, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
