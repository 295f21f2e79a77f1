package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"millpond/internal/store"
)

// minRoom is the free disk space that a start needs. The database writes
// through memory maps, so on a full disk it gets a signal instead of an error.
// Its two logs take 16 MiB each between two flushes; while the box runs, the
// store keeps more than that free.
const minRoom = 32 << 20

// networkFS has the network file systems, by their numbers in statfs(2). On
// these, the lock against a second box, memory maps and fsync depend on the
// server, and an unreachable server blocks the box in the middle of a write.
var networkFS = map[uint32]string{
	0x6969:     "NFS",
	0x517B:     "SMB",
	0xFF534D42: "SMB", // cifs
	0xFE534D42: "SMB", // smb2
	0x5346414F: "AFS",
	0x00C36400: "Ceph",
	0x01021997: "9P",
}

// checkDataDir makes dir if it does not exist, and returns an error if its file
// system is unsuitable or too full.
func checkDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	disk, err := store.DiskOf(dir)
	if err != nil {
		return err
	}
	return checkDisk(disk)
}

// checkOwner returns an error if a command would leave files in the data directory
// that the box's user cannot open.
func checkOwner(info fs.FileInfo) error {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d; run the command as that user", owner.Uid)
	}
	return nil
}

func checkDisk(d store.Disk) error {
	if name, ok := networkFS[d.Type]; ok {
		return fmt.Errorf("it is on a file server (%s), where a database is not safe; name a directory on a local disk", name)
	}
	if d.Free < minRoom {
		return fmt.Errorf("%w: %d MiB are free on its disk and a start needs %d; make room, or name a directory on another disk",
			syscall.ENOSPC, d.Free>>20, minRoom>>20)
	}
	return nil
}

// dataFault adds to err, for which the data directory cannot be used, what the
// operator can do about it.
func dataFault(dir string, err error) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w; millpond runs as user %d: make that the owner (chown -R %[2]d:%d), or name a directory that it may write to",
			err, os.Geteuid(), os.Getegid())
	case errors.Is(err, syscall.ENOSPC): // says what to do, or is the store's
	case errors.As(err, &path):
		err = fmt.Errorf("%w; name a directory that millpond may write to", err)
	}
	return fmt.Errorf("MILLPOND_DATA_DIR=%s: %w", dir, err)
}
