package main

import (
	"errors"
	"strings"
	"testing"

	"millpond/internal/disk"
	"millpond/internal/kv"
)

// File servers cannot be mounted everywhere; their numbers can be given.
func TestCheckDisk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		disk disk.Space
		want string // part of the error; "" for none
	}{
		{"ext4", disk.Space{Files: 1 << 20, Type: 0xEF53, Free: kv.OpenRoom}, ""},
		{"overlay", disk.Space{Files: 1 << 20, Type: 0x794C7630, Free: 1 << 42}, ""},
		{"a block too few", disk.Space{Files: 1 << 20, Type: 0xEF53, Free: kv.OpenRoom - 4096}, "47 MiB are free"},
		{"no files", disk.Space{Type: 0xEF53, Free: 1 << 42}, "room for 0 more files"},
		{"nfs", disk.Space{Files: 1 << 20, Type: 0x6969, Free: 1 << 42}, "file server (NFS)"},
		{"cifs", disk.Space{Files: 1 << 20, Type: 0xFF534D42, Free: 1 << 42}, "file server (SMB)"},
	}
	for _, tt := range tests {
		err := errors.Join(checkFileSystem(tt.disk), checkRoom(tt.disk, 0))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want one with %q", tt.name, err, tt.want)
		}
	}
}
