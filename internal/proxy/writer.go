package proxy

import (
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// step is how much of a held file is given to the kernel at a time where that cannot be
// seen to leave (sendfile.go). Each step moves the write deadline, so a client is cut only
// if it takes less than a step in the stall limit, 0.9 kB/s; and each is credited when it
// is written.
const step = 256 << 10

// response is a ResponseWriter that cuts off a client that reads nothing, and
// counts body bytes. It passes held files to the connection's own ReadFrom,
// which sends them without copying.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	conn    *pipelineConn   // nil if it is another one
	raw     syscall.RawConn // of conn, nil unless that is a socket
	stall   time.Duration
	rules   uint64 // of repeats, when the request came

	status  int         // 0 until the header was sent
	written int64       // body bytes
	credit  func(int64) // told of body bytes as they are written; may be nil
	outcome outcome
	err     error // the first failure to write, most likely the client left
}

func newResponse(w http.ResponseWriter, r *http.Request, stall time.Duration) *response {
	res := &response{ResponseWriter: w, control: http.NewResponseController(w), stall: stall}
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		res.conn, res.raw = c.conn, c.raw
	}
	return res
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// progress gives the client a new stall limit for what is written next.
// Deadlines are a matter of real connections; a recorder in a test has none.
func (w *response) progress() { w.control.SetWriteDeadline(time.Now().Add(w.stall)) }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(code int) {
	w.progress()
	if w.status == 0 && code >= 200 {
		w.status, w.outcome.first = code, time.Now()
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (w *response) Write(b []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(b)
	w.count(int64(n), err)
	return n, err
}

// Flush implements http.Flusher.
func (w *response) Flush() {
	w.begin()
	w.control.Flush()
}

func (w *response) begin() {
	w.progress()
	if w.status == 0 {
		w.status, w.outcome.first = http.StatusOK, time.Now()
	}
}

// count credits what was written of a file; the text of a 416 is none.
func (w *response) count(n int64, err error) {
	w.written += n
	if w.err == nil {
		w.err = err
	}
	if n > 0 && w.credit != nil && (w.status == http.StatusOK || w.status == http.StatusPartialContent) {
		w.credit(n)
	}
}

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// ReadFrom implements io.ReaderFrom. Each read is written and credited before
// the next, which may come from elsewhere.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		file, held := limited.R.(*os.File)
		kernel, can := w.ResponseWriter.(io.ReaderFrom)
		if held && can {
			return w.sendFile(kernel, file, limited)
		}
	}
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			m, werr := w.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// sendFile sends limited, whose reader is file. The kernel's path is taken
// only for an *io.LimitedReader directly over the *os.File.
func (w *response) sendFile(kernel io.ReaderFrom, file *os.File, limited *io.LimitedReader) (total int64, err error) {
	// Else net/http would copy the beginning of the file to send it with the
	// header. An error of this comes back from the next write.
	if w.conn != nil && limited.N > 0 {
		w.conn.more = true
	}
	_ = w.control.Flush()
	if w.conn != nil {
		w.conn.more = false
	}
	if sendsFiles && w.conn != nil && w.raw != nil {
		before := w.written
		w.begin()
		total, err = w.conn.sendThrough(kernel, limited, func(n int64) { w.count(n, nil) })
		w.count(total-(w.written-before), err)
		return total, err
	}
	for limited.N > 0 {
		w.begin()
		n, err := kernel.ReadFrom(&io.LimitedReader{R: file, N: min(limited.N, step)})
		limited.N -= n
		total += n
		w.count(n, err)
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}
