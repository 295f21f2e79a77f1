package proxy

import "syscall"

// cork tells the kernel to hold back a packet that is not full yet, or to go
// on (tcp(7), TCP_CORK). Between the two a header and the file after it, given
// to the kernel one by one, leave together: for a small file that halves the
// packets and the times that the client is woken.
func cork(conn syscall.RawConn, on bool) {
	value := 0
	if on {
		value = 1
	}
	// Without it all goes out a little less well packed.
	_ = conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, value)
	})
}
