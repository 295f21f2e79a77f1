package front

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnsent sets the limit of a connection (tcp(7), TCP_NOTSENT_LOWAT).
func limitUnsent(conn syscall.RawConn) {
	// Without it there is less room for others.
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
}
