package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The disk is told of each aheadBytes, by one goroutine at a time.
func TestWriteAhead(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w writeAhead
	w.wrote(f, aheadBytes-1)
	if got := w.behind.Load(); got != aheadBytes-1 || w.telling.Load() {
		t.Errorf("%d bytes behind, telling %v", got, w.telling.Load())
	}
	w.telling.Store(true) // and the disk has much to do
	w.wrote(f, aheadBytes)
	if got := w.behind.Load(); got != 2*aheadBytes-1 {
		t.Errorf("%d bytes behind while the disk is being told", got)
	}
	w.telling.Store(false)
	w.wrote(f, 1)
	if got := w.behind.Load(); got != 0 {
		t.Errorf("%d bytes behind once the disk is told", got)
	}
	for end := time.Now().Add(10 * time.Second); w.telling.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the disk is being told for ever")
		}
	}
}
