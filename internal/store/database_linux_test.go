package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"millpond/internal/disk/disktest"
	"millpond/internal/kv"
)

// The database has a full disk of its own, and refuses writes, while the store's disk is
// sound: a file cannot be kept, nothing is left of it, what is held is there, and room can
// be made.
func TestDatabaseRefusesWrites(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=200m")
	db, err := kv.Open(filepath.Join(dir, "kv"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // which may say that the disk is full
	s, err := Open(Options{Dir: t.TempDir(), Table: db.Table("blobs"), Quota: Quota{Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Store: s, t: t}
	held, other := b.put(1, 1000), b.put(2, 1000)
	release := disktest.Fill(t, dir, 0)
	data, sum := content(3, 1000)
	if err := s.Put(sum, 1000, bytes.NewReader(data), Meta{}); !Unkept(err) || !errors.Is(err, kv.ErrRefused) {
		t.Errorf("Put: %v, want that it cannot be kept", err)
	}
	if _, err := os.Stat(s.blobPath(sum)); err == nil || s.Usage().Partial != 0 {
		t.Errorf("its file stays, %v, usage %+v", err, s.Usage())
	}
	if err := s.Err(); !errors.Is(err, kv.ErrRefused) {
		t.Errorf("Err: %v", err)
	}
	blob, err := s.Open(held)
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	if err := s.Remove(other); err != nil {
		t.Errorf("Remove: %v", err)
	}
	release()
	s.tryDisk()
	if b.put(3, 1000); s.Err() != nil {
		t.Errorf("with room again: %v", s.Err())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
