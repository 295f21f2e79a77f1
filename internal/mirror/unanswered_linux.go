package mirror

import (
	"net"
	"syscall"
	"time"
)

// unanswered is how long the kernel sends a request again and again that
// nobody acknowledges before it gives the connection up; by default that is a
// quarter of an hour. A connection from the pool may have died in silence,
// when this machine got another way out or a firewall was restarted: the
// transport then asks again on a new one, long before the header timeout. Four
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
	// Without it the header timeout ends the waiting.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unanswered.Milliseconds()))
	})
}
