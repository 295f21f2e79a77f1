package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Size returns how many bytes the database takes on the disk. Its files are sparse,
// so that they look much larger.
func (db *DB) Size() (int64, error) {
	entries, err := os.ReadDir(db.dir)
	if err != nil {
		return 0, fmt.Errorf("measuring database: %w", err)
	}
	var sum int64
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted meanwhile
		}
		if err != nil {
			return 0, fmt.Errorf("measuring database: %w", err)
		}
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2): of this size on every file system
	}
	return sum, nil
}
