package aptest

import (
	"bytes"
	"fmt"
	"testing"
)

// What was packed once is not packed again, and what a caller does to its copy reaches
// no other.
func TestPackedOnce(t *testing.T) {
	t.Parallel()
	plain := []byte("Package: packed-once\n")
	for _, ext := range []string{"", "gz", "xz", "bz2", "zst"} {
		first := compress(ext, plain)
		want := bytes.Clone(first)
		clear(first)
		again := compress(ext, plain)
		if !bytes.Equal(again, want) {
			t.Errorf("%q: got %x the second time, want %x", ext, again, want)
		}
		clear(again)
		if third := compress(ext, plain); !bytes.Equal(third, want) {
			t.Errorf("%q: got %x the third time, want %x", ext, third, want)
		}
	}
	if !bytes.Equal(plain, []byte("Package: packed-once\n")) {
		t.Errorf("the plain bytes are now %q", plain)
	}
}

func TestPackedIsBounded(t *testing.T) {
	t.Parallel()
	plain := make([]byte, maxPacked/16)
	for i := range 20 {
		_, _ = seeded(fmt.Sprint("packed ", i)).Read(plain)
		compress("gz", plain)
		packed.Lock()
		kept := 0
		for _, b := range packed.results {
			kept += len(b)
		}
		if kept != packed.size || kept > maxPacked {
			t.Errorf("%d bytes are kept, %d counted, want %d at most", kept, packed.size, maxPacked)
		}
		packed.Unlock()
	}
	packed.Lock()
	defer packed.Unlock()
	if packed.size == 0 {
		t.Error("nothing is kept")
	}
}
