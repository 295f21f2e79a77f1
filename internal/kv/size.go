package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Size returns how many bytes the database takes on the disk, with the kept rows and
// what was set aside. Its files are sparse, so that they look much larger.
func (db *DB) Size() (int64, error) {
	dirs, err := setAsides(db.dir)
	if err != nil {
		return 0, fmt.Errorf("measuring database: %w", err)
	}
	var sum int64
	if info, err := os.Stat(db.dir + keptSuffix); err == nil {
		sum = info.Size()
	}
	for _, dir := range append(dirs, db.dir) {
		n, err := sizeOf(dir)
		if err != nil {
			return 0, fmt.Errorf("measuring database: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// sizeOf returns what the files in dir take.
func sizeOf(dir string) (sum int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed meanwhile
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted meanwhile
		}
		if err != nil {
			return 0, err
		}
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2): of this size on every file system
	}
	return sum, nil
}
