package box

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces is where iproute2 keeps them.
const namespaces = "/run/netns"

// Listen listens at a port of the host, in this process.
func (h *Host) Listen(port string) (net.Listener, error) {
	var l net.Listener
	return l, h.inside(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(h.IP, port))
		return err
	})
}

// Dial connects from the host, in this process, to an IP address and port.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	return conn, h.inside(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
}

// inside runs do on a thread that is in the host's namespace, where the sockets that do makes
// stay. The thread ends with it.
func (h *Host) inside(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: so the thread is not used again
		ns, err := os.Open(filepath.Join(namespaces, h.name))
		if err != nil {
			done <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- os.NewSyscallError("setns", err)
			return
		}
		done <- do()
	}()
	return <-done
}
