package kv

import (
	"errors"
	"fmt"
	"os"
	"sync"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
)

// Badger makes each file of its own at full length, sparse, and writes it through a
// shared memory map. When the kernel finds no block for a page that is written then,
// it can only kill the process (SIGBUS). So the blocks are allocated before the file is
// mapped: then it is the mapping that fails, with ENOSPC, and Badger tries again
// later. It has no option for that, and makes, maps and fills a table in one
// function; what is left is the one variable through which unix.Mmap reaches the kernel.
//
// Neither Badger nor ristretto's z, which maps for it, has a hook before the mapping, and
// the name of the next table is not known before, so that files with blocks cannot be put
// there; what is left beside this is a fork of Badger. The linker allows the name: its
// list of names that must not be linked has those of the standard library only.
//
// TestTableOnFullDisk fails if Badger does not come by here any more, or the type of
// mapper has changed: a call through another field would crash in init.

// mapperLayout is how unix.mapper's type begins.
type mapperLayout struct {
	sync.Mutex
	_    map[*byte][]byte // active
	mmap func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)
}

//go:linkname mapper golang.org/x/sys/unix.mapper
var mapper *mapperLayout

func init() {
	mapFile := mapper.mmap
	mapper.mmap = func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
		if fd >= 0 && prot&unix.PROT_WRITE != 0 && flags&unix.MAP_SHARED != 0 {
			if err := allocateMapped(fd, offset+int64(length)); err != nil {
				return 0, err
			}
		}
		return mapFile(addr, length, prot, flags, fd, offset)
	}
}

// allocateMapped gives an open file blocks for its first n bytes. A file that had none
// is removed if it cannot have them all: Badger makes another one then, every second.
func allocateMapped(fd int, n int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Blocks*512 >= n { // stat(2): of this size on every file system
		return nil
	}
	err := fallocate(fd, 0, n)
	if err != nil && st.Blocks == 0 {
		// Its directory may be gone, and the room with it.
		_ = unix.Ftruncate(fd, 0)
		if path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
			_ = os.Remove(path)
		}
	}
	return err
}

// allocate gives f blocks for its first n bytes, and leaves its length as it is.
func allocate(f *os.File, n int64) error {
	return fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, n)
}

// reserve makes f n bytes long, with blocks for all of them; on a file system that
// cannot reserve blocks it does nothing.
func reserve(f *os.File, n int64) error { return fallocate(int(f.Fd()), 0, n) }

// fallocate does nothing on a file system that cannot reserve blocks.
func fallocate(fd int, mode uint32, n int64) error {
	for {
		err := unix.Fallocate(fd, mode, 0, n)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return err
		}
	}
}
