package mirror

import (
	"net"
	"syscall"
	"time"
)

// unanswered is how long the kernel retransmits a request without an
// acknowledgement before it closes the connection; the default is a quarter of an
// hour. A connection from the pool may be dead without notice,
// after a change of routes or the restart of a firewall: the transport then sends
// the request again on a new one, long before the header timeout. Four
// lost packets in a row take as long.
const unanswered = 5 * time.Second

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), in milliseconds.
const tcpUserTimeout = 0x12

// giveUpUnanswered is for established connections: set before, it would cut
// the connecting short as well.
func giveUpUnanswered(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // closed already
	}
	// On failure the header timeout ends the wait.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unanswered.Milliseconds()))
	})
}
