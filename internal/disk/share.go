package disk

import (
	"errors"
	"io/fs"
	"os"
)

// Way is how a file got its bytes.
type Way uint8

const (
	// Copied: it has bytes of its own.
	Copied Way = iota
	// Cloned: it shares the blocks of another file until one of them is written to.
	Cloned
	// Linked: it is a further name of another file, and changes with that one.
	Linked
)

// Share gives the file path, which must not exist, the bytes of src without copying them:
// as a clone where the file system can (Btrfs, XFS, bcachefs), else as a link if mayLink.
// ok is false if neither is possible, as between two file systems; then there is no file.
func Share(src *os.File, path string, mayLink bool) (w Way, ok bool, err error) {
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return Copied, false, err
	}
	cloned := clone(dst, src)
	if err := dst.Close(); err == nil && cloned {
		return Cloned, true, nil
	}
	if err := os.Remove(path); err != nil {
		return Copied, false, err
	}
	if !mayLink {
		return Copied, false, nil
	}
	switch err := link(src, path); {
	case err == nil:
		return Linked, true, nil
	case errors.Is(err, fs.ErrExist):
		return Copied, false, err
	}
	return Copied, false, nil
}
