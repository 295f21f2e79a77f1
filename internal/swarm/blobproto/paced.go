package blobproto

import (
	"io"
	"net/http"
	"sync"
	"time"
)

var chunks = sync.Pool{New: func() any { return new([maxChunk]byte) }}

// pacedWriter sends a body in chunks, each when its turn has come, and the
// header before the first is read.
type pacedWriter struct {
	http.ResponseWriter
	r      *http.Request
	upload *upload
	gave   func(int64)
	err    error // why the body is not whole
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

// ReadFrom is what http.ServeContent copies by.
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
			if n < w.upload.chunk() { // the next bytes may be a while
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

// Write takes at most a chunk.
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
