//go:build !linux

package disk

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func clone(_, _ *os.File) bool { return false }

func link(_ *os.File, _ string) error { return errors.ErrUnsupported }

// In is the path of a name in dir, which is open.
func In(dir *os.File, name string) string { return filepath.Join(dir.Name(), name) }

// SyncAll makes all that was written, and its names, survive a power cut.
func SyncAll(string) error {
	unix.Sync()
	return nil
}
