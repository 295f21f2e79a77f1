package box

import (
	"context"
	"errors"
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
// stay. The thread goes back afterwards: were it to end, processes that it started and that
// are to end with their parent would, too.
func (h *Host) inside(do func() error) error {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	other, err := os.Open(filepath.Join(namespaces, h.name))
	if err != nil {
		return err
	}
	defer other.Close()
	runtime.LockOSThread()
	if err := enter(other); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = do()
	if back := enter(own); back != nil {
		return errors.Join(err, back) // the thread stays locked, and nobody else gets it
	}
	runtime.UnlockOSThread()
	return err
}

func enter(namespace *os.File) error {
	return os.NewSyscallError("setns", unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET))
}
