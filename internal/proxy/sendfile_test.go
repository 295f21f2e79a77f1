package proxy

import (
	"io"
	"strings"
	"testing"
	"time"
)

// A client that stops to take a held file is cut off after the stall limit, and counted
// with what left for it.
func TestStallOfAHeldFile(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	b := newBox(func(o *Options) { o.Repeats = 0 })
	b.files[debURL] = holds(t, pattern(size))
	b.stall = 100 * time.Millisecond
	b.serve(t)
	c := b.dial(t)
	if _, err := io.WriteString(c, "GET "+debURL+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the client was cut off", func() bool { return strings.Contains(b.logged.String(), "client disconnected during a file") })
	got, _ := io.Copy(io.Discard, c)
	if got >= size || b.ledger.total() >= size || b.ledger.total() == 0 {
		t.Errorf("%d bytes came, %d are counted", got, b.ledger.total())
	}
}
