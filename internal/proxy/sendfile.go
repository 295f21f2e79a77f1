package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"millpond/internal/front"
)

// maxStep is how much of a file the kernel is given at once. What the socket takes of it
// is credited then. It is more than a socket holds, so that the kernel is asked no more
// often than need be.
const maxStep = 2 << 20

// sendThrough has net/http send a file, whose ReadFrom comes back to this connection's, and
// passed told of each part that has left. The connection is a socket, and sendsFiles holds.
func (c *pipelineConn) sendThrough(http io.ReaderFrom, file *io.LimitedReader, passed func(n int64)) (int64, error) {
	c.passed = passed
	defer func() { c.passed = nil }()
	return http.ReadFrom(file)
}

// ReadFrom implements io.ReaderFrom. A file is given to the kernel without a bound for all
// of it: the client has the stall limit anew each time that it takes something.
func (c *pipelineConn) ReadFrom(src io.Reader) (total int64, err error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok || c.passed == nil {
		return c.TCPConn.ReadFrom(src)
	}
	file, ok := limited.R.(*os.File)
	if !ok {
		return c.TCPConn.ReadFrom(src)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	begin, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	place := front.PlaceOf(c)
	k := kernel{off: begin}
	k.passed = func(n int64) {
		if place != nil {
			place.Progress()
		}
		limited.N -= n
		c.passed(n)
	}
	k.wait = func() { _ = c.TCPConn.SetWriteDeadline(time.Now().Add(c.proxy.stall)) } // an error comes back from the next write
	end := begin + limited.N
	controlled := raw.Control(func(fd uintptr) {
		err = c.memory.raw.Write(func(socket uintptr) bool { return k.next(socket, int(fd), end) })
	})
	if err = errors.Join(err, controlled, k.err); errors.Is(err, errShortFile) {
		err = nil // as at the end of a reader
	}
	_, moved := file.Seek(k.off, io.SeekStart)
	return k.off - begin, errors.Join(err, moved)
}

var errShortFile = errors.New("the file has become shorter")
