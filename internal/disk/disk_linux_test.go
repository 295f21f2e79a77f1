package disk

import (
	"math"
	"syscall"
	"testing"
)

// The number of a file system is 32 bits wide, whatever the field's type and
// sign. One that has no limit of files says that it has none at all.
func TestSpace(t *testing.T) {
	t.Parallel()
	got := space(&syscall.Statfs_t{Type: -0xACB2BE, Bsize: 4096, Blocks: 1 << 30, Bavail: 1 << 21})
	if want := (Space{Total: 4 << 40, Free: 8 << 30, Files: math.MaxInt64, Type: 0xFF534D42}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = space(&syscall.Statfs_t{Bsize: 512, Files: 100, Ffree: 7, Flags: 0x21})
	if want := (Space{Files: 7, ReadOnly: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
