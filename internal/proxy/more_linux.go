package proxy

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeMore gives the kernel the beginning of what it is to send, for it to hold back a
// packet that is not full until the rest comes (send(2), MSG_MORE).
func writeMore(conn syscall.RawConn, b []byte) (n int, err error) {
	waited := conn.Write(func(fd uintptr) (done bool) {
		for n < len(b) {
			var sent int
			sent, err = unix.SendmsgN(int(fd), b[n:], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil:
				err = os.NewSyscallError("sendmsg", err)
				return true
			default:
				n += sent
			}
		}
		err = nil
		return true
	})
	if waited != nil {
		err = waited
	}
	return n, err
}
