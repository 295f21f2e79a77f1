package store

import (
	"os"
	"sync/atomic"

	"millpond/internal/disk"
)

// aheadBytes is how much of a file the disk is told to write at once, while more of it
// comes: little enough for Commit, and its clients, not to wait long for the last of it.
const aheadBytes = 8 << 20

// writeAhead has the disk write a file while it grows.
type writeAhead struct {
	behind  atomic.Int64 // bytes written since the disk was told
	telling atomic.Bool
}

// wrote notes n more bytes of file. It does not wait for a disk that has much to do.
func (w *writeAhead) wrote(file *os.File, n int) {
	if w.behind.Add(int64(n)) < aheadBytes || !w.telling.CompareAndSwap(false, true) {
		return
	}
	w.behind.Store(0)
	go func() {
		defer w.telling.Store(false)
		_ = disk.StartWriting(file) // Commit reports the faults of the disk
	}()
}
