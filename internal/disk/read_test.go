package disk

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is no regular file is an error at once. One that blocks fails by the test's limit.
func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"fits": "12345678", "long": "123456789", "empty": ""} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "fits", "device": "/dev/zero", "toPipe": "pipe", "circle": "circle"} {
		if err := os.Symlink(to, path(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, want, fault string }{
		{"fits", "12345678", ""}, {"link", "12345678", ""}, {"empty", "", ""},
		{"long", "", "more than 8 bytes"}, {"none", "", "no such file"}, {"", "", "is a directory"},
		{"pipe", "", "not a regular file"}, {"toPipe", "", "not a regular file"}, {"device", "", "not a regular file"},
		{"circle", "", "symbolic links"},
	} {
		got, err := ReadFile(path(tt.name), 8)
		if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) || err == nil && string(got) != tt.want {
			t.Errorf("%q: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.fault)
		}
	}
}
