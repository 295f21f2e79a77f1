package kv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// filesWith names the files of a directory that contain text.
func filesWith(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) { // compacted away meanwhile
			return nil
		}
		if bytes.Contains(b, []byte(text)) {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What was deleted or overwritten is in no file after Purge, while others read and
// write, and all the rest is there: also what is already in several levels.
func TestPurge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openTest(t, dir)
	table, others := db.Table("rows"), db.Table("others")
	fill := func(round int) {
		batch := others.Batch()
		for i := range 4000 {
			if err := batch.Put(fmt.Appendf(nil, "row %d", i), bytes.Repeat([]byte{byte(round)}, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var g errgroup.Group
	var written atomic.Int64
	g.Go(func() error {
		for ctx.Err() == nil {
			if err := db.Table("third").Put(fmt.Appendf(nil, "%d", written.Load()), nil); err != nil {
				return err
			}
			written.Add(1)
		}
		return nil
	})
	g.Go(func() error {
		for ctx.Err() == nil {
			if err := others.Scan(nil, nil, func(_, _ []byte) bool { return ctx.Err() == nil }); err != nil {
				return err
			}
		}
		return nil
	})
	for round := range 3 {
		secret := fmt.Sprintf("fd00:77:%d::1234", round)
		mustPut(t, table, "about "+secret, "1")
		mustPut(t, table, "row", "of "+secret)
		fill(round) // takes it from the memtable to a table
		mustPut(t, table, "about "+secret, "2")
		if len(filesWith(t, dir, secret)) == 0 {
			t.Fatalf("round %d: no file has what was written", round)
		}
		mustPut(t, table, "row", "of nobody")
		if err := table.Delete([]byte("about " + secret)); err != nil {
			t.Fatal(err)
		}
		if err := db.Purge(); err != nil {
			t.Fatal(err)
		}
		if names := filesWith(t, dir, secret); len(names) > 0 {
			t.Errorf("round %d: %v still have what was removed", round, names)
		}
	}
	stop()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if got := scanAll(t, table, "", ""); !slices.Equal(got, []string{"row=of nobody"}) {
		t.Errorf("rows: %q", got)
	}
	if n := len(scanAll(t, others, "", "")); n != 4000 {
		t.Errorf("%d other rows, want 4000", n)
	}
	if n := len(scanAll(t, db.Table("third"), "", "")); int64(n) != written.Load() {
		t.Errorf("%d rows written meanwhile, want %d", n, written.Load())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, openTest(t, dir).Table("rows"), "", ""); !slices.Equal(got, []string{"row=of nobody"}) {
		t.Errorf("rows after reopening: %q", got)
	}
}

// What an open transaction can see is purged all the same once it is over.
func TestPurgeWaitsForReaders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openTest(t, dir)
	table := db.Table("rows")
	mustPut(t, table, "secret of long ago", "1")
	done := make(chan error, 1)
	err := table.Scan(nil, nil, func(_, _ []byte) bool {
		if err := table.Delete([]byte("secret of long ago")); err != nil {
			t.Error(err)
		}
		before := group(db)
		go func() { done <- db.Purge() }()
		for group(db) == before && len(done) == 0 {
			runtime.Gosched()
		}
		if len(done) > 0 {
			t.Error("Purge returned while the scan could see the row")
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if names := filesWith(t, dir, "long ago"); len(names) > 0 {
		t.Errorf("%v still have the row", names)
	}
}

// group is what counts the calls that begin now.
func group(db *DB) *sync.WaitGroup {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.users
}
