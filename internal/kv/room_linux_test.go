package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"millpond/internal/disk"
	"millpond/internal/disk/disktest"
)

func openOn(t *testing.T, dir string) *DB {
	t.Helper()
	db, err := Open(filepath.Join(dir, "db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Another program fills the disk to the last byte while rows are written, again and
// again. Writes are refused with ENOSPC, what was accepted is there, and Close and Open
// work once there is room.
func TestDiskFillsWhileWriting(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=256m")
	db := openOn(t, dir)
	rows, n := db.Table("rows"), 0
	write := func(want bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
			err := rows.Put(fmt.Appendf(nil, "%06d", n), make([]byte, 8<<10))
			switch {
			case err == nil && !want:
				n++
			case err == nil:
				n++
				if n%2000 == 0 { // 16 MB: two memtables
					return
				}
			case !errors.Is(err, syscall.ENOSPC):
				t.Fatalf("row %d: %v", n, err)
			case !want:
				return
			}
		}
		t.Fatalf("row %d: not as wanted in time", n)
	}
	for range 2 {
		write(true)
		release := disktest.Fill(t, dir, 0)
		write(false)
		if err := db.Err(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Err on a full disk: %v", err)
		}
		if err := rows.Free(func(tx *Tx) error { return tx.Put([]byte("freed"), nil) }); err != nil {
			t.Errorf("Free on a full disk: %v", err)
		}
		release()
	}
	release := disktest.Fill(t, dir, 0)
	if err := db.Close(); err != nil {
		t.Errorf("Close on a full disk: %v", err)
	}
	// Others take what little Close gave back, and all that a start needs is reserved.
	for range 3 {
		fillRest(t, dir)
		db = openOn(t, dir)
		rows = db.Table("rows")
		for i := range n {
			if v, err := rows.Get(fmt.Appendf(nil, "%06d", i)); err != nil || len(v) != 8<<10 {
				t.Fatalf("row %d of %d: %d bytes, %v", i, n, len(v), err)
			}
		}
		if err := rows.Put([]byte("full"), nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Put after a start on a full disk: %v", err)
		}
		fillRest(t, dir)
		if err := db.Close(); err != nil {
			t.Errorf("Close on a full disk: %v", err)
		}
	}
	release()
	db = openOn(t, dir)
	defer db.Close()
	if err := db.Table("rows").Put([]byte("again"), nil); err != nil {
		t.Error(err)
	}
}

// fillRest takes what is free, if anything is.
func fillRest(t *testing.T, dir string) {
	t.Helper()
	if d, err := disk.Of(dir); err != nil || d.Free > 0 {
		disktest.Fill(t, dir, 0)
	}
}

// A first start needs room, and what it has reserved counts for later ones and in Size.
func TestRoomIsReserved(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=128m")
	release := disktest.Fill(t, dir, OpenRoom-1<<20)
	if _, err := Open(filepath.Join(dir, "db"), slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Open without room: %v", err)
	}
	release()
	db := openOn(t, dir)
	size, err := db.Size()
	if err != nil || size < reserveRoom {
		t.Errorf("an open database takes %d bytes, %v; want at least what is reserved", size, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Reserved(filepath.Join(dir, "db")); err != nil || n != reserveRoom {
		t.Errorf("%d bytes are reserved for the next start, %v; want %d", n, err, reserveRoom)
	}
}

// Badger fills a memtable on a disk that has no block left: the table that it makes then
// is refused and made again later, and the log of the next memtable has its room.
func TestTableOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=128m")
	db := openOn(t, dir)
	rows := db.Table("rows")
	release := disktest.Fill(t, dir, 0)
	n := 0
	for ; ; n++ {
		// Free writes to the end of what is reserved.
		err := rows.Free(func(tx *Tx) error { return tx.Put(fmt.Appendf(nil, "%06d", n), make([]byte, 8<<10)) })
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < memTableSize>>14 {
		t.Errorf("%d rows were accepted, want at least half a memtable", n)
	}
	release()
	for end := time.Now().Add(20 * time.Second); rows.Put([]byte("after"), nil) != nil; time.Sleep(flushPoll) {
		if time.Now().After(end) {
			t.Fatal("no write is accepted although there is room again")
		}
	}
	for i := range n {
		if _, err := rows.Get(fmt.Appendf(nil, "%06d", i)); err != nil {
			t.Fatalf("row %d of %d: %v", i, n, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// With every inode taken, writes are refused, and Close works.
func TestNoFilesLeft(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=256m,nr_inodes=300")
	db := openOn(t, dir)
	rows := db.Table("rows")
	if err := rows.Put([]byte("before"), nil); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := rows.Put([]byte("after"), nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Put without inodes: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close without inodes: %v", err)
	}
}

// What a kill leaves of the next log is no obstacle, and the log in use is reserved.
func TestSpareAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openOn(t, dir)
	if err := db.Table("rows").Put([]byte("k"), nil); err != nil {
		t.Fatal(err)
	}
	logs, err := db.room.logs()
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	for _, path := range []string{logs[0], db.room.spare} {
		info, err := os.Stat(path)
		if err != nil || info.Sys().(*syscall.Stat_t).Blocks*512 < logSize {
			t.Errorf("%s: %+v, %v", path, info, err)
		}
	}
	spare := db.room.spare
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(spare); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spare after Close: %v", err)
	}
	if err := os.WriteFile(spare, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openOn(t, dir).Close(); err != nil {
		t.Error(err)
	}
}

// What the disk cannot read through a memory map is an error that says so, and not the end
// of the process: here it is a page whose file was cut short.
func TestUnreadablePage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 3*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	err := guard(func() error {
		return withFile(file, func(b []byte) error {
			if err := os.Truncate(file, 1); err != nil {
				return err
			}
			return fmt.Errorf("read a byte %d", b[2*os.Getpagesize()])
		})
	})
	if !errors.Is(err, syscall.EIO) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want EIO", err)
	}
}

// A damaged database on a disk that takes no file stays where it is.
func TestDamagedOnFailingDisk(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=256m")
	db := openOn(t, dir)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "db", "MANIFEST")
	if err := os.WriteFile(manifest, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "db"), slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Stat(manifest); err != nil {
		t.Error(err)
	}
}
