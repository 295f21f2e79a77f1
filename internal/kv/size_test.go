package kv

import (
	"fmt"
	"log/slog"
	"testing"
)

// An empty database takes what is reserved for its logs, and one with rows no less than these.
func TestSize(t *testing.T) {
	t.Parallel()
	db, err := Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty, err := db.Size()
	if err != nil || empty > 80<<20 {
		t.Errorf("an empty database takes %d bytes, %v", empty, err)
	}
	b := db.Table("rows").Batch()
	for i := range 40_000 {
		if err := b.Put(fmt.Appendf(nil, "%d", i), make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if full, err := db.Size(); err != nil || full < 20<<20 {
		t.Errorf("20 MB of rows take %d bytes, %v", full, err)
	}
}
