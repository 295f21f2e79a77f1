package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// SyncDir makes the names in dir survive a power cut.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
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
