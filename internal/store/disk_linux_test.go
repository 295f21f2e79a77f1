package store

import (
	"syscall"
	"testing"
)

// The number of a file system is 32 bits wide, whatever the field's type and
// sign.
func TestDiskType(t *testing.T) {
	t.Parallel()
	got := disk(&syscall.Statfs_t{Type: -0xACB2BE, Bsize: 4096, Blocks: 1 << 30, Bavail: 1 << 21})
	if want := (Disk{Total: 4 << 40, Free: 8 << 30, Type: 0xFF534D42}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
