package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"millpond/internal/disk"
)

// reserveSuffix names a file beside the database's directory that does nothing but take
// room: what the logs of memtables, which the next Open makes anew, do not have of
// reserveRoom. So a database that was opened once is opened again on a disk that others have
// filled since, after a clean stop as after a kill.
const reserveSuffix = ".room"

// Reserved returns how many bytes the database in dir, which is not open, has on the disk
// already of what Open needs.
func Reserved(dir string) (int64, error) {
	n, err := (&room{dir: dir}).reserved()
	if err != nil {
		return 0, fmt.Errorf("measuring what database %s has reserved: %w", dir, err)
	}
	return n, nil
}

func (r *room) reserved() (int64, error) {
	logs, err := r.logBytes()
	if err != nil {
		return 0, err
	}
	n, err := bytesOf(r.dir + reserveSuffix)
	return logs + n, err
}

// logBytes is what the logs of memtables take, with the spare.
func (r *room) logBytes() (sum int64, err error) {
	all, err := r.logFiles()
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		n, err := bytesOf(path)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// keepReserve makes the reserve as large as it should be now, as far as the disk has room
// for that beside leave bytes.
func (r *room) keepReserve(leave int64) error {
	logs, err := r.logBytes()
	if err != nil {
		return err
	}
	path := r.dir + reserveSuffix
	has, err := bytesOf(path)
	if err != nil {
		return err
	}
	d, err := disk.Of(r.dir)
	if err != nil {
		return err
	}
	want := min(max(reserveRoom-logs, 0), has+max(d.Free-leave, 0))
	if want == has {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if want < has {
		return errors.Join(f.Truncate(want), f.Close())
	}
	return errors.Join(reserve(f, want), f.Close())
}

// dropReserve gives up the reserve.
func (r *room) dropReserve() error {
	if err := os.Remove(r.dir + reserveSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// bytesOf returns what a file takes on the disk, 0 if there is none.
func bytesOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return blocks(info), nil
}

// blocks returns what a file takes on the disk.
func blocks(info fs.FileInfo) int64 {
	return info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2): of this size on every file system
}
