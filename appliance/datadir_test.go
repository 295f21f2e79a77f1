package main

import (
	"strings"
	"testing"

	"millpond/internal/store"
)

// File servers cannot be mounted everywhere; their numbers can be given.
func TestCheckDisk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		disk store.Disk
		want string // part of the error; "" for none
	}{
		{"ext4", store.Disk{Type: 0xEF53, Free: minRoom}, ""},
		{"overlay", store.Disk{Type: 0x794C7630, Free: 1 << 42}, ""},
		{"a block too few", store.Disk{Type: 0xEF53, Free: minRoom - 4096}, "31 MiB are free"},
		{"nfs", store.Disk{Type: 0x6969, Free: 1 << 42}, "file server (NFS)"},
		{"cifs", store.Disk{Type: 0xFF534D42, Free: 1 << 42}, "file server (SMB)"},
	}
	for _, tt := range tests {
		err := checkDisk(tt.disk)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want one with %q", tt.name, err, tt.want)
		}
	}
}
