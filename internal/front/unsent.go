package front

import (
	"net"
	"syscall"
)

// maxUnsent is how many bytes the kernel takes for a connection before it has sent them.
// Else it is some MB for each, also for a client that has stopped reading: a thousand of
// these fill what the kernel has for all connections of the machine, each of which then
// waits 200 ms for every packet. What is on the way to the client comes on top, so that a
// long line stays full.
const maxUnsent = 128 << 10

// unsent is a listener for whose connections the kernel takes no more than maxUnsent. The
// option is set for each of them: those of a listener for multipath TCP, which Go's are,
// do not inherit it.
type unsent struct{ net.Listener }

// Accept implements net.Listener.
func (l unsent) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil { // else it is closed, as its first use tells
			limitUnsent(raw)
		}
	}
	return conn, nil
}
