package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millpond/internal/disk"
)

// MakeRoom removes files of the store in dir, which is not open, until the disk has
// free bytes and room for so many files, or nothing is left, and returns how many bytes
// it removed. Nothing is known of blobs then but their age: partial files go
// first, then in turns the oldest of each fan-out directory.
func MakeRoom(dir string, free, files int64) (freed int64, err error) {
	c := clearing{dir: dir, free: free, files: files}
	_, err = c.clear(filepath.Join(dir, "partial"), 1)
	for any := true; any && err == nil; {
		any = false
		for b := 0; b < 256 && err == nil; b++ {
			var removed bool
			removed, err = c.clear(filepath.Join(dir, "blobs", fmt.Sprintf("%02x", b)), turn)
			any = any || removed
		}
	}
	if err != nil && !errors.Is(err, errRoomEnough) {
		return c.freed, fmt.Errorf("making room: %w", err)
	}
	return c.freed, nil
}

// turn: an eighth of a directory's files is removed in its turn, one at least.
const turn = 8

var errRoomEnough = errors.New("there is room")

// clearing is a run of MakeRoom.
type clearing struct {
	dir         string
	free, files int64
	freed       int64
}

// enough returns errRoomEnough once there is room.
func (c *clearing) enough() error {
	d, err := disk.Of(c.dir)
	if err == nil && d.Free >= c.free && d.Files >= c.files {
		err = errRoomEnough
	}
	return err
}

// clear removes one nth of the files in dir, the oldest first, and reports whether
// there were any.
func (c *clearing) clear(dir string, nth int) (removed bool, err error) {
	if err := c.enough(); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	type file struct {
		name string
		size int64
		at   time.Time
	}
	var all []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			all = append(all, file{e.Name(), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	for _, f := range all[:(len(all)+nth-1)/nth] {
		if err := os.Remove(filepath.Join(dir, f.name)); err != nil {
			return removed, err
		}
		c.freed += f.size
		removed = true
		if err := c.enough(); err != nil {
			return removed, err
		}
	}
	return removed, nil
}
