package blobproto

import (
	"io"
	"net/http"
	"sync"
	"time"
)

var chunks = sync.Pool{New: func() any { return new([maxChunk]byte) }}

// pacedWriter sends the header at once and then the body in chunks, each when it
// is the peer's turn.
type pacedWriter struct {
	http.ResponseWriter
	r      *http.Request
	upload *upload
	gave   func(int64)
	err    error // why the body is incomplete
}

var _ io.ReaderFrom = (*pacedWriter)(nil)

func (w *pacedWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	if w.r.Method != http.MethodHead {
		w.flush()
	}
}

func (w *pacedWriter) flush() {
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
		w.err = err
	}
}

// ReadFrom implements io.ReaderFrom; http.ServeContent copies with it.
func (w *pacedWriter) ReadFrom(src io.Reader) (int64, error) {
	buffer := chunks.Get().(*[maxChunk]byte)
	defer chunks.Put(buffer)
	total := int64(0)
	for {
		n, err := src.Read(buffer[:w.upload.chunk()])
		if n > 0 {
			sent, err := w.Write(buffer[:n])
			total += int64(sent)
			if err != nil {
				return total, err
			}
			if n < w.upload.chunk() { // the next bytes may take long
				w.flush()
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			w.err = err
			return total, err
		}
	}
}

// Write accepts at most a chunk.
func (w *pacedWriter) Write(b []byte) (int, error) {
	if err := w.upload.wait(w.r.Context(), len(b)); err != nil {
		w.err = err
		return 0, err
	}
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := w.ResponseWriter.Write(b)
	w.gave(int64(n))
	if err != nil {
		w.err = err
	}
	return n, err
}
