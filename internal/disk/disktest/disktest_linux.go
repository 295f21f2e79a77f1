package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"millpond/internal/disk"
)

// Tmpfs mounts a file system in memory, with the flags of mount(2) and the options of
// tmpfs(5), such as size=200m, and returns its directory.
func Tmpfs(tb testing.TB, flags uintptr, options string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		tb.Fatalf("mounting a tmpfs (needs root): %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Ext4Image makes a file of size bytes with an ext4 file system, to be mounted.
func Ext4Image(tb testing.TB, size int64) string {
	tb.Helper()
	image := filepath.Join(tb.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
		tb.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	return image
}

// Fill takes all but left bytes of the disk that dir is on, and returns what gives them
// back.
func Fill(tb testing.TB, dir string, left int64) (release func()) {
	tb.Helper()
	d, err := disk.Of(dir)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := os.CreateTemp(dir, "others-*")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, max(d.Free-left, 1)); err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			tb.Error(err)
		}
	}
}
