package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SyncDir makes the names in dir survive a power cut.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Move gives the file from the name to, in place of the file there, by two calls of the
// system, where os.Rename and os.Remove take four: it is for files, many of them.
func Move(from, to string) error {
	if err := retry(func() error { return unix.Rename(from, to) }); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	// Between two names of one file rename does nothing.
	if err := retry(func() error { return unix.Unlink(from) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &os.PathError{Op: "unlink", Path: from, Err: err}
	}
	return nil
}

// retry repeats a call of the system that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Replace writes a file, mode 0600, that takes the place of the one there as a whole, and
// survives a power cut. After an error the file is as it was, unless it is the error of
// the last step: then a power cut may bring the old one back.
func Replace(file string, write func(io.Writer) error) error {
	temp, err := os.OpenFile(file+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(temp)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // the error before this one counts
		return err
	}
	return SyncDir(filepath.Dir(file))
}
