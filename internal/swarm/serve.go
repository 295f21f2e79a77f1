package swarm

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	p2p "github.com/libp2p/go-libp2p/core/peer"

	"millpond/internal/digest"
)

// writeTimeout is how long a peer may take nothing, and take to send a request.
const writeTimeout = 30 * time.Second

// retryAfter is what a peer is told to wait when all slots are taken.
const retryAfter = time.Second

var chunks = sync.Pool{New: func() any { return new([mostChunk]byte) }}

// serve answers one request of a peer.
func (t *transfers) serve(w http.ResponseWriter, r *http.Request) {
	if !t.serving.TryRLock() {
		panic(http.ErrAbortHandler)
	}
	defer t.serving.RUnlock()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	t.mux.ServeHTTP(w, r)
}

// asked names the asker and what it asks for; the peer ID is the stream's.
func asked(r *http.Request) (p2p.ID, digest.Digest, error) {
	id, err := p2p.Decode(r.RemoteAddr)
	if err != nil {
		return "", digest.Digest{}, err
	}
	d, err := digest.Parse(r.PathValue("digest"))
	return id, d, err
}

func (t *transfers) serveBlob(w http.ResponseWriter, r *http.Request) {
	id, d, err := asked(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	free := t.swarm.options.SiteUnlimited && t.swarm.nearby(id)
	up, ok := t.uploads.begin(id, free)
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer up.end()
	content, err := t.swarm.options.Holdings.Open(r.Context(), d, r.Header.Get(fetchHeader) == "1")
	if err != nil {
		t.refuse(w, d, err)
		return
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	body := &pacedWriter{ResponseWriter: w, r: r, upload: up, gave: func(n int64) { t.gave(id, n) }}
	if content.Size() < 0 {
		body.WriteHeader(http.StatusOK)
		if r.Method != http.MethodHead {
			body.ReadFrom(content)
		}
	} else {
		w.Header().Set("ETag", `"`+d.String()+`"`)
		if strings.Contains(r.Header.Get("Range"), ",") {
			r.Header.Del("Range") // no box asks for two, and the answer would be multipart
		}
		http.ServeContent(body, r, "", time.Time{}, content)
	}
	if body.err != nil {
		t.swarm.log.Debug("giving a blob broke off", "peer", id, "digest", d.Short(), "err", body.err)
		panic(http.ErrAbortHandler) // or an unfinished chunked body would look whole
	}
}

func (t *transfers) serveManifest(w http.ResponseWriter, r *http.Request) {
	_, d, err := asked(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	pieces, err := t.swarm.options.Holdings.Manifest(r.Context(), d)
	if err != nil {
		t.refuse(w, d, err)
		return
	}
	answer(w, appendManifest(nil, pieces))
}

func (t *transfers) servePieces(w http.ResponseWriter, r *http.Request) {
	_, d, err := asked(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	size, have, err := t.swarm.options.Holdings.Pieces(d)
	if err == nil && size < 0 { // no pieces before the size is known
		err = fs.ErrNotExist
	}
	if err != nil {
		t.refuse(w, d, err)
		return
	}
	answer(w, appendPieces(nil, size, have))
}

func answer(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Write(b)
}

// refuse answers that d cannot be had.
func (t *transfers) refuse(w http.ResponseWriter, d digest.Digest, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	t.swarm.log.Debug("a blob cannot be given", "digest", d.Short(), "err", err)
	w.WriteHeader(http.StatusServiceUnavailable)
}

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
	buffer := chunks.Get().(*[mostChunk]byte)
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
