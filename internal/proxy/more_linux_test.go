package proxy

import (
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A header and its file leave together: as one segment, of those that loopback takes.
func TestHeaderLeavesWithItsFile(t *testing.T) {
	t.Parallel()
	for _, size := range []int{5000, 30_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := newBox(nil)
			b.files[debURL] = holds(t, pattern(size))
			b.serve(t)
			const requests = 20
			together := 0
			for range requests {
				c := b.dial(t)
				if _, err := io.WriteString(c, "GET "+debURL+" HTTP/1.1\r\nHost: box.example.org\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Fatal(err)
				}
				if segments(t, c) == 1 {
					together++
				}
				c.Close()
			}
			// The kernel holds a packet back for 200 ms only: a busy machine may be
			// slower than that.
			if together < requests-2 {
				t.Errorf("%d of %d answers came together", together, requests)
			}
		})
	}
}

// segments is how many segments with data a connection has received.
func segments(t *testing.T, c net.Conn) (n uint32) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlled := raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Data_segs_in
		}
	})
	if controlled != nil || err != nil {
		t.Fatal(controlled, err)
	}
	return n
}
