package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"

	"millpond/internal/disk"
	"millpond/internal/kv"
	"millpond/internal/store"
)

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

// startRoom is the free disk space with which the box starts and keeps files: the
// database's, and what the store leaves free. Below that the start makes room.
const startRoom = kv.OpenRoom + store.LeastFree

// checkDataDir makes dir if it does not exist, and returns an error if its file
// system is unsuitable or too full. Where that is full, files of the cache make room.
func checkDataDir(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	d, err := disk.Of(dir)
	if err != nil {
		return err
	}
	if err := checkFileSystem(d); err != nil {
		return err
	}
	reserved, err := kv.Reserved(databaseDir(dir))
	if err != nil {
		return err
	}
	if d.Free+reserved < startRoom || d.Files < store.LeastFiles {
		if err := removeAside(dir, log); err != nil {
			return err
		}
	}
	freed, err := store.MakeRoom(dir, startRoom-reserved, store.LeastFiles)
	if freed > 0 {
		log.Warn("disk full, files of the cache removed before the start", "bytes", freed)
	}
	if err != nil {
		return err
	}
	if d, err = disk.Of(dir); err != nil {
		return err
	}
	return checkRoom(d, reserved)
}

// removeAside removes the databases that were set aside.
func removeAside(dir string, log *slog.Logger) error {
	freed, err := kv.RemoveAside(databaseDir(dir))
	if freed > 0 {
		log.Warn("disk full, a damaged database that was set aside removed before the start", "bytes", freed)
	}
	return err
}

// checkOwner returns an error if a command would leave files in the data directory
// that the box's user cannot open.
func checkOwner(info fs.FileInfo) error {
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d; run the command as that user", owner.Uid)
	}
	return nil
}

func checkFileSystem(d disk.Space) error {
	if name, ok := networkFS[d.Type]; ok {
		return fmt.Errorf("it is on a file server (%s), where a database is not safe; name a directory on a local disk", name)
	}
	return nil
}

// checkRoom returns an error if the database, which has reserved some bytes, cannot be
// opened for lack of room, with no file of the cache left that could make some.
func checkRoom(d disk.Space, reserved int64) error {
	if d.Free+reserved < kv.OpenRoom {
		return fmt.Errorf("%w: %d MiB are free on its disk and a start needs %d; make room, or name a directory on another disk",
			syscall.ENOSPC, d.Free>>20, (kv.OpenRoom-reserved)>>20)
	}
	if d.Files < kv.MarginFiles {
		return fmt.Errorf("%w: its disk has room for %d more files and a start needs %d; remove files there, or name a directory on another disk",
			syscall.ENOSPC, d.Files, kv.MarginFiles)
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
