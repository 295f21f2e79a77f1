package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"millpond/internal/aptest"
	"millpond/internal/disk/disktest"
)

func TestDiskFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	tests := []struct {
		name  string
		dir   string
		parts []string
	}{
		{"no room", disktest.Tmpfs(t, 0, "size=16m"), []string{"no space left", "16 MiB are free", "needs 48", "make room"}},
		{"read-only", disktest.Tmpfs(t, syscall.MS_RDONLY, ""), []string{"read-only file system", "may write to"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantFault(t, s.environ(tt.dir), append(tt.parts, "MILLPOND_DATA_DIR="+tt.dir)...)
			if left, err := os.ReadDir(tt.dir); err != nil || len(left) > 0 {
				t.Errorf("the start left %v, %v", left, err)
			}
		})
	}
}

func TestDataDirectoryNotWritable(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			// Root may write anywhere; this thread, which ends with the
			// goroutine, is nobody from here on.
			runtime.LockOSThread()
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		wantFault(t, s.environ(dir, "MILLPOND_KEYRING_DIR="), "MILLPOND_DATA_DIR="+dir, "permission denied", "make that the owner", "may write to")
	}()
	<-done
}

// A database that takes no writes, as the disk is full, is not told to be damaged.
func TestFullDiskIsNoDamage(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	dir := disktest.Tmpfs(t, 0, "size=300m")
	b := start(t, s.environ(filepath.Join(dir, "data")))
	disktest.Fill(t, dir, 0)
	told := false
	for _, f := range b.faults() {
		told = told || f.What == "disk" && strings.Contains(f.Why, "files are not being kept")
		if f.What == "database" {
			t.Errorf("on a full disk: %+v", f)
		}
	}
	if !told {
		t.Errorf("on a full disk: %+v", b.faults())
	}
}

// A start on a full disk removes a damaged database that was set aside, before any file
// of the cache.
func TestSetAsideMakesRoom(t *testing.T) {
	t.Parallel()
	dir := disktest.Tmpfs(t, 0, "size=200m")
	aside, blob := filepath.Join(dir, "db.damaged-20260101-000000.000"), filepath.Join(dir, "blobs", "00", strings.Repeat("0", 64))
	for _, file := range []string{filepath.Join(aside, "000001.sst"), blob} {
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, make([]byte, 50<<20), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := checkDataDir(dir, newLog(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(aside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was set aside: %v", err)
	}
	if _, err := os.Stat(blob); err != nil {
		t.Error(err)
	}
}
