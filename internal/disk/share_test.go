package disk

import (
	"os"
	"path/filepath"
	"testing"
)

func TestShare(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, []byte("the bytes"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The name of an open file may become another file's: what is shared is the open one.
	if err := os.Rename(src, src+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(src, []byte("others"), 0o644); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(dir, "dst")
	var s Sharing
	if _, ok, err := s.Share(f, dst, true); err != nil || !ok {
		t.Fatalf("Share in one directory: ok %v, %v", ok, err)
	}
	if got, err := os.ReadFile(dst); err != nil || string(got) != "the bytes" {
		t.Errorf("shared file has %q, %v", got, err)
	}
	if _, _, err := s.Share(f, dst, true); err == nil {
		t.Error("Share took the place of a file")
	}
	if _, ok, err := s.Share(f, filepath.Join(dir, "none", "dst"), true); ok || err == nil {
		t.Errorf("Share into a directory that is not there: ok %v, %v", ok, err)
	}
	if _, ok, err := new(Sharing).Share(f, "/proc/self/none", true); ok || err == nil {
		t.Errorf("Share into /proc: ok %v, %v", ok, err)
	}
	if err := SyncAll(dir); err != nil {
		t.Error(err)
	}
}

func TestShareNeitherWay(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open("/proc/self/status") // another file system, as a medium is
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dst := filepath.Join(dir, "dst")
	if _, ok, err := new(Sharing).Share(f, dst, true); ok || err != nil {
		t.Errorf("Share between two file systems: ok %v, %v", ok, err)
	}
	if _, err := os.Lstat(dst); !os.IsNotExist(err) {
		t.Errorf("a file was left: %v", err)
	}
}
