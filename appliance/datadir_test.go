package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"millpond/internal/aptest"
)

// mountTmpfs gives a disk of its own, until the test ends. It needs root, as
// the networks of other tests do.
func mountTmpfs(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Fatalf("mounting a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, aptest.MirrorOptions{})
	tests := []struct {
		name  string
		dir   string
		parts []string
	}{
		{"no room", mountTmpfs(t, 0, "size=16m"), []string{"no space left", "16 MiB are free", "needs 32", "make room"}},
		{"read-only", mountTmpfs(t, syscall.MS_RDONLY, ""), []string{"read-only file system", "may write to"}},
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

// File servers cannot be mounted everywhere; their numbers can be given.
func TestJudgeDisk(t *testing.T) {
	t.Parallel()
	const block = 4096
	tests := []struct {
		name string
		st   syscall.Statfs_t
		want string // part of the error; "" for none
	}{
		{"ext4", syscall.Statfs_t{Type: 0xEF53, Bsize: block, Bavail: minRoom / block}, ""},
		{"overlay", syscall.Statfs_t{Type: 0x794C7630, Bsize: block, Bavail: 1 << 30}, ""},
		{"a block too few", syscall.Statfs_t{Type: 0xEF53, Bsize: block, Bavail: minRoom/block - 1}, "31 MiB are free"},
		{"nfs", syscall.Statfs_t{Type: 0x6969, Bsize: block, Bavail: 1 << 30}, "file server (NFS)"},
		{"cifs", syscall.Statfs_t{Type: 0xFF534D42, Bsize: block, Bavail: 1 << 30}, "file server (SMB)"},
		{"cifs of a 32-bit field", syscall.Statfs_t{Type: -0xACB2BE, Bsize: block, Bavail: 1 << 30}, "file server (SMB)"},
	}
	for _, tt := range tests {
		err := judgeDisk(&tt.st)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want one with %q", tt.name, err, tt.want)
		}
	}
}
