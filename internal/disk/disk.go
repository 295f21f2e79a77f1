// Package disk says how much room a file system has: bytes, and files, of which many file
// systems hold a fixed number (inodes). Everything that keeps files asks here, so that
// all mean the same by a full disk. What Of returns is a moment's state: other programs
// write to the disk too. SyncDir and Replace write what survives a power cut, and ReadFile
// reads the small files that administrators change while the box runs.
package disk

import (
	"io/fs"
	"math"
	"syscall"
)

// Space is the state of a file system.
type Space struct {
	Total, Free int64  // bytes; Free counts what an ordinary user may write
	Files       int64  // how many more files it can hold; math.MaxInt64 where it has no limit
	ReadOnly    bool   // mounted so, or made so by the kernel after an error
	Type        uint32 // its number in statfs(2)
}

// readOnly is ST_RDONLY of statfs(2), and MNT_RDONLY elsewhere.
const readOnly = 1

// Of returns the state of the file system that dir is on.
func Of(dir string) (Space, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Space{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return space(&st), nil
}

// space converts the fields, whose width and sign differ between machines.
func space(st *syscall.Statfs_t) Space {
	block := int64(st.Bsize)
	s := Space{
		Total: int64(st.Blocks) * block, Free: int64(st.Bavail) * block,
		Files: math.MaxInt64, ReadOnly: int64(st.Flags)&readOnly != 0, Type: uint32(st.Type),
	}
	if st.Files > 0 { // Btrfs counts none
		s.Files = int64(st.Ffree)
	}
	return s
}
