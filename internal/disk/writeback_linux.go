package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// StartWriting has the kernel start writing to the disk what the file has in memory only,
// so that a later Sync has little left to wait for. It promises nothing: what survives a
// power cut is a matter of Sync. It may wait where the disk has as much to do as it takes.
func StartWriting(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var started error
	if err := conn.Control(func(fd uintptr) {
		started = unix.SyncFileRange(int(fd), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}); err != nil {
		return err
	}
	return os.NewSyscallError("sync_file_range", started)
}
