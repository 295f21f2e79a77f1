package proxy

import (
	"io"
	"testing"
)

// A header and a small file leave in one packet: one read gets both.
func TestCork(t *testing.T) {
	t.Parallel()
	b := newBox(nil)
	data := pattern(5000)
	b.files[debURL] = holds(t, data)
	b.serve(t)
	const requests = 20
	together := 0
	buf := make([]byte, 64<<10)
	for range requests {
		c := b.dial(t)
		if _, err := io.WriteString(c, "GET "+debURL+" HTTP/1.1\r\nHost: box.example.org\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > len(data) {
			together++
		}
		c.Close()
	}
	// The kernel holds a packet back for 200 ms only: a busy machine may be
	// slower than that.
	if together < requests-2 {
		t.Errorf("%d of %d answers came in one packet", together, requests)
	}
}
