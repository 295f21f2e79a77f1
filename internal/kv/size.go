package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Size returns how many bytes the database takes on the disk, with the kept rows, what is
// reserved and what was set aside. Its files are sparse, so that they look much larger.
func (db *DB) Size() (int64, error) {
	dirs, err := setAsides(db.dir)
	if err != nil {
		return 0, fmt.Errorf("measuring database: %w", err)
	}
	var sum int64
	for _, suffix := range []string{keptSuffix, reserveSuffix} {
		n, err := bytesOf(db.dir + suffix)
		if err != nil {
			return 0, fmt.Errorf("measuring database: %w", err)
		}
		sum += n
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
		sum += blocks(info)
	}
	return sum, nil
}
