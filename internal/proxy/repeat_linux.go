package proxy

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// again opens a file once more, for reading at offsets of its own.
func again(f *os.File) (*os.File, int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	fd := -1
	if controlled := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); controlled != nil {
		err = controlled
	}
	if err != nil {
		return nil, 0, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), fd, nil
}

// sendsFiles says that kernel does.
const sendsFiles = true

// kernel is what is given to the kernel: a header, a file, or both.
type kernel struct {
	stat   unix.Stat_t
	head   []byte // what is left of the header, and of a small file behind it
	body   int    // how much of it is file
	off    int64  // of the file's byte that goes next
	err    error
	begun  func()        // told when something of the header has left
	passed func(n int64) // told of body bytes
	wait   func()        // called before the client is waited for
}

// intact reports whether the file of an answer is still that of a blob, and as long as it
// should be.
func (k *kernel) intact(a *repeat) bool {
	return unix.Fstat(a.fd, &k.stat) == nil && k.stat.Nlink > 0 && k.stat.Size == a.size
}

// next gives a socket what it takes of the header and of a file up to end, and reports
// whether all is sent, or failed. A header waits in the kernel for the file behind it
// (send(2), MSG_MORE).
func (k *kernel) next(socket uintptr, file int, end int64) (done bool) {
	for k.err == nil && (len(k.head) > 0 || k.off < end) {
		var n int
		var err error
		if len(k.head) > 0 {
			if k.body == 0 && end > 0 {
				n, err = unix.SendmsgN(int(socket), k.head, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_MORE)
			} else {
				n, err = unix.Write(int(socket), k.head)
			}
			if err == nil {
				k.head = k.head[n:]
				k.begun()
				if left := len(k.head); left < k.body {
					k.off += int64(k.body - left)
					k.passed(int64(k.body - left))
					k.body = left
				}
			}
		} else {
			// Not unix.Sendfile, which the race detector does not connect with the client's Read.
			n, err = syscall.Sendfile(int(socket), file, &k.off, int(min(end-k.off, maxStep)))
			if n > 0 {
				k.passed(int64(n))
			}
			if n == 0 && err == nil {
				err = errShortFile
			}
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			k.wait()
			return false
		case err != nil && !errors.Is(err, unix.EINTR):
			k.err = os.NewSyscallError("sending", err)
		}
	}
	return true
}
