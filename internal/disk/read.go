package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile returns the content of a regular file, or one that a link leads to, of max
// bytes at most. It never waits: a pipe in the place of the file is an error, where
// os.Open would not return before something writes to it.
func ReadFile(name string, max int64) ([]byte, error) {
	// O_NONBLOCK is for what is put in place between the two checks.
	if err := checkRegular(name, os.Stat); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkRegular(name, func(string) (fs.FileInfo, error) { return f.Stat() }); err != nil {
		return nil, err
	}
	// One byte more shows that it is too long.
	text, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(text)) > max {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d bytes", max)}
	}
	return text, err
}

func checkRegular(name string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(name)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	return nil
}
