package front

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// A client that reads nothing is sent no more than its own window and maxUnsent,
// however much there is for it.
func TestUnsentBytesAreBounded(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(raw, Options{Shares: NewShares(1)})
	defer l.Close()
	const window = 64 << 10 // which the kernel doubles
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window)
		})
		return errors.Join(failed, err)
	}}
	client, err := dialer.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Write(make([]byte, 32<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("all was taken: %d bytes, %v", n, err)
	}
	// The kernel counts whole packets, of 64 kB on loopback.
	if limit := 2*window + maxUnsent + 2*64<<10; n > limit {
		t.Errorf("%d bytes were taken for a client that reads nothing; want at most %d", n, limit)
	}
}
