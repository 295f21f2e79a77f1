// Package storetest gives tests a real store on a temporary directory, with a
// database of its own and a disk that can be made full, and holds the contract
// of a store as a test.
package storetest

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"millpond/internal/kv"
	"millpond/internal/store"
)

// New opens a store of 1 GiB that is closed when the test ends. The functions
// in change see its options before.
func New(tb testing.TB, change ...func(*store.Options)) *store.Store {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := kv.Open(tb.TempDir(), log)
	if err != nil {
		tb.Fatal(err)
	}
	o := store.Options{Dir: tb.TempDir(), Table: db.Table("blobs"), Quota: store.Quota{Bytes: 1 << 30}, Log: log}
	for _, f := range change {
		f(&o)
	}
	s, err := store.Open(o)
	if err != nil {
		db.Close()
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Quota makes New open a store of n bytes.
func Quota(n int64) func(*store.Options) {
	return func(o *store.Options) { o.Quota = store.Quota{Bytes: n} }
}

// Disk is a disk under a store that can be made full. The zero value has room.
type Disk struct{ full atomic.Bool }

// Under makes New put the store on d.
func (d *Disk) Under(o *store.Options) {
	o.Fault = func(op string) error {
		if d.full.Load() && (op == "write" || op == "sync") {
			return syscall.ENOSPC
		}
		return nil
	}
}

// Full fills the disk, or makes room again. A full disk answers every write
// and sync of a blob with ENOSPC.
func (d *Disk) Full(full bool) { d.full.Store(full) }
