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

// Sharing shares bytes between files of two directories. The zero value is ready; it is for
// one goroutine.
type Sharing struct {
	noClones bool // the file system refused one
}

// Share gives the file path, which must not exist, the bytes of src without copying them:
// as a clone where the file system can (Btrfs, XFS, bcachefs), else as a link if mayLink.
// ok is false if neither is possible, as between two file systems; then there is no file.
func (s *Sharing) Share(src *os.File, path string, mayLink bool) (w Way, ok bool, err error) {
	if !s.noClones {
		cloned, err := makeClone(src, path)
		if cloned || err != nil {
			return Cloned, cloned, err
		}
		s.noClones = true
	}
	if !mayLink {
		return Copied, false, nil
	}
	switch err := link(src, path); {
	case err == nil:
		return Linked, true, nil
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		return Copied, false, err
	}
	return Copied, false, nil
}

// makeClone makes the file path a clone of src. Where that cannot be done, there is none.
func makeClone(src *os.File, path string) (ok bool, err error) {
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false, err
	}
	ok = clone(dst, src)
	if err := dst.Close(); err == nil && ok {
		return true, nil
	}
	return false, os.Remove(path)
}
