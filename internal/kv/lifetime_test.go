package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	db := openTest(t, dir)
	mustPut(t, db.Table("rows"), "a", "1")
	if err := errors.Join(db.Sync(), db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, openTest(t, dir).Table("rows"), "", ""); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("after reopening: %q", got)
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openTest(t, dir)
	_, err := Open(dir, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: %v, want ErrLocked with the directory", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, slog.New(slog.DiscardHandler)); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("Open of a file: %v, want another error than ErrLocked", err)
	}
}

// Close gives the lock back although a child that is just being started has
// the same file open.
func TestUnlockedWhileForking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openTest(t, dir)
	child, err := syscall.Dup(int(db.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(child)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, dir)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir())
	table, store, batch := db.Table("rows"), db.Datastore("rows"), db.Table("rows").Batch()
	mustPut(t, table, "a", "1")
	if err := errors.Join(store.Close(), batch.Put([]byte("b"), nil)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, table, "a", "2") // closing a Datastore leaves the database open
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, key := t.Context(), dsKey("/a")
	calls := map[string]func() error{
		"Get":    func() error { _, err := table.Get([]byte("a")); return err },
		"Put":    func() error { return table.Put([]byte("a"), nil) },
		"Delete": func() error { return table.Delete([]byte("a")) },
		"Update": func() error { return table.Update(func(*Tx) error { return nil }) },
		"Scan":   func() error { return table.Scan(nil, nil, func(_, _ []byte) bool { return true }) },
		"old Batch": func() error {
			defer batch.Cancel()
			return batch.Flush()
		},
		"new Batch": func() error {
			b := table.Batch()
			defer b.Cancel()
			if err := b.Put([]byte("a"), nil); err == nil {
				t.Error("Put in a batch of a closed database returned nil")
			}
			return b.Flush()
		},
		"Sync":            db.Sync,
		"reclaim":         func() error { return db.reclaim(ctx) },
		"Datastore.Get":   func() error { _, err := store.Get(ctx, key); return err },
		"Datastore.Has":   func() error { _, err := store.Has(ctx, key); return err },
		"Datastore.Query": func() error { _, err := queryKeys(ctx, store, "/"); return err },
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if err := calls[name](); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Close: %v, want fs.ErrClosed", name, err)
		}
	}
}

// Close in the midst of use: every call ends with success or fs.ErrClosed.
func TestCloseWhileUsed(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir())
	table := db.Table("rows")
	started, done := make(chan struct{}, 4), make(chan error, 4)
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Appendf(nil, "%d/%d", g, i)
				err := table.Put(key, key)
				if err == nil {
					err = table.Scan(key, nil, func(_, _ []byte) bool { return true })
				}
				if err != nil {
					done <- err
					return
				}
				if i == 10 {
					started <- struct{}{}
				}
			}
		}()
	}
	for range 4 {
		<-started
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	for range 4 {
		if err := <-done; !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a call during Close: %v, want fs.ErrClosed", err)
		}
	}
}

func TestRunEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := openTest(t, t.TempDir()).Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// Overwritten large values must give their disk space back.
func TestReclaim(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	// Badger learns what is dead when it compacts tables: make it, on Close.
	r := &room{dir: dir}
	opt := badgerOptions(dir, badgerLog{log, r}).WithValueLogFileSize(1 << 20).WithCompactL0OnClose(true)
	logFiles := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	db, err := open(opt, r, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { db.Close() }()
	value := bytes.Repeat([]byte("v"), 100<<10)
	for i := range 100 {
		value[0] = byte(i)
		if err := db.Table("rows").Put([]byte("a"), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = open(opt, r, log); err != nil {
		t.Fatal(err)
	}
	before := logFiles()
	if err := db.reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := logFiles(); before < 8 || after > before/2 {
		t.Errorf("value log: %d files before, %d after", before, after)
	}
	if got, err := db.Table("rows").Get([]byte("a")); err != nil || !bytes.Equal(got, value) {
		t.Errorf("the last value: %d bytes, %v", len(got), err)
	}
}
